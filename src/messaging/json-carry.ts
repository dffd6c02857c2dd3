// What JSON cannot carry is found before it is lost: JSON.stringify itself drops, changes or throws without saying where.
import type { Issue } from '../core/schema.ts'

/** What may be carried besides plain JSON, each because the channel says so. */
export interface JsonRules {
  /** `iso`: a Date travels as an RFC 3339 string. */
  readonly dates: boolean
  /** `string`: a BigInt travels as its decimal digits. */
  readonly bigints: boolean
  /** `toJSON`: what has a `toJSON` (an instance of a class, seldom an array or a plain object) travels as what that gives. */
  readonly classes: boolean
  readonly maxDepth: number
}

/** What JSON.stringify may be given, or why it may not. */
export type Carried =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly issues: readonly Issue[] }

// More complaints than these help nobody.
const MOST_ISSUES = 20

/**
 * Checks a value all the way down. The same value is given back unless something in it has another form on the wire: then a copy of the branches it is in.
 * A member that is undefined is left out, as JSON.stringify does. An object that is met twice travels twice; one that contains itself is refused.
 */
export function carry(data: unknown, rules: JsonRules): Carried {
  const walk = new Walk(rules)
  const value = walk.value(data, 0)
  return walk.issues.length === 0 ? { ok: true, value } : { ok: false, issues: walk.issues }
}

class Walk {
  readonly issues: Issue[] = []
  readonly #rules: JsonRules
  // Keys on the way down, and the objects they lead through. Overwritten at each step, so that the good case makes no arrays.
  readonly #path: (string | number)[] = []
  readonly #above: object[] = []
  #height = 0

  constructor(rules: JsonRules) {
    this.#rules = rules
  }

  value(value: unknown, depth: number): unknown {
    switch (typeof value) {
      case 'string':
      case 'boolean':
        return value
      case 'number':
        return Number.isFinite(value)
          ? value
          : this.#refuse(depth, `JSON has no ${value}: give null or a finite number`)
      case 'object':
        return value === null ? null : this.#object(value, depth)
      case 'bigint':
        return this.#rules.bigints
          ? String(value)
          : this.#refuse(depth, "JSON has no BigInt: give a string, or declare jsonCodec({ bigints: 'string' })")
      case 'undefined':
        return this.#refuse(depth, 'JSON has no undefined here: give null')
      default:
        return this.#refuse(depth, `JSON has no ${typeof value}`)
    }
  }

  #object(value: object, depth: number): unknown {
    if (depth >= this.#rules.maxDepth)
      return this.#refuse(depth, `it is nested deeper than ${this.#rules.maxDepth} levels`)
    // A scan of a few ancestors costs less than a set.
    for (let at = 0; at < this.#height; at++)
      if (this.#above[at] === value) return this.#refuse(depth, 'it contains itself')
    this.#above[this.#height++] = value
    const carried = hasHiddenToJson(value)
      ? this.#instance(value, depth)
      : Array.isArray(value)
        ? this.#array(value, depth)
        : isPlain(value)
          ? this.#members(value as Record<string, unknown>, depth)
          : this.#instance(value, depth)
    this.#height--
    return carried
  }

  #array(value: readonly unknown[], depth: number): unknown {
    let copy: unknown[] | undefined
    for (let at = 0; at < value.length; at++) {
      const item = value[at]
      if (typeof item === 'string') continue
      this.#path[depth] = at
      const carried = this.value(item, depth + 1)
      if (carried === item || Number.isNaN(carried)) continue
      copy ??= value.slice()
      copy[at] = carried
    }
    return copy ?? value
  }

  #members(value: Record<string, unknown>, depth: number): unknown {
    let copy: Record<string, unknown> | undefined
    const keys = Object.keys(value)
    for (let at = 0; at < keys.length; at++) {
      const key = keys[at] as string
      const member = value[key]
      if (key === '__proto__') {
        this.#path[depth] = key
        this.#refuse(depth + 1, 'a member cannot be named __proto__: readers drop it')
        continue
      }
      if (typeof member === 'string' || member === undefined) continue
      this.#path[depth] = key
      const carried = this.value(member, depth + 1)
      if (carried === member || Number.isNaN(carried)) continue
      copy ??= { ...value }
      copy[key] = carried
    }
    return copy ?? value
  }

  #instance(value: object, depth: number): unknown {
    if (value instanceof Date) {
      if (Number.isNaN(value.getTime())) return this.#refuse(depth, 'the date is invalid')
      if (this.#rules.dates) return value.toISOString()
      return this.#refuse(depth, "JSON has no Date: give a string, or declare jsonCodec({ dates: 'iso' })")
    }
    const { name } = (value.constructor ?? {}) as { readonly name?: unknown }
    const what = typeof name === 'string' && name !== '' ? name : 'instance of a class'
    const { toJSON } = value as { readonly toJSON?: unknown }
    if (typeof toJSON !== 'function') return this.#refuse(depth, `JSON has no ${what}: give a plain object or an array`)
    if (!this.#rules.classes) {
      const why = Array.isArray(value) || isPlain(value) ? 'it has a toJSON of its own' : `JSON has no ${what}`
      return this.#refuse(depth, `${why}: give plain data, or declare jsonCodec({ classes: 'toJSON' })`)
    }
    let plain: unknown
    try {
      plain = toJSON.call(value, depth === 0 ? '' : String(this.#path[depth - 1]))
    } catch (error) {
      return this.#refuse(depth, `toJSON of ${what} threw ${error instanceof Error ? error.message : String(error)}`)
    }
    // JSON.stringify asks once and takes what it gets; another instance would lose its own form.
    if (typeof plain === 'object' && plain !== null && !isData(plain))
      return this.#refuse(depth, `toJSON of ${what} gave no plain data`)
    return this.value(plain, depth)
  }

  #pathOf(depth: number): string {
    return ['data', ...this.#path.slice(0, depth)].join('.')
  }

  // NaN stands for "refused": nothing else that is carried is unlike itself.
  #refuse(depth: number, message: string): number {
    if (this.issues.length < MOST_ISSUES) this.issues.push({ path: this.#pathOf(depth), message })
    return Number.NaN
  }
}

// JSON.stringify would call it, and what stands in the value would be lost. One that is a member like any other is refused as a function.
function hasHiddenToJson(value: object): boolean {
  return (
    typeof (value as { readonly toJSON?: unknown }).toJSON === 'function' &&
    (Array.isArray(value) || !Object.prototype.propertyIsEnumerable.call(value, 'toJSON'))
  )
}

function isData(value: object): boolean {
  return (Array.isArray(value) || isPlain(value)) && !hasHiddenToJson(value)
}

function isPlain(value: object): boolean {
  const proto = Object.getPrototypeOf(value) as object | null
  if (proto === Object.prototype || proto === null) return true
  // Of another realm (a vm context, a test runner) `Object.prototype` is another object.
  return Object.getPrototypeOf(proto) === null && Object.hasOwn(proto, 'isPrototypeOf')
}
