// Messages in batches: as many at once as make the work worth while, and no message waits too long for company.
import { countOption, durationOption, knownOptions } from '../../core/options.ts'
import type { Trigger } from '../consumer/trigger.ts'

/** Options of `batchOf`. */
export interface BatchOfOptions {
  /** A smaller batch is handled once its oldest message has waited so long, milliseconds. Default: none is; the messages wait for the full number. */
  readonly maxWaitMs?: number | undefined
  /** How often the broker is asked where messages are counted there, milliseconds. Default 1,000. */
  readonly pollMs?: number | undefined
}

/**
 * Handles messages `count` at a time.
 * @throws FairleadError `INVALID_OPTIONS`
 * @example createConsumer({ ..., batch: importAll, trigger: batchOf(10, { maxWaitMs: 60_000 }) })
 */
export function batchOf(count: number, options: BatchOfOptions = {}): Trigger {
  const size = countOption('batchOf.count', count, 1)
  knownOptions('batchOf', options, ['maxWaitMs', 'pollMs'])
  const maxWaitMs =
    options.maxWaitMs === undefined ? Infinity : durationOption('batchOf.maxWaitMs', options.maxWaitMs, 1)
  const pollMs = durationOption('batchOf.pollMs', options.pollMs, 1_000)
  return {
    name: 'batch-of',
    options: { count: size, maxWaitMs, pollMs },
    sees: size,
    pollMs,
    decide({ count: waiting, waitedMs }) {
      if (waiting >= size) return { release: size }
      if (waiting === 0) return {}
      if (waitedMs >= maxWaitMs) return { release: waiting }
      return maxWaitMs === Infinity ? {} : { askAgainMs: maxWaitMs - waitedMs }
    },
  }
}
