// The same policies on every side of the comparison, said once: deadline 5 s, attempt timeout 2 s, cap 100 without a queue,
// a breaker at 50 % of at least 20 calls in 10 s, 3 attempts with exponential backoff from 50 ms to 1 s, and, where a fallback
// is compared, a value. Retry budget, ramp and half-open probes are ours alone; no peer is charged for them.
import { EventEmitter } from 'node:events'
import Bottleneck from 'bottleneck'
import {
  bulkhead,
  circuitBreaker,
  ExponentialBackoff,
  fallback,
  handleAll,
  handleWhen,
  type IPolicy,
  isBrokenCircuitError,
  isBulkheadRejectedError,
  retry,
  SamplingBreaker,
  TimeoutStrategy,
  timeout,
  wrap,
} from 'cockatiel'
import CircuitBreaker from 'opossum'
import pRetry from 'p-retry'
import pTimeout from 'p-timeout'

/** A function of a service, given what a policy gives: a signal, in all of them. */
export type Callee<T> = (signal: AbortSignal) => Promise<T>

/** How the wrap of cockatiel is built. */
export interface WrapOptions {
  /** `Aggressive` answers the caller at the timeout, as fairlead does; `Cooperative` waits for the callee to obey. */
  readonly strategy: TimeoutStrategy
  /** 2: deadline and attempt timeout. 1: the attempt timeout only. */
  readonly timeouts: 1 | 2
  readonly fallback: boolean
}

/** cockatiel's wrap of the same policies, in the same order. */
export function cockatielWrap(options: WrapOptions): {
  readonly policy: IPolicy
  readonly breaker: IPolicy
  readonly cap: IPolicy
} {
  const breaker = circuitBreaker(handleAll, {
    halfOpenAfter: 600_000,
    breaker: new SamplingBreaker({ threshold: 0.5, duration: 10_000, minimumRps: 2 }),
  })
  const cap = bulkhead(100, 0)
  // What it refuses itself is not worth trying again: cockatiel's own advice.
  const again = retry(
    handleWhen((error) => !isBrokenCircuitError(error) && !isBulkheadRejectedError(error)),
    { maxAttempts: 2, backoff: new ExponentialBackoff({ initialDelay: 50, maxDelay: 1_000 }) },
  )
  const policies: IPolicy[] = [again, breaker, timeout(2_000, options.strategy), cap]
  if (options.timeouts === 2) policies.unshift(timeout(5_000, options.strategy))
  if (options.fallback) policies.unshift(fallback(handleAll, 0) as unknown as IPolicy)
  return { policy: wrap(...policies), breaker, cap }
}

/** The options that fairlead's own window gives to opossum. */
export function opossumOptions(): CircuitBreaker.Options {
  return {
    timeout: false,
    resetTimeout: 600_000,
    volumeThreshold: 20,
    errorThresholdPercentage: 50,
    rollingCountTimeout: 10_000,
    rollingCountBuckets: 10,
    rollingPercentilesEnabled: false,
    enableSnapshots: false,
    rotateBucketController: new EventEmitter(),
  } as CircuitBreaker.Options
}

/** p-retry(opossum(p-timeout)), the cap being opossum's `capacity`. One timeout only. */
export function namedStack<T>(callee: Callee<T>): () => Promise<T> {
  const { signal } = new AbortController()
  const breaker = new CircuitBreaker(() => pTimeout(callee(signal), { milliseconds: 2_000 }), {
    ...opossumOptions(),
    capacity: 100,
  })
  const again = { retries: 2, minTimeout: 50, maxTimeout: 1_000 }
  return () => pRetry(() => breaker.fire() as Promise<T>, again)
}

/** p-retry(opossum(bottleneck(p-timeout))): all four, the cap being bottleneck's. */
export function fourPackages<T>(callee: Callee<T>): () => Promise<T> {
  const { signal } = new AbortController()
  const limiter = new Bottleneck({ maxConcurrent: 100 })
  const breaker = new CircuitBreaker(
    () => limiter.schedule(() => pTimeout(callee(signal), { milliseconds: 2_000 })),
    opossumOptions(),
  )
  const again = { retries: 2, minTimeout: 50, maxTimeout: 1_000 }
  return () => pRetry(() => breaker.fire() as Promise<T>, again)
}

export { CircuitBreaker, TimeoutStrategy }
