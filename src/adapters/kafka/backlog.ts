// What waits for a group: what the broker knows of its places, and of partitions that are ours what we know ourselves.
import type { Backlog } from '../../core/contracts/transport.ts'
import type { TopicPartition } from './driver.ts'
import { openBetween } from './offset-tracker.ts'
import type { Topics } from './topics.ts'

/** A place of this process, as far as it is asked. */
export interface AskedPlace {
  /** How many of a partition that ends there could be handed out; undefined where it is not ours. */
  waitingOf(at: TopicPartition, end: number): number | undefined
}

/** Of a group. A topic beside the channel, where redriven messages are, belongs to it. */
export async function waitingOf(
  topics: Topics,
  { id, topic, retry }: { readonly id: string; readonly topic: string; readonly retry: string | undefined },
  place: AskedPlace | undefined,
): Promise<Backlog> {
  // A group that was never made has nothing to wait for; a queue, and what was put back, begin with all that there is.
  let waiting = await counted(topics, id, topic, retry === undefined, place)
  if (retry !== undefined && (await topics.partitions(retry)) !== undefined)
    waiting += await counted(topics, id, retry, true, place)
  return { waiting }
}

/** Of the live subscriptions of this process. */
export async function waitingLive(topics: Topics, topic: string, places: Iterable<AskedPlace>): Promise<Backlog> {
  const { ends } = await topics.bounds(topic)
  let waiting = 0
  for (const place of places)
    for (const [partition, end] of ends.entries()) waiting += place.waitingOf({ topic, partition }, end) ?? 0
  return { waiting }
}

async function counted(
  topics: Topics,
  id: string,
  topic: string,
  fromBeginning: boolean,
  place: AskedPlace | undefined,
): Promise<number> {
  const [{ ends, first }, committed] = await Promise.all([topics.bounds(topic), topics.committed(id, topic)])
  return ends.reduce((sum, end, partition) => {
    const ours = place?.waitingOf({ topic, partition }, end)
    if (ours !== undefined) return sum + ours
    const begin = first[partition] ?? 0
    const known = committed[partition]
    if (known !== undefined && known.offset >= begin) return sum + openBetween(known, end)
    return known === undefined && !fromBeginning ? sum : sum + Math.max(end - begin, 0)
  }, 0)
}
