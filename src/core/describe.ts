// Says how a thing was built: for logs, tests and dashboards.

/** The key under which describable things carry their description. */
export const DESCRIBE: unique symbol = Symbol.for('fairlead.describe') as never

/** One layer of a pipeline with its options as they hold, defaults filled in. */
export interface LayerDescription {
  readonly layer: string
  readonly options: Readonly<Record<string, unknown>>
  /** Figures of now, where the layer has some. */
  readonly state?: Readonly<Record<string, unknown>>
}

/** What `describe` gives. */
export interface Description {
  readonly what: string
  readonly name: string
  /** First = outermost. */
  readonly layers: readonly LayerDescription[]
  readonly [more: string]: unknown
}

/** Something that can be described. */
export interface Describable<D = unknown> {
  readonly [DESCRIBE]: () => D
}

/**
 * The built pipeline of a proxy, a wrapped function or a layer, with the options that hold.
 * @throws TypeError where there is nothing to describe
 */
export function describe<D = Description>(thing: Describable<D> | object): D {
  const own = (thing as Partial<Describable<D>>)[DESCRIBE]
  if (typeof own !== 'function')
    throw new TypeError('describe() takes what fairlead built: a proxy, a wrapped function, a layer')
  return own.call(thing)
}

/** Gives a layer its description. `state` is read each time. */
export function described<T extends object>(
  thing: T,
  layer: string,
  options: Readonly<Record<string, unknown>>,
  state?: () => Readonly<Record<string, unknown>>,
): T & Describable<LayerDescription> {
  return Object.defineProperty(thing, DESCRIBE, {
    value: (): LayerDescription => (state === undefined ? { layer, options } : { layer, options, state: state() }),
  }) as T & Describable<LayerDescription>
}

/** What can say of itself which layer it is. */
export interface Subject {
  describe(): LayerDescription
}

const SUBJECT: unique symbol = Symbol('subject') as never

/**
 * What layers of one kind have in common, `DESCRIBE` above all: a prototype for their functions. There may be thousands of
 * pipelines, and a getter here costs nothing where one on each function costs a table of its own.
 */
export function layerPrototype<S extends Subject>(
  members: Readonly<Record<string, (subject: S) => unknown>> = {},
): object {
  const prototype = Object.create(Function.prototype, {
    [DESCRIBE]: {
      value(this: Described<S>) {
        return this[SUBJECT].describe()
      },
    },
  })
  for (const [name, read] of Object.entries(members))
    Object.defineProperty(prototype, name, {
      get(this: Described<S>) {
        return read(this[SUBJECT])
      },
    })
  return prototype
}

interface Described<S> {
  readonly [SUBJECT]: S
}

const PLAIN: object = layerPrototype()

/** As `described`, at the least weight: the description is made by the subject, when it is asked for. */
export function describedBy<T extends object, S extends Subject>(
  thing: T,
  subject: S,
  prototype: object = PLAIN,
): T & Describable<LayerDescription> {
  Object.setPrototypeOf(thing, prototype)
  return Object.defineProperty(thing, SUBJECT, { value: subject }) as unknown as T & Describable<LayerDescription>
}
