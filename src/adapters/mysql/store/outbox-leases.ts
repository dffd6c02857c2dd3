// Who has which partitions of the outbox. All rows of the table are locked first, in their order, so that those who lease take turns and nobody waits in a circle.
import type { PartitionLease } from '../../../core/contracts/store.ts'
import { durationOption } from '../../../core/options.ts'
import { giveBack, isHeldBy, lastsUntil, type Share, shareOut } from '../../../core/shares.ts'
import type { Run } from '../driver.ts'
import { NOW_MS } from '../time.ts'
import type { Session } from './session.ts'
import { bigintOf, bytesOf, notedOf, numbersOf, shortDigestOf } from './values.ts'

interface Part extends Share {
  readonly partition: number
}

interface Book {
  readonly now: number
  readonly parts: readonly Part[]
  readonly members: Map<string, number>
}

/** The two operations. */
export interface OutboxLeases {
  lease(relay: string, forMs: number): Promise<readonly PartitionLease[]>
  release(leases: readonly PartitionLease[], relay?: string | undefined): Promise<void>
}

/** Leases of the partitions in these tables. */
export function outboxLeases<Tx>({ tables, clock, own }: Session<Tx>): OutboxLeases {
  const { outbox_partition: partition, outbox_relay: relays } = tables

  const open = async (run: Run): Promise<Book> => {
    const { rows } = await run(
      `select partition_no, epoch, relay, until_ms, wait_ms, ${NOW_MS} as now_ms from ${partition} order by partition_no for update`,
    )
    const known = await run(`select relay, until_ms, wait_ms from ${relays}`)
    const now = Number(rows[0]?.['now_ms'])
    return {
      now,
      parts: rows.map((row) => ({
        partition: Number(row['partition_no']),
        epoch: bigintOf(row['epoch']),
        member: row['relay'] === null ? undefined : nameOf(row['relay']),
        until: lastsUntil(notedOf(row), now),
      })),
      members: new Map(known.rows.map((row) => [nameOf(row['relay']), lastsUntil(notedOf(row), now)])),
    }
  }
  // What differs from how it was is written, by primary key.
  const write = async (run: Run, before: readonly Part[], after: readonly Part[], wait = 0): Promise<void> => {
    const changed = after.filter((part, at) => !isSame(part, before[at] as Part))
    const alike = new Map<string, Part[]>()
    for (const part of changed) {
      const name = `${part.member} ${part.until} ${isTaken(part, before)}`
      const parts = alike.get(name)
      if (parts === undefined) alike.set(name, [part])
      else parts.push(part)
    }
    for (const parts of alike.values()) {
      const [first] = parts as [Part]
      const { member, until } = first
      await run(
        `update ${numbersOf(parts.map(({ partition }) => partition))} straight_join ${partition} p force index (primary) on p.partition_no = w.n
set p.relay = ?, p.until_ms = ?, p.wait_ms = ?, p.epoch = p.epoch + ?`,
        [member === undefined ? null : Buffer.from(member, 'hex'), until, wait, isTaken(first, before) ? 1 : 0],
      )
    }
  }
  const forget = async (run: Run, gone: Iterable<string>): Promise<void> => {
    for (const member of gone) await run(`delete from ${relays} where relay = ?`, [Buffer.from(member, 'hex')])
  }

  return {
    async lease(relay, forMs) {
      durationOption('forMs', forMs, forMs)
      const askedAt = clock.now()
      const wait = Math.ceil(forMs)
      const me = shortDigestOf(relay)
      const member = me.toString('hex')
      return own(async (run) => {
        const { now, parts, members } = await open(run)
        const before = parts.map((part) => ({ ...part }))
        const alive = new Set(members.keys())
        const surplus = shareOut(members, parts, member, now, now + wait, 'kept')
        for (const name of members.keys()) alive.delete(name)
        await forget(run, alive)
        await run(
          `insert into ${relays} (relay, name, until_ms, wait_ms) values (?, ?, ?, ?) on duplicate key update until_ms = values(until_ms), wait_ms = values(wait_ms)`,
          [me, relay, now + wait, wait],
        )
        await write(run, before, parts, wait)
        return parts
          .filter((part) => isHeldBy(part, member, now))
          .map((part) => {
            const { partition, epoch } = part
            return surplus.has(part)
              ? { partition, epoch, until: askedAt, surplus: true }
              : { partition, epoch, until: askedAt + forMs }
          })
      })
    },
    async release(leases, relay) {
      if (leases.length === 0 && relay === undefined) return
      await own(async (run) => {
        const { parts, members } = await open(run)
        const before = parts.map((part) => ({ ...part }))
        const alive = new Set(members.keys())
        for (const { partition, epoch } of leases) {
          const part = parts[partition]
          if (part !== undefined) giveBack(members, parts, part, epoch)
        }
        if (relay !== undefined) members.delete(shortDigestOf(relay).toString('hex'))
        for (const name of members.keys()) alive.delete(name)
        await forget(run, alive)
        await write(run, before, parts)
      })
    },
  }
}

function nameOf(value: unknown): string {
  return Buffer.from(bytesOf(value)).toString('hex')
}

function isSame(a: Part, b: Part): boolean {
  return a.epoch === b.epoch && a.member === b.member && a.until === b.until
}

function isTaken(part: Part, before: readonly Part[]): boolean {
  return part.epoch !== (before[part.partition] as Part).epoch
}
