// Wraps a function that calls something, whatever client it uses, into the standard pipeline.
import type { CallContext } from '../core/context.ts'
import { DESCRIBE, type Describable, type Description } from '../core/describe.ts'
import { type Handler, isRefusal } from '../core/handler.ts'
import { invalidOption, knownOptions } from '../core/options.ts'
import { type FairleadError, isFairleadError } from '../errors/base.ts'
import { createError } from '../errors/classes.ts'
import { classify } from '../errors/classify.ts'
import { type Code, isCode } from '../errors/codes.ts'
import type { CacheOptions } from '../policies/cache.ts'
import { begin, type CallOptions, type CallTemplate, startCall, startResult } from '../policies/call.ts'
import type { CircuitBreaker } from '../policies/circuit-breaker.ts'
import type { CoalesceOptions } from '../policies/coalesce.ts'
import type { Fallback } from '../policies/fallback.ts'
import type { HedgeOptions } from '../policies/hedge.ts'
import type { QuorumOptions } from '../policies/quorum.ts'
import type { RetryOptions } from '../policies/retry.ts'
import {
  type OperationPolicies,
  STANDARD_OPTIONS,
  type Standard,
  type StandardOptions,
  standard,
} from '../policies/standard.ts'
import { type Callable, checkCallOptions, type Detailed, detailed } from './callable.ts'

/** The function that is wrapped. The context comes first, so that the types of the arguments are inferred. */
export type Wrapped<A extends readonly unknown[], R> = (context: CallContext, ...args: A) => R | PromiseLike<R>

/** Retries, hedges and votes need the word of the user whether the function may be run twice. */
export type RetryChoice =
  | {
      /** Whether running it twice does no more than running it once. `false`: it is repeated only where surely nothing was done. */
      readonly idempotent: boolean
      /** Default: no retries. */
      readonly retry?: RetryOptions | false | undefined
      /** Default: none. Nothing is hedged where `idempotent` is false. */
      readonly hedge?: HedgeOptions | false | undefined
      /** Default: none. Nothing is voted on where `idempotent` is false. */
      readonly quorum?: QuorumOptions | false | undefined
    }
  | {
      readonly idempotent?: undefined
      readonly retry?: false | undefined
      readonly hedge?: false | undefined
      readonly quorum?: false | undefined
    }

/** Options of `resilient`. For `fallback`, `cache` and `coalesce` the request is the tuple of the arguments. */
export type ResilientOptions<A extends readonly unknown[], R> = Omit<StandardOptions, 'retry' | 'hedge' | 'quorum'> & {
  /** Answers in place of a failure, in this order. Default: the error goes out. */
  readonly fallback?: readonly Fallback<R>[] | undefined
  /** Default: none. */
  readonly cache?: CacheOptions<A> | undefined
  /** Joins calls with one key at one time. Default: none. */
  readonly coalesce?: CoalesceOptions<A> | undefined
  /** Says what an error means where `classify` does not know: a code, a whole FairleadError, or undefined to leave it to `classify`. */
  readonly classify?: ((error: unknown) => FairleadError | Code | undefined) | undefined
} & RetryChoice

/** A wrapped function. */
export interface Resilient<A extends readonly unknown[], R> extends Callable<A, R>, Describable<Description> {
  /** The same with options for the calls made through it: `stock.with({ deadlineMs: 300 })('A-1')`. */
  with(options: CallOptions): Callable<A, R>
  /** Its circuit breaker, if it has one: state and levers. */
  readonly circuitBreaker: CircuitBreaker | undefined
}

// The defaults are for what is wrong: with them a misspelt option is the error that is shown, and not the function's arguments.
/**
 * Wraps a function: whole deadline, attempt timeout, cap on outstanding calls, circuit breaker, and what else the options say.
 * The function should hand `context.signal` to its client, so that what nobody waits for any more is ended.
 *
 * A function that is given no retry is called once. With `retry`, `idempotent` has to be stated.
 * @param name `service.operation`, parted at the last dot; without a dot the operation is `call`
 * @throws FairleadError `INVALID_OPTIONS`
 * @example
 * const stock = resilient('inventory.stock', ({ signal }, sku: string) => axios.get(`/stock/${sku}`, { signal }), { deadlineMs: 2_000 })
 * await stock('A-1')
 */
export function resilient<A extends readonly unknown[] = readonly never[], R = unknown>(
  name: string,
  fn: Wrapped<A, R>,
  options: ResilientOptions<NoInfer<A>, NoInfer<R>> = {},
): Resilient<A, R> {
  const { service, operation } = parts(name)
  if (typeof fn !== 'function') throw invalidOption('fn', fn, 'give the function to wrap')
  checked(options)
  const { fallback, cache, coalesce, idempotent, classify: refine, ...shared } = options
  const own =
    fallback === undefined && cache === undefined && coalesce === undefined
      ? NO_POLICIES
      : { fallback, cache, coalesce }
  const built = standard(service, shared)
  const pipeline = built.pipeline(own, invoke(fn, refine))
  const template: CallTemplate = {
    service,
    operation,
    idempotent: idempotent ?? false,
    deadlineMs: built.deadlineMs,
    clock: built.clock,
  }
  return callable(name, new Calls(built, own, pipeline, template, undefined), RESILIENT) as unknown as Resilient<A, R>
}

// What one wrapped function is made of, with the options of its calls.
class Calls {
  readonly built: Standard
  readonly own: OperationPolicies
  readonly pipeline: Handler<readonly unknown[], unknown>
  readonly template: CallTemplate
  readonly options: CallOptions | undefined

