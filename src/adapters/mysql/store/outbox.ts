// The outbox of the MySQL store: appending in the caller's transaction, and what relays do.
import type { OutboxStore, PartitionLease, PendingRow } from '../../../core/contracts/store.ts'
import { countOption } from '../../../core/options.ts'
import { createError, isFairleadError, withFields } from '../../../errors/index.ts'
import { isAhead } from '../time.ts'
import { outboxCare } from './outbox-care.ts'
import { outboxLeases } from './outbox-leases.ts'
import { INSERT_COLUMNS, PARTITIONS, pendingOf, READ_COLUMNS, type Written, writtenOf } from './outbox-rows.ts'
import { settleOutbox } from './outbox-settle.ts'
import type { Session } from './session.ts'
import { numbersOf } from './values.ts'

// An insert is ended at about so many bytes; every server takes 1 MiB at once.
const STATEMENT_BYTES = 400_000
const SMALLEST_PACKET = 1_000_000

/** The outbox in these tables. */
export function mysqlOutbox<Tx>(session: Session<Tx>, archive: boolean): OutboxStore<Tx> {
  const { tables, read, query } = session
  const { outbox, bucket, outbox_block: block, outbox_partition: partition } = tables
  const leases = outboxLeases(session)
  const settle = settleOutbox(session, archive)

  // Of the rows of a partition, those that may be published now.
  const free = `not ${isAhead('o.due_ms', 'o.wait_ms')} and not exists (select 1 from ${block} b where b.lane = o.lane and b.sequence < o.sequence and (b.until_ms is null or ${isAhead('b.until_ms', 'b.wait_ms')}))`

  const insert = async (tx: Tx, rows: readonly Written[], largest: number): Promise<void> => {
    const sql = `insert into ${outbox} (${INSERT_COLUMNS}) values ${rows.map((row) => row.values()).join(',')}`
    const bytes = Buffer.byteLength(sql)
    if (bytes + 64 > largest) throw tooLarge(rows, bytes, largest)
    await query(tx, sql)
  }
  // Before the sequence is drawn, in one order for all, and until the transaction ends: so whoever draws a higher one for a key commits later.
  // An update, though it changes nothing: the server says with its answer whether there is a transaction to hold the locks.
  const lock = async (tx: Tx, buckets: ReadonlySet<number>): Promise<void> => {
    const numbers = [...buckets].sort((a, b) => a - b)
    try {
      await query(tx, `update ${bucket} force index (primary) set turn = turn where bucket in (${numbers.join(',')})`)
    } catch (error) {
      // Nothing was appended yet.
      throw isFairleadError(error) && error.effect === 'unknown' ? withFields(error, { effect: 'none' }) : error
    }
  }
  const largestPacket = async (tx: Tx): Promise<number> =>
    Number((await query(tx, 'select @@max_allowed_packet as bytes')).rows[0]?.['bytes'])

  // All partitions: by sequence, from the beginning of the table.
  const scan = async (held: readonly PartitionLease[], limit: number): Promise<readonly PendingRow[]> => {
    const { rows } = await read(
      `select ${READ_COLUMNS} from ${outbox} o force index (primary) straight_join ${partition} p on p.partition_no = o.partition_no
where (p.partition_no, p.epoch) in (${held.map(({ partition, epoch }) => `(${partition},${epoch})`).join(',')}) and p.relay is not null and ${free}
order by o.sequence limit ${limit}`,
    )
    return rows.map(pendingOf)
  }

  // Some: the first rows of each, as many as are needed to have the first of all.
  const gather = async (held: readonly PartitionLease[], limit: number): Promise<readonly PendingRow[]> => {
    let each = Math.min(limit, Math.ceil((limit * 4) / held.length) + 8)
    for (;;) {
      const { rows } = await read(
        held
          .map(
            ({
              partition: number,
              epoch,
            }) => `(select o.sequence as sequence, o.partition_no as partition_no from ${outbox} o force index (by_partition)
where o.partition_no = ${number} and ${free} and exists (select 1 from ${partition} p where p.partition_no = ${number} and p.epoch = ${epoch} and p.relay is not null)
order by o.sequence limit ${each})`,
          )
          .join(' union all '),
      )
      const { first, whole } = firstOf(rows, each)
      // Where one partition has more than the others, its rows end before those of the others do.
      if (first.length < limit && !whole && each < limit) {
        each = limit
        continue
      }
      if (first.length === 0) return []
      const found = await read(
        `select ${READ_COLUMNS} from ${numbersOf(first.slice(0, limit))} straight_join ${outbox} o force index (primary) on o.sequence = w.n order by o.sequence`,
      )
      return found.rows.map(pendingOf)
    }
  }

  return {
    async append(tx, rows) {
      if (rows.length === 0) return
      const written = rows.map(writtenOf)
      const buckets = new Set<number>()
      for (const { bucket } of written) if (bucket !== undefined) buckets.add(bucket)
      // Outside of a transaction each statement would be committed by itself.
      if (buckets.size === 0) await session.mustBeOpen(tx)
      else await lock(tx, buckets)
      let largest = Number.POSITIVE_INFINITY
      for (const batch of batchesOf(written)) {
        const bytes = batch.reduce((sum, row) => sum + row.bytes, 0)
        if (bytes > SMALLEST_PACKET / 2 && largest === Number.POSITIVE_INFINITY) {
          largest = await largestPacket(tx)
          if (bytes > largest) throw tooLarge(batch, bytes, largest)
        }
        await insert(tx, batch, largest)
      }
    },
    lease: leases.lease,
    release: leases.release,
    async pending(held, limit) {
      if (held.length === 0 || countOption('limit', limit, 0, 0) === 0) return []
      return (held.length === PARTITIONS ? scan : gather)(held, limit)
    },
    settle: async (held, verdicts) => (held.length === 0 || verdicts.length === 0 ? 0 : settle(held, verdicts)),
    ...outboxCare(session),
  }
}

