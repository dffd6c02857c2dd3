// The entries of a fallback chain: plain data, so that whoever wraps a call can fit them to its requests.
import type { CallContext } from '../core/context.ts'
import { countOption, durationOption, invalidOption, knownOptions } from '../core/options.ts'
import type { FairleadError } from '../errors/base.ts'

/** Options that every entry of a chain has. */
export interface FallbackOptions {
  /** Which errors this entry answers. Default: all that a fallback may answer. */
  readonly when?: ((error: FairleadError) => boolean) | undefined
}

/** Options of `lastGood`. */
export interface LastGoodOptions<Req = never> extends FallbackOptions {
  /** An older answer is not given, milliseconds. Default: there is no limit. */
  readonly maxAgeMs?: number | undefined
  /**
   * Which requests have the same answer. Default: those whose plain data is equal; a request that is more than plain data is not kept,
   * and neither is one whose call carries an `authorization` or `cookie` header. Give one where the answer depends on more than the request (who asks, a header).
   */
  readonly key?: ((request: Req) => string) | undefined
  /** How many keys are kept; the longest unused goes first. Default 1,000. */
  readonly max?: number | undefined
}

/** Answers with what was answered last. */
export interface LastGoodFallback extends FallbackOptions {
  readonly from: 'lastGood'
  readonly maxAgeMs: number
  readonly key: ((request: never) => string) | undefined
  readonly max: number
}

/** Answers with a fixed value. */
export interface ValueFallback<out Answer> extends FallbackOptions {
  readonly from: 'value'
  readonly value: Answer
}

/** Answers by asking somewhere else. */
export interface CallFallback<out Answer> extends FallbackOptions {
  readonly from: 'fallback'
  readonly run: (request: never, context: CallContext, error: FairleadError) => Answer | PromiseLike<Answer>
}

/** One entry of a fallback chain, plain data: made by `lastGood`, `value` or `call`. */
export type Fallback<Answer> = LastGoodFallback | ValueFallback<Answer> | CallFallback<Answer>

/**
 * Answers with what the peer answered last to an equal request. Keeps answers only, never declared failures; the answer is shared, not copied.
 * @example fallback([lastGood({ maxAgeMs: 60_000 }), value({ level: 'unknown' })])
 * @throws FairleadError `INVALID_OPTIONS`
 */
export function lastGood<Req = never>(options: LastGoodOptions<Req> = {}): Fallback<never> {
  knownOptions('lastGood', options, ['maxAgeMs', 'key', 'max', 'when'])
  functionOption('lastGood.key', options.key, 'give a function from the request to a string')
  functionOption('lastGood.when', options.when, 'give a function of the error')
  return {
    from: 'lastGood',
    maxAgeMs: durationOption('lastGood.maxAgeMs', options.maxAgeMs, Infinity),
    key: options.key as ((request: never) => string) | undefined,
    max: countOption('lastGood.max', options.max, 1_000),
    when: options.when,
  }
}

/**
 * Answers with a fixed value. Every caller gets the same one, not a copy.
 * @example value('unknown')
 */
export function value<const Answer>(answer: Answer, options: FallbackOptions = {}): Fallback<Answer> {
  knownOptions('value', options, ['when'])
  functionOption('value.when', options.when, 'give a function of the error')
  return { from: 'value', value: answer, when: options.when }
}

/**
 * Answers by calling something else, in the time that is kept back for it: a fifth of what the call has left when it begins.
 * `context.signal` ends it. If it fails too, the next entry is asked.
 * @example call((request: StockRequest, { signal }) => readReplica.stock(request.sku, { signal }))
 */
export function call<Answer, Req = never>(
  run: (request: Req, context: CallContext, error: FairleadError) => Answer | PromiseLike<Answer>,
  options: FallbackOptions = {},
): Fallback<Answer> {
  if (typeof run !== 'function') throw invalidOption('call', run, 'give a function of request, context and error')
  knownOptions('call', options, ['when'])
  functionOption('call.when', options.when, 'give a function of the error')
  return { from: 'fallback', run: run as CallFallback<Answer>['run'], when: options.when }
}

function functionOption(option: string, given: unknown, fix: string): void {
  if (given !== undefined && typeof given !== 'function') throw invalidOption(option, given, fix)
}
