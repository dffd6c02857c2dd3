// What a circuit breaker counts with. Two of them behind one seam: opossum's rolling window (its statistics and events work on),
// and a ring of our own where there are many breakers.
import { EventEmitter } from 'node:events'
import type { Clock } from '../core/clock.ts'
import { lazy } from '../core/lazy.ts'

/** Counts outcomes over a rolling window of time. */
export interface Window {
  ok(): void
  /** Counts a failure; true if the rate has been reached. */
  fail(): boolean
  clear(): void
  /** The opossum breaker behind it, where there is one. */
  readonly opossum?: unknown
}

/** What a window needs to know. */
export interface WindowOptions {
  /** Share of failures that trips, inclusive. */
  readonly errorRate: number
  /** Fewer outcomes than these never trip. */
  readonly minimumCalls: number
  readonly windowMs: number
  /** Default 10. */
  readonly buckets?: number | undefined
  readonly clock: Clock
}

/** Makes a window; `opossumWindow` and `ringWindow` are such. */
export type MakeWindow = (options: WindowOptions) => Window

/** A ring of counters: 0.15 us a call, 1 KB a breaker, no timer. */
export function ringWindow({ errorRate, minimumCalls, windowMs, buckets = 10, clock }: WindowOptions): Window {
  const step = windowMs / buckets
  const oks = new Uint32Array(buckets)
  const fails = new Uint32Array(buckets)
  let index = 0
  let next = clock.now() + step
  let ok = 0
  let failed = 0
  const roll = (): void => {
    const now = clock.now()
    if (now < next) return
    let steps = 1 + Math.floor((now - next) / step)
    next += steps * step
    for (steps = Math.min(steps, buckets); steps > 0; steps--) {
      index = (index + 1) % buckets
      ok -= oks[index] as number
      failed -= fails[index] as number
      oks[index] = fails[index] = 0
    }
  }
  return {
    ok() {
      roll()
      oks[index] = (oks[index] as number) + 1
      ok++
    },
    fail() {
      roll()
      fails[index] = (fails[index] as number) + 1
      failed++
      const all = ok + failed
      // The same tolerance as opossum is given below: 0.55 * 20 is a little more than 11.
      return all >= minimumCalls && failed / all > errorRate - 1e-11
    },
    clear() {
      oks.fill(0)
      fails.fill(0)
      ok = failed = 0
    },
  }
}

// The part of opossum that is used; the same in 9 and 10.
interface Opossum {
  listeners(event: string): readonly ((...given: unknown[]) => void)[]
  off(event: string, listener: (...given: unknown[]) => void): unknown
  fire(good: boolean): PromiseLike<unknown> & { catch(handler: () => void): unknown }
  close(): void
  readonly opened: boolean
  readonly status: { readonly window: readonly Bucket[] }
}

interface Bucket {
  latencyTimes: unknown
  percentiles: unknown
}

type OpossumClass = new (action: (good: boolean) => unknown, options: Record<string, unknown>) => Opossum

// Settles in the same tick, so that a trip is visible at once.
const DONE: Settled = {
  // opossum takes any thenable, and only such a one settles at once.
  then(resolve) {
    resolve()
    return DONE
  },
  catch: () => DONE,
}

interface Settled {
  then(resolve: () => void): Settled
  catch(): Settled
}

/**
 * opossum's rolling window, fed at the verdict: its rate then counts finished calls only. The state machine is not opossum's:
 * driven the natural way its rate is diluted by calls in flight, slow calls never trip it and a hung probe locks it.
 * Snapshots and percentiles are off and the buckets are turned by our clock, so there is no timer.
 */
export function opossumWindow(options: WindowOptions): Window {
  return new OpossumWindow(options)
}

class OpossumWindow implements Window {
  readonly opossum: Opossum
  private readonly rotator: EventEmitter
  private readonly clock: Clock
  private readonly buckets: number
  private readonly step: number
  private next: number

  constructor({ errorRate, minimumCalls, windowMs, buckets = 10, clock }: WindowOptions) {
    const CircuitBreaker = lazy<OpossumClass>('opossum')
    this.rotator = new EventEmitter()
    this.clock = clock
    this.buckets = buckets
    this.step = windowMs / buckets
    this.next = clock.now() + this.step
    this.opossum = new CircuitBreaker(verdict, {
      timeout: false,
      // Ours to close: opossum must never go half-open by itself.
      resetTimeout: 2 ** 31 - 1,
      volumeThreshold: minimumCalls,
      // opossum trips above the threshold, fairlead at it.
      errorThresholdPercentage: errorRate * 100 - 1e-9,
      rollingCountTimeout: windowMs,
      rollingCountBuckets: buckets,
      rollingPercentilesEnabled: false,
      enableSnapshots: false,
      rotateBucketController: this.rotator,
    })
    // Of its own listeners for `open` the first keeps its status, the second sets a timer to close by: that is ours to do,
    // and the timer would keep an open breaker in memory for weeks after it was dropped.
    for (const listener of this.opossum.listeners('open').slice(1)) this.opossum.off('open', listener)
    for (const bucket of this.opossum.status.window) lighten(bucket)
  }

  ok(): void {
    this.roll()
    this.opossum.fire(true)
  }

  fail(): boolean {
    this.roll()
    this.opossum.fire(false).catch(nothing)
    return this.opossum.opened
  }

  clear(): void {
    this.rotate(this.buckets)
    this.opossum.close()
  }

  private roll(): void {
    const now = this.clock.now()
    if (now < this.next) return
    const steps = 1 + Math.floor((now - this.next) / this.step)
    this.next += steps * this.step
    this.rotate(Math.min(steps, this.buckets))
  }

  private rotate(times: number): void {
    for (let left = times; left > 0; left--) {
      this.rotator.emit('rotate')
      const [newest] = this.opossum.status.window
      if (newest !== undefined) lighten(newest)
    }
  }
}

const FAILED = new Error('verdict')

function verdict(good: boolean): Settled {
  if (good) return DONE
  throw FAILED
}

// Even with percentiles off, opossum keeps 8 bytes for each outcome in the window, and an empty object a bucket.
function lighten(bucket: Bucket): void {
  bucket.latencyTimes = NO_TIMES
  bucket.percentiles = NO_PERCENTILES
}

const NO_PERCENTILES: object = Object.freeze({})

// An array that stays empty.
const NO_TIMES: readonly never[] = Object.freeze(Object.defineProperty([], 'push', { value: () => 0 }))

function nothing(): void {}
