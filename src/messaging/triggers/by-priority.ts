// A few urgent messages or many ordinary ones: whichever comes together first.
import { countOption, durationOption, invalidOption, knownOptions } from '../../core/options.ts'
import type { Trigger } from '../consumer/trigger.ts'

/** Options of `byPriority`. */
export interface ByPriorityOptions {
  /** So many messages at or above `priority` are enough. */
  readonly urgent: number
  /** What counts as urgent: a whole number, as at publish; higher is sooner. */
  readonly priority: number
  /** So many messages of any priority are enough as well. Default: they never are. */
  readonly any?: number | undefined
  /** Once the oldest has waited so long, milliseconds, everything is handled. Default: never. */
  readonly maxWaitMs?: number | undefined
  /** How many are handled at once at most. Default 100, or `any` where that is more. */
  readonly atMost?: number | undefined
  /** How often the broker is asked where messages are counted there, milliseconds. Default 1,000. */
  readonly pollMs?: number | undefined
}

/**
 * Handles what waits as soon as `urgent` messages at or above a priority wait, or `any` of any priority.
 * On a transport without priorities each message counts by the priority that it was published with.
 * @throws FairleadError `INVALID_OPTIONS`
 * @example byPriority({ urgent: 2, priority: 5, any: 50 })
 */
export function byPriority(options: ByPriorityOptions): Trigger {
  knownOptions('byPriority', options, ['urgent', 'priority', 'any', 'maxWaitMs', 'atMost', 'pollMs'])
  const { priority } = options
  if (!Number.isSafeInteger(priority)) throw invalidOption('byPriority.priority', priority, 'give a whole number')
  if (options.urgent === undefined) throw invalidOption('byPriority.urgent', undefined, 'say how many are enough')
  const urgent = countOption('byPriority.urgent', options.urgent, 1)
  const any = options.any === undefined ? Infinity : countOption('byPriority.any', options.any, 1)
  const most = Math.max(urgent, any === Infinity ? 1 : any)
  const atMost = countOption('byPriority.atMost', options.atMost, Math.max(100, most), most)
  const maxWaitMs =
    options.maxWaitMs === undefined ? Infinity : durationOption('byPriority.maxWaitMs', options.maxWaitMs, 1)
  const pollMs = durationOption('byPriority.pollMs', options.pollMs, 1_000)
  return {
    name: 'by-priority',
    options: { urgent, priority, any, maxWaitMs, atMost, pollMs },
    sees: atMost,
    priorities: [priority],
    pollMs,
    decide({ count, atOrAbove, waitedMs }) {
      if (count === 0) return {}
      if (count >= any || atOrAbove(priority) >= urgent || waitedMs >= maxWaitMs)
        return { release: Math.min(count, atMost) }
      return maxWaitMs === Infinity ? {} : { askAgainMs: maxWaitMs - waitedMs }
    },
  }
}
