// The outbox of a memory store: the sequence is drawn when a transaction commits, so order by sequence is order of commit.
import type { Clock } from '../../../core/clock.ts'
import type {
  DeadRow,
  OutboxRow,
  OutboxStats,
  PartitionLease,
  PendingRow,
  RowVerdict,
} from '../../../core/contracts/store.ts'
import { ageOption, countOption, durationOption } from '../../../core/options.ts'
import { giveBack, isCurrent, isHeldBy, newShare, type Share, shareOut } from '../../../core/shares.ts'
import { Blocks, type Dead, orderOf, PARTITIONS, partitionOf, pendingRow, type Row, Rows } from './rows.ts'
import type { MemoryTransaction } from './transaction.ts'

/** What all views of a database share. */
export class OutboxTable {
  private readonly clock: Clock
  private readonly rows = new Rows()
  private readonly blocks = new Blocks()
  private readonly graves = new Map<bigint, Dead>()
  /** When each was published, oldest first. */
  private readonly archived: { readonly row: Row; readonly since: number }[] = []
  private readonly relays = new Map<string, number>()
  /** Made for the first relay. */
  private shares: readonly Share[] = []
  private sequence = 0n

  constructor(clock: Clock) {
    this.clock = clock
  }

  append(tx: MemoryTransaction, rows: readonly OutboxRow[]): void {
    const copies = rows.map(copyOf)
    tx.join({
      apply: () => {
        const at = this.clock.now()
        for (const row of copies)
          this.rows.add({
            ...row,
            sequence: ++this.sequence,
            partition: partitionOf(row),
            order: orderOf(row),
            at,
            attempts: 0,
            until: -Infinity,
            gone: false,
          })
      },
    })
  }

  lease(relay: string, forMs: number): readonly PartitionLease[] {
    const now = this.clock.now()
    const until = now + durationOption('forMs', forMs, 0)
    if (this.shares.length === 0) this.shares = Array.from({ length: PARTITIONS }, newShare)
    const surplus = shareOut(this.relays, this.shares, relay, now, until, 'kept')
    const leases: PartitionLease[] = []
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const share = this.shares[partition] as Share
      const { epoch } = share
      if (surplus.has(share)) leases.push({ partition, epoch, until: now, surplus: true })
      else if (isHeldBy(share, relay, now)) leases.push({ partition, epoch, until })
    }
    return leases
  }

  release(leases: readonly PartitionLease[], relay?: string | undefined): void {
    if (relay !== undefined) this.relays.delete(relay)
    for (const { partition, epoch } of leases) {
      const share = this.shares[partition]
      if (share !== undefined) giveBack(this.relays, this.shares, share, epoch)
    }
  }

  pending(leases: readonly PartitionLease[], limit: number): readonly PendingRow[] {
    if (this.rows.size === 0) return []
    const now = this.clock.now()
    const found: PendingRow[] = []
    for (const row of this.rows.of(this.current(leases))) {
      if (found.length >= limit) break
      if (row.until <= now && !this.blocks.blocks(row, now)) found.push(pendingRow(row))
    }
    return found
  }

  settle(leases: readonly PartitionLease[], verdicts: readonly RowVerdict[], archive: boolean): number {
    const held = new Set(this.current(leases))
    let settled = 0
    for (const verdict of verdicts) {
      const row = this.rows.find(verdict.sequence)
      if (row === undefined || !held.has(row.partition)) continue
      this.judge(row, verdict, archive)
      settled++
    }
    return settled
  }

  /** Rows that are neither published nor dead. */
  get backlog(): number {
    return this.rows.size
  }

  stats(): OutboxStats {
    const now = this.clock.now()
    let oldest = now
    for (const at of this.rows.oldest()) if (at < oldest) oldest = at
    return {
      backlog: this.rows.size,
      dead: this.graves.size,
      blockedKeys: this.blocks.count(now),
      oldestMs: now - oldest,
    }
  }

  dead(limit: number): readonly DeadRow[] {
    const graves = [...this.graves.values()].sort(byAge).slice(0, countOption('limit', limit, 0, 0))
    return graves.map(({ row, reason, at }) => ({ ...pendingRow(row), reason, at }))
  }

  skip(ids: readonly string[]): number {
    const wanted = new Set(ids)
    const rows = [...this.rows.all(), ...[...this.graves.values()].map(({ row }) => row)]
    const skipped = rows.filter(({ envelope }) => wanted.has(envelope.id))
    for (const row of skipped) this.forget(row)
    return skipped.length
  }

  redrive(ids: readonly string[] | 'all'): number {
    const wanted = ids === 'all' ? undefined : new Set(ids)
    const again = [...this.graves.values()].filter(({ row }) => wanted?.has(row.envelope.id) ?? true)
    for (const { row } of again) {
      this.forget(row)
      this.rows.add(Object.assign(row, { attempts: 0, until: -Infinity }))
    }
    return again.length
  }

  purge(olderThanMs: number, limit: number, dead: boolean): number {
    const before = this.clock.now() - ageOption('olderThanMs', olderThanMs)
    const most = countOption('limit', limit, 0, 0)
    if (dead) {
      const old = [...this.graves.values()]
        .filter(({ since }) => since <= before)
        .sort(byAge)
        .slice(0, most)
      for (const { row } of old) this.forget(row)
      return old.length
    }
    let count = 0
    while (count < most && (this.archived[count]?.since ?? Infinity) <= before) count++
    this.archived.splice(0, count)
    return count
  }

  private judge(row: Row, verdict: RowVerdict, archive: boolean): void {
    const now = this.clock.now()
    this.blocks.clear(row)
    switch (verdict.verdict) {
      case 'published':
        this.rows.remove(row)
        if (archive) this.archived.push({ row, since: now })
        break
      case 'retry':
        if (verdict.counts !== false) row.attempts++
        row.until = now + durationOption('delayMs', verdict.delayMs, 0, 0)
        this.blocks.fail(row)
        break
      case 'hold':
        row.until = now + durationOption('delayMs', verdict.delayMs, 0, 0)
        break
      case 'dead': {
        const { reason, blocksKey } = verdict
        this.rows.remove(row)
        row.attempts++
        this.graves.set(row.sequence, { row, reason, blocksKey, since: now, at: this.clock.wallNow() })
        if (blocksKey) this.blocks.die(row)
      }
    }
  }

  private forget(row: Row): void {
    this.blocks.clear(row)
    this.rows.remove(row)
    this.graves.delete(row.sequence)
  }

  // Those that nobody else has by now.
  private current(leases: readonly PartitionLease[]): readonly number[] {
    const current: number[] = []
    for (const { partition, epoch } of leases) if (isCurrent(this.shares[partition], epoch)) current.push(partition)
    return current
  }
}

const byAge = (a: Dead, b: Dead): number => a.since - b.since || (a.row.sequence < b.row.sequence ? -1 : 1)

// What the caller does to its own afterwards changes nothing here.
function copyOf({ channel, envelope }: OutboxRow): OutboxRow {
  const { attributes, headers, body } = envelope
  return {
    channel: { kind: channel.kind, name: channel.name },
    envelope: { ...envelope, attributes: { ...attributes }, headers: { ...headers }, body: new Uint8Array(body) },
  }
}
