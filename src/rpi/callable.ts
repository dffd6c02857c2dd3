// What a wrapped function and a proxy method have in common: per-call options, where an answer came from, and results that are never thrown.
import { FROM, type Provenance } from '../core/answer.ts'
import type { CallContext } from '../core/context.ts'
import { invalidOption } from '../core/options.ts'
import type { FairleadError } from '../errors/base.ts'
import type { CallOptions } from '../policies/call.ts'

/** An answer, and where it came from. */
export interface Detailed<T> extends Provenance {
  readonly value: T
}

/** The result of a call that never throws. */
export type CallResult<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: FairleadError }

/** The three ways to make a call. */
export interface Callable<A extends readonly unknown[], R> {
  /** Rejects with a FairleadError. */
  (...args: A): Promise<R>
  /** The answer, and where it came from: the peer itself, a cache, a fallback. Rejects as the call itself does. */
  detailed(...args: A): Promise<Detailed<R>>
  /** Never rejects. A refusal costs no throw. */
  result(...args: A): Promise<CallResult<R>>
}

/** The answer with its provenance, as the layers noted it. */
export function detailed<T>(value: T, context: CallContext | undefined): Detailed<T> {
  const provenance = context?.locals.get(FROM) as Provenance | undefined
  return provenance === undefined ? { value, from: 'call' } : { value, ...provenance }
}

const NAMES = new Set(['deadlineMs', 'signal', 'idempotencyKey', 'idempotent', 'headers'])

/**
 * Checks the names of per-call options: a misspelt `deadlineMS` must not be silently without effect. Values are checked where the call begins.
 * @throws FairleadError `INVALID_OPTIONS`
 */
export function checkCallOptions(options: CallOptions | undefined): void {
  if (options === undefined) return
  if (typeof options !== 'object' || options === null) throw invalidOption('options', options, 'give an object')
  for (const name in options)
    if (!NAMES.has(name))
      throw invalidOption(
        `options.${name}`,
        (options as Record<string, unknown>)[name],
        `a call has no such option; it has ${[...NAMES].join(', ')}`,
      )
  const { headers, idempotencyKey } = options
  if (
    headers !== undefined &&
    (typeof headers !== 'object' || headers === null || Array.isArray(headers) || headers instanceof Headers)
  )
    throw invalidOption('headers', headers, 'give a plain object: name to value')
  if (idempotencyKey !== undefined && (typeof idempotencyKey !== 'string' || idempotencyKey === ''))
    throw invalidOption('idempotencyKey', idempotencyKey, 'give a string')
}
