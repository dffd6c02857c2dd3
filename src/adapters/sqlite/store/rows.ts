// Rows of the outbox as they are read.
import type { OutboxRow, PendingRow } from '../../../core/contracts/store.ts'
import { unpackEnvelope } from '../../../core/packed-envelope.ts'

/** Columns that an outbox row and a dead one have in common. */
export const ROW_COLUMNS = 'seq, part, lane, kind, channel, id, key, head, body, added_at'

/** A row as it is read. */
export function rowOf(row: Readonly<Record<string, unknown>>): PendingRow {
  const { kind, channel, id, key, head, body } = row as Readonly<Record<string, string>>
  return {
    sequence: BigInt(row['seq'] as number | bigint),
    partition: row['part'] as number,
    attempts: row['attempts'] as number,
    channel: { kind: kind as OutboxRow['channel']['kind'], name: channel as string },
    envelope: unpackEnvelope(id as string, key, head as string, body as unknown as Uint8Array),
  }
}
