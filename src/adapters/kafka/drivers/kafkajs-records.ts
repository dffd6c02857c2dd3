// Partitions and records in the words of kafkajs, and back.
import { createError, type FairleadError } from '../../../errors/index.ts'
import type { KafkaRecord, TopicPartition } from '../driver.ts'
import type { KafkaJsMessage } from './kafkajs-types.ts'

const LOST = 'the partitions were given to another member'

/** The name of a partition. */
export function keyOf({ topic, partition }: TopicPartition): string {
  return `${topic} ${partition}`
}

/** As kafkajs pauses and resumes them. */
export function grouped(partitions: readonly TopicPartition[]): { topic: string; partitions: number[] }[] {
  const byTopic = new Map<string, number[]>()
  for (const { topic, partition } of partitions) {
    const all = byTopic.get(topic)
    if (all === undefined) byTopic.set(topic, [partition])
    else all.push(partition)
  }
  return [...byTopic].map(([topic, all]) => ({ topic, partitions: all }))
}

/** A record as kafkajs read it. */
export function recordOf(offset: number, { key, value, headers, timestamp }: KafkaJsMessage): KafkaRecord {
  const texts: Record<string, string> = Object.create(null)
  for (const name in headers) {
    const given = headers[name]
    const one = Array.isArray(given) ? given.at(-1) : given
    if (one !== undefined && one !== null) texts[name] = typeof one === 'string' ? one : one.toString('utf8')
  }
  return { offset, key, value, headers: texts, timestamp: Number(timestamp) }
}

/** Of a verdict that comes too late. */
export function lost(): FairleadError {
  return createError({ code: 'LEASE_LOST', message: LOST, transport: 'kafka' })
}
