// A log that lives as long as its process: for tests, and for events that may be lost with it.
import { randomUUID } from 'node:crypto'
import { type Clock, systemClock } from '../../core/clock.ts'
import { countOption, durationOption, knownOptions } from '../../core/options.ts'
import { Listeners } from './listeners.ts'
import { type FeedLog, type FeedRecord, type FeedRetention, logClosed } from './log.ts'
import { TopicRecords } from './topic-records.ts'

/** Options of `memoryFeedLog`. */
export interface MemoryFeedLogOptions extends FeedRetention {
  /** How many events of each topic are kept. Default 100,000. */
  readonly maxCount?: number | undefined
  readonly clock?: Clock | undefined
}

/**
 * A log in memory. After a restart positions of the one before are answered with `POSITION_EXPIRED`.
 * @throws FairleadError `INVALID_OPTIONS`
 */
export function memoryFeedLog(options: MemoryFeedLogOptions = {}): FeedLog {
  knownOptions('memoryFeedLog', options, ['maxCount', 'maxAgeMs', 'clock'])
  const clock = options.clock ?? systemClock
  const retention = checkedRetention(options, 100_000)
  const topics = new Map<string, TopicRecords<FeedRecord>>()
  const listeners = new Listeners<string>()
  let closed = false
  const made = (topic: string): TopicRecords<FeedRecord> => {
    let records = topics.get(topic)
    if (records === undefined) {
      records = new TopicRecords<FeedRecord>(({ event }) => event.length)
      topics.set(topic, records)
    }
    return records
  }
  const current = (topic: string): TopicRecords<FeedRecord> | undefined => {
    const records = topics.get(topic)
    records?.drop(retention, clock.wallNow())
    return records
  }
  return {
    persistent: false,
    acknowledged: 'memory',
    generation: randomUUID().slice(0, 8),
    retention,
    async create(topic) {
      if (closed) throw logClosed()
      made(topic)
    },
    bounds: current,
    async append(topic, events) {
      if (closed) throw logClosed()
      const records = made(topic)
      const at = records.timeFor(clock.wallNow())
      for (const event of events) records.add({ sequence: records.next, at, event })
      records.drop(retention, clock.wallNow())
      listeners.tell(topic)
    },
    read: async (topic, from, limit, maxLength) => current(topic)?.read(from, limit, maxLength) ?? [],
    timeOf: async (topic, sequence) => current(topic)?.get(sequence)?.at,
    since: async (topic, time) => current(topic)?.since(time) ?? 1,
    onAppended: (listener) => listeners.add(listener),
    async close() {
      closed = true
    },
  }
}

/** Checks what is said of retention. */
export function checkedRetention({ maxCount, maxAgeMs }: FeedRetention, most: number): FeedRetention {
  return {
    maxCount: countOption('maxCount', maxCount, most),
    maxAgeMs: maxAgeMs === undefined ? undefined : durationOption('maxAgeMs', maxAgeMs, Infinity),
  }
}
