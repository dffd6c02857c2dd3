// Since when a topic still has all its messages. Kafka does not say it: it says where a partition begins, and what the first record at or after a time is.
import type { Clock } from '../../core/clock.ts'
import type { ChannelAddress } from '../../core/message.ts'
import { isFairleadError } from '../../errors/index.ts'
import type { KafkaDriver } from './driver.ts'
import { topicName } from './options.ts'

// Of how long ago it was: a week to the minute. A snapshot that is refused for it is asked for again.
const CLOSE_ENOUGH = 1 / 10_000
const TRIES = 3
// By so much may the clocks of producers be ahead.
const AHEAD_MS = 60_000
const SETTINGS = ['cleanup.policy', 'retention.ms', 'retention.bytes'] as const

/**
 * Milliseconds since 1970, a little too late rather than too early. `-Infinity`: nothing was deleted; undefined: nobody can say. It goes by the times that the records
 * have, as `from.time` does.
 */
export async function retainedSince(
  driver: KafkaDriver,
  channel: ChannelAddress,
  clock: Clock,
): Promise<number | undefined> {
  const topic = topicName(channel.name)
  if (channel.kind === 'queue') return undefined
  if (driver.config === undefined || (await driver.partitions(topic)) === undefined) return undefined
  const config = await allowed(driver.config(topic, SETTINGS))
  const policy = config?.['cleanup.policy']
  // Compaction takes records out of the middle, and no offset tells of it.
  if (config === undefined || policy === undefined || policy.includes('compact')) return undefined
  for (let tries = 0; tries < TRIES; tries++) {
    const [first, ends] = await Promise.all([driver.offsets(topic, 'earliest'), driver.offsets(topic, 'latest')])
    const begun = first.flatMap((offset, partition) => (offset > 0 ? [{ partition, offset }] : []))
    if (begun.length === 0) return -Infinity
    const now = Math.floor(clock.wallNow())
    // What was the last in a partition that has nothing left is not known: only that it was too old.
    const emptied = begun.some(({ partition, offset }) => offset >= (ends[partition] ?? 0))
    const purgedTo = emptied ? purged(config, now) : -Infinity
    const kept = begun.filter(({ partition, offset }) => offset < (ends[partition] ?? 0))
    const since = kept.length === 0 ? -Infinity : await search(driver, topic, kept, now + AHEAD_MS)
    if (purgedTo === undefined || since === undefined) return undefined
    // What was deleted meanwhile would have spoiled the search.
    const still = await driver.offsets(topic, 'earliest')
    if (first.every((offset, partition) => offset === still[partition])) return Math.max(since, purgedTo)
  }
  return undefined
}

// By time only: what is deleted for its size may be of any age.
function purged(config: Readonly<Record<string, string>>, now: number): number | undefined {
  const retentionMs = Number(config['retention.ms'])
  const byTime = config['cleanup.policy'] === 'delete' && config['retention.bytes'] === '-1'
  return byTime && retentionMs >= 0 ? now - retentionMs : undefined
}

/**
 * After the first record of each of them. The age is halved on a logarithmic scale, which takes some twenty questions whatever it is.
 */
async function search(
  driver: KafkaDriver,
  topic: string,
  kept: readonly { readonly partition: number; readonly offset: number }[],
  now: number,
): Promise<number | undefined> {
  /** Whether one of them begins at or after a time. */
  const begins = async (time: number): Promise<boolean> => {
    const found = await driver.offsets(topic, { time })
    return kept.some(({ partition, offset }) => (found[partition] as number) <= offset)
  }
  // Records without times, or of a clock that is ahead of ours.
  if (!(await begins(0)) || (await begins(now))) return undefined
  let [young, old] = [0, now]
  for (;;) {
    const between = Math.round(Math.sqrt(Math.max(young, 1) * old))
    if (between <= young || between >= old || old - young <= old * CLOSE_ENOUGH) return now - young
    if (await begins(now - between)) old = between
    else young = between
  }
}

// Whoever may only read a topic is not told how it is kept.
async function allowed<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work
  } catch (error) {
    if (isFairleadError(error, 'FORBIDDEN')) return undefined
    throw error
  }
}