  constructor(
    built: Standard,
    own: OperationPolicies,
    pipeline: Handler<never, unknown>,
    template: CallTemplate,
    options: CallOptions | undefined,
  ) {
    this.built = built
    this.own = own
    this.pipeline = pipeline as Handler<readonly unknown[], unknown>
    this.template = template
    this.options = options
  }

  describe(): Description {
    const { service, operation, idempotent, deadlineMs } = this.template
    return {
      what: 'resilient',
      name: `${service}.${operation}`,
      idempotent,
      deadlineMs,
      layers: this.built.layers(this.own),
    }
  }
}

const NO_POLICIES: OperationPolicies = Object.freeze({})

const CALLS: unique symbol = Symbol('calls') as never

// A process may have thousands of wrapped functions, most of which are only ever called: the other ways to call stand on
// a prototype, and are made when they are read, so that they work on their own too. Named by a computed key, because
// redefining a function's name gives it a table of its own.
function callable(name: string, calls: Calls, prototype: object): object {
  const { pipeline, template, options } = calls
  const call = {
    [name]: (...args: readonly unknown[]): Promise<unknown> => startCall(pipeline, template, args, options),
  }[name] as object
  Object.setPrototypeOf(call, prototype)
  return Object.defineProperty(call, CALLS, { value: calls })
}

interface Carrier {
  readonly [CALLS]: Calls
}

const CALLABLE: object = Object.create(Function.prototype, {
  detailed: {
    get(this: Carrier) {
      const { pipeline, template, options } = this[CALLS]
      return (...args: readonly unknown[]) => inDetail(pipeline, template, args, options)
    },
  },
  result: {
    get(this: Carrier) {
      const { pipeline, template, options } = this[CALLS]
      return (...args: readonly unknown[]) => startResult(pipeline, template, args, options)
    },
  },
})

const RESILIENT: object = Object.create(CALLABLE, {
  with: {
    get(this: Carrier) {
      const { built, own, pipeline, template } = this[CALLS]
      return (options: CallOptions) => {
        checkCallOptions(options)
        return callable('', new Calls(built, own, pipeline, template, options), CALLABLE)
      }
    },
  },
  circuitBreaker: {
    get(this: Carrier) {
      return this[CALLS].built.circuitBreaker
    },
  },
  [DESCRIBE]: {
    value(this: Carrier) {
      return this[CALLS].describe()
    },
  },
})

const OPTIONS = ['fallback', 'cache', 'coalesce', 'idempotent', 'classify', ...STANDARD_OPTIONS]

function checked(options: {
  readonly idempotent?: unknown
  readonly retry?: unknown
  readonly hedge?: unknown
  readonly quorum?: unknown
  readonly classify?: unknown
}): void {
  if (typeof options !== 'object' || options === null)
    throw invalidOption('options', options, 'give an object, or leave it out')
  knownOptions('resilient', options, OPTIONS)
  const { idempotent, classify: refine } = options
  if (idempotent !== undefined && typeof idempotent !== 'boolean')
    throw invalidOption('idempotent', idempotent, 'give true or false')
  for (const name of ['retry', 'hedge', 'quorum'] as const)
    if (options[name] !== undefined && options[name] !== false && idempotent === undefined)
      throw invalidOption(
        'idempotent',
        idempotent,
        `with \`${name}\` say whether the function may be run twice: true or false`,
      )
  if (refine !== undefined && typeof refine !== 'function')
    throw invalidOption('classify', refine, 'give a function of the error')
}

function parts(name: string): { readonly service: string; readonly operation: string } {
  const at = typeof name === 'string' ? name.lastIndexOf('.') : -1
  const service = at < 0 ? name : name.slice(0, at)
  const operation = at < 0 ? 'call' : name.slice(at + 1)
  if (typeof name !== 'string' || service === '' || operation === '')
    throw invalidOption('name', name, "give 'service.operation'")
  return { service, operation }
}

type Refine = ((error: unknown) => FairleadError | Code | undefined) | undefined

// On the hot path: `then` is 0.2 us cheaper than an async function. The odd cases: a synchronous throw, an answer that is no promise,
// and a foreign thenable, which may settle twice; `Promise.resolve` believes it once.
function invoke<A extends readonly unknown[], R>(fn: Wrapped<A, R>, refine: Refine): Handler<A, R> {
  return (args, context) => {
    let answer: R | PromiseLike<R>
    try {
      answer = fn(context, ...args)
    } catch (error) {
      return Promise.reject(explained(error, context, refine))
    }
    const promise = answer instanceof Promise ? (answer as Promise<R>) : Promise.resolve(answer)
    return promise.then(undefined, (error) => {
      throw explained(error, context, refine)
    })
  }
}

function explained(error: unknown, context: CallContext, refine: Refine): FairleadError {
  const { service, operation, attempt, idempotent, aborted } = context
  const hints = { service, operation, attempt, idempotent, aborted }
  if (refine === undefined || isFairleadError(error)) return classify(error, hints)
  let refined: FairleadError | Code | undefined
  try {
    refined = refine(error)
  } catch {
    // A mistake in it must not hide the error that it was asked about.
  }
  if (isFairleadError(refined)) return classify(refined, hints)
  if (!isCode(refined)) return classify(error, hints)
  return createError({
    code: refined,
    cause: error,
    service,
    operation,
    attempt,
    idempotent,
    ...(error instanceof Error ? { message: error.message === '' ? undefined : error.message, stack: false } : {}),
  })
}

async function inDetail<A extends readonly unknown[], R>(
  pipeline: Handler<A, R>,
  template: CallTemplate,
  args: A,
  options: CallOptions | undefined,
): Promise<Detailed<R>> {
  let seen: CallContext | undefined
  const begun = begin(pipeline, template, args, options, (context) => {
    seen = context
  })
  if (isRefusal(begun)) throw begun.refused
  return detailed(await begun, seen)
}
