// What was given up: a compacted topic beside the channel, one record each, and a tombstone once it was put back.

import type { Clock } from '../../core/clock.ts'
import type { DeadLetter } from '../../core/contracts/transport.ts'
import type { Envelope } from '../../core/message.ts'
import { endsWithin } from '../../core/patience.ts'
import type { FairleadError } from '../../errors/index.ts'
import type { KafkaDriver, KafkaRecord, NewRecord } from './driver.ts'
import type { Entry } from './lanes/partition.ts'
import { AT_HEADER, contentTypeOf, envelopeOf, REASON_HEADER, REDRIVEN_HEADER, VALUE_HEADER, valueFor } from './wire.ts'

const PARTITION_KEY = 'ce_partitionkey'
const MOST_REASON = 2_000
// Where the end of the log was compacted away no record comes any more.
const IDLE_MS = 1_500

/** The record of a dead letter. Its key is the place it was given up at: the same message given up twice is one letter. */
export function deadRecord(
  topic: string,
  { lane, offset, envelope, record }: Entry,
  reason: string,
  at: number,
): NewRecord {
  const { topic: from, partition } = lane.at
  const headers: Record<string, string> = { ...record.headers }
  if (envelope.key !== undefined) headers[PARTITION_KEY] ??= envelope.key
  headers[REASON_HEADER] = reason.slice(0, MOST_REASON)
  headers[AT_HEADER] = String(at)
  if (!record.value?.byteLength) headers[VALUE_HEADER] = record.value === null ? 'null' : 'empty'
  else delete headers[VALUE_HEADER]
  delete headers[REDRIVEN_HEADER]
  return {
    topic,
    partition: 0,
    key: Buffer.from(`${from}/${partition}/${offset}`),
    // Without a value it would be the end of the letter.
    value: record.value ?? new Uint8Array(0),
    headers,
  }
}

/** A dead letter as it stands in its topic. */
export interface KeptLetter {
  readonly key: Uint8Array
  readonly record: KafkaRecord
  readonly envelope: Envelope
  readonly letter: DeadLetter
}

/** All that stand in a topic, oldest first. Reads it from the beginning to where it ends now. */
export async function readDead(driver: KafkaDriver, topic: string, clock: Clock): Promise<readonly KeptLetter[]> {
  const [earliest, latest] = await Promise.all([driver.offsets(topic, 'earliest'), driver.offsets(topic, 'latest')])
  const places = earliest.flatMap((offset, partition) =>
    offset < (latest[partition] as number) ? [{ topic, partition, offset }] : [],
  )
  if (places.length === 0) return []
  const letters = new Map<string, KeptLetter>()
  const left = new Set(places.map(({ partition }) => partition))
  let failure: FairleadError | undefined
  let heard = (): void => {}
  const reader = await driver.read(places, {
    onRecords: ({ partition }, records) => {
      for (const record of records) {
        if (record.offset >= (latest[partition] as number) || record.key === null) continue
        const id = Buffer.from(record.key).toString('utf8')
        letters.delete(id)
        if (record.value !== null) letters.set(id, keptLetter(topic, partition, id, record))
      }
      if ((records.at(-1)?.offset ?? -1) + 1 >= (latest[partition] as number)) left.delete(partition)
      heard()
    },
    onEnded: (error) => {
      failure = error
      heard()
    },
  })
  try {
    while (left.size > 0 && failure === undefined) {
      const next = new Promise<void>((resolve) => {
        heard = resolve
      })
      if (!(await endsWithin(next, IDLE_MS, clock))) break
    }
  } finally {
    await reader.close()
  }
  if (failure !== undefined) throw failure
  return [...letters.values()]
}

/** What goes back, all but where to. */
export function redriven({ record, envelope }: KeptLetter): Pick<NewRecord, 'key' | 'value' | 'headers'> {
  const { [REASON_HEADER]: _, [AT_HEADER]: __, [VALUE_HEADER]: had, ...headers } = record.headers
  return {
    key: envelope.key === undefined ? null : Buffer.from(envelope.key),
    // Where nothing is said of it (letters of before): as it would be sent.
    value: had === 'null' ? null : had === 'empty' ? record.value : valueFor(record.value, contentTypeOf(headers)),
    headers: { ...headers, [REDRIVEN_HEADER]: '1' },
  }
}

function keptLetter(topic: string, partition: number, id: string, record: KafkaRecord): KeptLetter {
  const plain = { ...record, key: null }
  const found = envelopeOf(plain, topic, partition)
  // What had no id of its own keeps that of the place where it stood.
  const own = found.id !== `${topic}/${partition}/${record.offset}`
  const key = found.key ?? record.headers[PARTITION_KEY]
  const envelope = own && key === found.key ? found : { ...found, key, id: own ? found.id : id }
  return {
    key: record.key as Uint8Array,
    record,
    envelope,
    letter: {
      envelope,
      reason: record.headers[REASON_HEADER] ?? '',
      at: Number(record.headers[AT_HEADER]) || record.timestamp,
    },
  }
}
