// Where a message belongs: the hash of its channel and key, and the partition that is part of it.
import { hash } from 'node:crypto'
import type { OutboxRow, PartitionLease } from '../../../core/contracts/store.ts'
import type { Tables } from '../names.ts'
import type { Run } from './tables.ts'

/** Fixed with the schema: rows carry the number of theirs. */
export const PARTITIONS = 64

/** All of them, by the names of their lanes. */
export const PARTITION_NAMES: readonly string[] = Array.from({ length: PARTITIONS }, (_, index) => String(index))

/** The consumer whose lanes the partitions are. */
export const OUTBOX_CONSUMER = ''

/** Where a row belongs. Two keys of one hash (64 bits) would wait for one another, and no more. */
export function placeOf({ channel, envelope }: OutboxRow): { readonly part: number; readonly lane: bigint | null } {
  const { key, id } = envelope
  if (key === undefined) return { part: partOf(hashOf(id)), lane: null }
  const lane = hashOf(`${channel.kind}:${channel.name}\0${key}`)
  return { part: partOf(lane), lane }
}

/** The partitions that are still leased so, as a set of bits; 0 for none. `(? >> part) & 1` asks for one. */
export async function heldOf(run: Run, tables: Tables, leases: readonly PartitionLease[]): Promise<bigint> {
  if (leases.length === 0) return 0n
  const { rows } = await run(`select lane, epoch from ${tables.lane} where consumer = ? and member is not null`, [
    OUTBOX_CONSUMER,
  ])
  const epochs = new Map(rows.map(({ lane, epoch }) => [Number(lane), BigInt(epoch as number | bigint)]))
  let bits = 0n
  for (const { partition, epoch } of leases) if (epochs.get(partition) === epoch) bits |= 1n << BigInt(partition)
  return BigInt.asIntN(64, bits)
}

function hashOf(text: string): bigint {
  return hash('sha256', text, 'buffer').readBigInt64LE(0)
}

function partOf(lane: bigint): number {
  return Number(lane & BigInt(PARTITIONS - 1))
}
