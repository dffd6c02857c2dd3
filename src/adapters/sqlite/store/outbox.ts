// The outbox: rows are written in the user's transaction, read by sequence, and deleted when they are published.
import type { OutboxStore, PartitionLease, RowVerdict } from '../../../core/contracts/store.ts'
import { countOption, durationOption } from '../../../core/options.ts'
import { packHead } from '../../../core/packed-envelope.ts'
import { leaseLanes, releaseLanes } from './lanes.ts'
import { outboxCare } from './outbox-care.ts'
import { settleRows } from './outbox-settle.ts'
import { heldOf, OUTBOX_CONSUMER, PARTITION_NAMES, placeOf } from './partitions.ts'
import { rowOf } from './rows.ts'
import { type Ground, VOID } from './tables.ts'

/** The outbox of a store. */
export function outboxOf<Tx>(ground: Ground<Tx>, archive: boolean): OutboxStore<Tx> {
  const { tables, clock, now, date, inside, alone, together } = ground
  const scan = tables['outbox:scan']
  const append = `insert into ${tables.outbox} (part, lane, kind, channel, id, key, head, body, added_at) values (?, ?, ?, ?, ?, ?, ?, ?, ?)`
  const pending = `select seq, part, kind, channel, id, key, head, body, attempts from ${tables.outbox} where seq in (
    select seq from ${tables.outbox} o indexed by ${scan}
    where (? >> part) & 1 and (until is null or until <= ?)
    and (lane is null or not exists (select 1 from ${tables.block} b where b.lane = o.lane and b.seq < o.seq and (b.until is null or b.until > ?)))
    order by seq limit ?) order by seq`

  return {
    // One connection writes at a time, from BEGIN IMMEDIATE on: the order of the sequence is that of the commits, with no lock of ours.
    async append(tx, rows) {
      const run = inside(tx)
      const at = date()
      for (const row of rows) {
        const { channel, envelope } = row
        const { part, lane } = placeOf(row)
        await run(append, [
          part,
          lane,
          channel.kind,
          channel.name,
          envelope.id,
          envelope.key ?? null,
          packHead(envelope),
          envelope.body,
          at,
        ])
      }
    },

    async lease(relay, forMs) {
      durationOption('forMs', forMs, forMs)
      const askedAt = clock.now()
      const held = await together(async (run) => {
        const at = now()
        for (const table of [tables.outbox, tables.block])
          await run(`update ${table} set until = 0 where until is not null and ${VOID}`, [at])
        return leaseLanes(run, tables, OUTBOX_CONSUMER, relay, PARTITION_NAMES, forMs, at, 'kept')
      })
      return held.map(({ lane, epoch, surplus }): PartitionLease => {
        const partition = Number(lane)
        return surplus === true
          ? { partition, epoch, until: askedAt, surplus }
          : { partition, epoch, until: askedAt + forMs }
      })
    },

    async release(leases, relay) {
      if (leases.length === 0 && relay === undefined) return
      const lanes = leases.map(({ partition, epoch }) => ({ lane: String(partition), epoch }))
      await together((run) => releaseLanes(run, tables, OUTBOX_CONSUMER, lanes, relay))
    },

    async pending(leases, limit) {
      const held = await heldOf(alone, tables, leases)
      if (held === 0n) return []
      const at = now()
      const { rows } = await alone(pending, [held, at, at, countOption('limit', limit, 0, 0)])
      return rows.map(rowOf)
    },

    async settle(leases: readonly PartitionLease[], verdicts: readonly RowVerdict[]) {
      if (verdicts.length === 0 || leases.length === 0) return 0
      return together(async (run) => {
        const held = await heldOf(run, tables, leases)
        return held === 0n ? 0 : settleRows(run, tables, held, verdicts, { now: now(), date: date() }, archive)
      })
    },

    ...outboxCare(ground),
  }
}
