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

/** The records from an offset on. */
export function recordsFrom(next: number, messages: readonly KafkaJsMessage[]): readonly KafkaRecord[] {
  const records: KafkaRecord[] = []
  for (const message of messages) {
    const offset = Number(message.offset)
    if (offset >= next) records.push(recordOf(offset, message))
  }
  return records
}

/**
 * Whether kafkajs ended a consumer for what will pass: where the connection breaks just while it asks for the coordinator (a broker that is being stopped), it
 * takes the answer for final, and does not ask the user's `restartOnFailure`. What it knows to pass it begins again by itself, unless that forbids it.
 */
export function gaveUpEarly(thrown: unknown, { code }: FairleadError): boolean {
  if (code !== 'UNAVAILABLE') return false
  let cause = thrown as { readonly cause?: unknown; readonly name?: unknown; readonly retriable?: unknown }
  if (cause.name === 'KafkaJSNumberOfRetriesExceeded') return false
  while (typeof cause.cause === 'object' && cause.cause !== null) cause = cause.cause
  return cause.retriable !== true
}

/** A record as kafkajs read it. */
function recordOf(offset: number, { key, value, headers, timestamp }: KafkaJsMessage): KafkaRecord {
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
