// By the clock: what has come together since the last time is handled at once.
import { countOption, durationOption, knownOptions } from '../../core/options.ts'
import type { Trigger } from '../consumer/trigger.ts'

/** Options of `every`. */
export interface EveryOptions {
  /** With fewer messages the time is let pass. Default 1. */
  readonly atLeast?: number | undefined
  /** How many are handled at once at most; the others wait for the next time. Default 1,000. */
  readonly atMost?: number | undefined
}

/**
 * Handles what waits, at most once in `intervalMs` milliseconds: what comes when so long has passed since the last time (or the start) is handled at once,
 * and what comes after it waits for the rest of the interval.
 * @throws FairleadError `INVALID_OPTIONS`
 * @example createConsumer({ ..., batch: sendDigest, trigger: every(15 * 60_000) })
 */
export function every(intervalMs: number, options: EveryOptions = {}): Trigger {
  const interval = durationOption('every.intervalMs', intervalMs, 1)
  knownOptions('every', options, ['atLeast', 'atMost'])
  const atLeast = countOption('every.atLeast', options.atLeast, 1)
  const atMost = countOption('every.atMost', options.atMost, Math.max(1_000, atLeast), atLeast)
  return {
    name: 'every',
    options: { intervalMs: interval, atLeast, atMost },
    sees: atMost,
    // Asked as often as it could matter, and no oftener than each second for long intervals.
    pollMs: Math.min(interval, 1_000),
    decide({ count, sinceReleaseMs }) {
      if (sinceReleaseMs < interval) return { askAgainMs: interval - sinceReleaseMs }
      return count >= atLeast ? { release: Math.min(count, atMost) } : {}
    },
  }
}
