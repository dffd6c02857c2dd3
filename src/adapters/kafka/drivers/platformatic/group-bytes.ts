// What a member is told and tells in the form that the broker has for it: partitions that it was given, offsets that it commits.
import type { PartitionCommit, TopicPartition } from '../../driver.ts'
import type { PlatformaticOffsets } from './types.ts'

/** What one member gets (ConsumerProtocolAssignment, any version). An empty answer is nothing. */
export function decodeAssignment(bytes: Buffer): readonly TopicPartition[] {
  if (bytes.length < 6) return []
  let at = 2
  const int32 = (): number => {
    at += 4
    return bytes.readInt32BE(at - 4)
  }
  const all: TopicPartition[] = []
  for (let topics = int32(); topics > 0; topics--) {
    const length = bytes.readInt16BE(at)
    const topic = bytes.toString('utf8', at + 2, at + 2 + length)
    at += 2 + length
    for (let partitions = int32(); partitions > 0; partitions--) all.push({ topic, partition: int32() })
  }
  return all
}

/** What is committed, by topic. */
export function offsetsByTopic(offsets: readonly PartitionCommit[]): PlatformaticOffsets[] {
  const topics = new Map<string, PlatformaticOffsets>()
  for (const { topic, partition, offset, note } of offsets) {
    const entry = topics.get(topic) ?? { name: topic, partitions: [] }
    topics.set(topic, entry)
    entry.partitions.push({
      partitionIndex: partition,
      committedOffset: BigInt(offset),
      committedLeaderEpoch: -1,
      committedMetadata: note,
    })
  }
  return [...topics.values()]
}
