// Records as kafkajs sends them, what it says of them, and answers in the order of partitions.
import type { FairleadError } from '../../../errors/index.ts'
import { brokerError, classifyKafka } from '../classify-kafka.ts'
import type { NewRecord } from '../driver.ts'
import type { KafkaJsSender } from './kafkajs-types.ts'

/** One answer for each, or why all of them failed. */
export async function send(
  producer: KafkaJsSender,
  records: readonly NewRecord[],
): Promise<readonly (FairleadError | undefined)[] | FairleadError> {
  const byTopic = new Map<string, { topic: string; messages: object[] }>()
  for (const { topic, partition, key, value, headers } of records) {
    let all = byTopic.get(topic)
    if (all === undefined) byTopic.set(topic, (all = { topic, messages: [] }))
    all.messages.push({ partition, key: buffer(key), value: buffer(value), headers })
  }
  let answer: unknown
  try {
    answer = await producer.sendBatch({ acks: -1, topicMessages: [...byTopic.values()] as never })
  } catch (error) {
    return classifyKafka(error)
  }
  // kafkajs says nothing of records for partitions that it does not know of, and leaves them out.
  const written = new Set(
    (answer as readonly { readonly topicName: string; readonly partition: number }[]).map(
      ({ topicName, partition }) => `${topicName} ${partition}`,
    ),
  )
  return records.map(({ topic, partition }) =>
    written.has(`${topic} ${partition}`)
      ? undefined
      : brokerError('UNKNOWN_TOPIC_OR_PARTITION', `topic ${topic} has no partition ${partition}`),
  )
}

/** By topic and partition. */
export function byPlace(records: readonly NewRecord[]): Map<string, NewRecord[]> {
  const places = new Map<string, NewRecord[]>()
  for (const record of records) {
    const place = `${record.topic} ${record.partition}`
    const all = places.get(place)
    if (all === undefined) places.set(place, [record])
    else all.push(record)
  }
  return places
}

/** Its bytes as kafkajs wants them; not copied. */
export function buffer(bytes: Uint8Array | null): Buffer | null {
  return bytes === null || Buffer.isBuffer(bytes)
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** What is said of each partition, at its place. */
export function byPartition<T extends { readonly partition: number }, R>(
  all: readonly T[],
  value: (each: T) => R,
): R[] {
  const result: R[] = []
  for (const each of all) result[each.partition] = value(each)
  return result
}