// Rows of several partitions, up to the last one before which none is missing.
function firstOf(
  rows: readonly Readonly<Record<string, unknown>>[],
  each: number,
): { readonly first: readonly number[]; readonly whole: boolean } {
  const counts = new Map<unknown, number>()
  const lasts = new Map<unknown, number>()
  for (const { partition_no: number, sequence } of rows) {
    counts.set(number, (counts.get(number) ?? 0) + 1)
    lasts.set(number, Math.max(lasts.get(number) ?? 0, Number(sequence)))
  }
  let end = Number.POSITIVE_INFINITY
  for (const [number, count] of counts) if (count >= each) end = Math.min(end, lasts.get(number) as number)
  const first = rows
    .map(({ sequence }) => Number(sequence))
    .filter((sequence) => sequence <= end)
    .sort((a, b) => a - b)
  return { first, whole: end === Number.POSITIVE_INFINITY }
}

function* batchesOf(rows: readonly Written[]): IterableIterator<readonly Written[]> {
  let batch: Written[] = []
  let bytes = 0
  for (const row of rows) {
    if (batch.length > 0 && bytes + row.bytes + 300 > STATEMENT_BYTES) {
      yield batch
      batch = []
      bytes = 0
    }
    batch.push(row)
    bytes += row.bytes + 300
  }
  if (batch.length > 0) yield batch
}

function tooLarge(rows: readonly Written[], bytes: number, largest: number): Error {
  return createError({
    code: 'PAYLOAD_TOO_LARGE',
    message: `the message ${rows
      .map(({ id }) => id)
      .join(', ')
      .slice(
        0,
        100,
      )} makes a statement of ${bytes} bytes, and max_allowed_packet of the server is ${largest}: raise it, or send less`,
    transport: 'mysql',
    details: { bytes, largest },
  })
}
