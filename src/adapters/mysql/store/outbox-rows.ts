// Rows of the outbox: as values of an insert, and as what was read.
import type { DeadRow, OutboxRow, PendingRow } from '../../../core/contracts/store.ts'
import { digestOf } from '../../../core/digest.ts'
import { packHead, unpackEnvelope } from '../../../core/packed-envelope.ts'
import { createError } from '../../../errors/index.ts'
import { literal } from '../literals.ts'
import { NOW_MS } from '../time.ts'
import { bigintOf, bytesOf, storable, textOf } from './values.ts'

/** How many partitions an outbox has. Fixed with the tables. */
export const PARTITIONS = 64

/** How many rows there are for those who append to lock. Fixed with the tables. */
export const BUCKETS = 1_024

/** What an insert fills. */
export const INSERT_COLUMNS =
  'partition_no, lane, channel_kind, channel_name, message_id, message_key, head, body, created_ms'

/** What the outbox and the tables of the dead and the archived have in common. */
export const SHARED_COLUMNS: string = `sequence, ${INSERT_COLUMNS}, attempts`

/** What is read of a row: texts as bytes, so that no character set of a connection changes them. */
export const READ_COLUMNS: string = `o.sequence, o.partition_no, o.channel_kind, cast(o.channel_name as binary) as channel_name,
  cast(o.message_id as binary) as message_id, cast(o.message_key as binary) as message_key, cast(o.head as binary) as head, o.body, o.attempts`

/** A row to be inserted. */
export interface Written {
  readonly id: string
  /** Which row its writer locks; undefined without a key, where there is no order to keep. */
  readonly bucket: number | undefined
  readonly bytes: number
  /** Its values as SQL. */
  values(): string
}

/** @throws FairleadError `INVALID_INPUT` for a text that is no Unicode text */
export function writtenOf({ channel, envelope }: OutboxRow): Written {
  const { id, key, body } = envelope
  storable('the id of a message', id)
  storable('the name of a channel', channel.name)
  // Order is kept per channel and key.
  const digest =
    key === undefined ? digestOf('id', id) : digestOf(channel.kind, channel.name, storable('the key of a message', key))
  // Its last byte says which partition it is of.
  const lane = key === undefined ? null : digest.subarray(0, 16)
  const head = packHead(envelope)
  return {
    id,
    bucket: lane === null ? undefined : ((digest[17] as number) * 256 + (digest[18] as number)) % BUCKETS,
    bytes: body.byteLength + head.length + id.length + (key?.length ?? 0) + channel.name.length,
    values: () =>
      `(${(digest[15] as number) % PARTITIONS},${literal(lane)},${literal(channel.kind)},${literal(channel.name)},${literal(id)},${literal(key ?? null)},${literal(head)},${literal(body)},${NOW_MS})`,
  }
}

/** A row that was read. */
export function pendingOf(row: Readonly<Record<string, unknown>>): PendingRow {
  const kind = textOf(row['channel_kind'])
  if (kind !== 'queue' && kind !== 'topic')
    throw createError({
      code: 'PROTOCOL_VIOLATION',
      message: `a row of the outbox is for a ${kind}`,
      transport: 'mysql',
    })
  const key = row['message_key']
  return {
    channel: { kind, name: textOf(row['channel_name']) },
    envelope: unpackEnvelope(
      textOf(row['message_id']),
      key === null || key === undefined ? undefined : textOf(key),
      textOf(row['head']),
      bytesOf(row['body']),
    ),
    sequence: bigintOf(row['sequence']),
    partition: Number(row['partition_no']),
    attempts: Number(row['attempts']),
  }
}

/** A dead row that was read. */
export function deadOf(row: Readonly<Record<string, unknown>>): DeadRow {
  return { ...pendingOf(row), reason: textOf(row['reason']), at: Number(row['died_ms']) }
}
