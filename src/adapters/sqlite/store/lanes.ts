// A fair share of lanes for each member: partitions of the outbox for relays, lanes of a consumer for its members.

import { fairPart } from '../../../core/shares.ts'
import type { Tables } from '../names.ts'
import { type Run, VOID } from './tables.ts'

/** A lane that is held. */
export interface HeldLane {
  readonly lane: string
  readonly epoch: bigint
  /** Beyond the share of its member, and still its own. */
  readonly surplus?: true | undefined
}

interface Lane {
  readonly name: string
  readonly member: string | undefined
  readonly epoch: bigint
}

/**
 * Leases lanes, in one transaction. With n lanes and k members that are alive each may hold n / k, and the first of them by name one more where that does
 * not come out even. A member keeps what it holds up to its share, gives up the rest (or has it as before, until it gives it back), and takes what is free or has run
 * out, with a new epoch.
 */
export async function leaseLanes(
  run: Run,
  tables: Tables,
  consumer: string,
  member: string,
  lanes: readonly string[],
  forMs: number,
  now: number,
  beyond: 'given-up' | 'kept' = 'given-up',
): Promise<readonly HeldLane[]> {
  const until = Math.ceil(now + forMs)
  const wait = Math.ceil(forMs)
  await run(`update ${tables.lane} set until = 0 where consumer = ? and ${VOID}`, [consumer, now])
  await run(`delete from ${tables.lane_member} where consumer = ? and (until <= ? or ${VOID})`, [consumer, now, now])
  await run(
    `insert into ${tables.lane_member} (consumer, member, until, wait) values (?, ?, ?, ?)
     on conflict do update set until = excluded.until, wait = excluded.wait`,
    [consumer, member, until, wait],
  )
  const { rows: alive } = await run(`select member from ${tables.lane_member} where consumer = ?`, [consumer])
  const members = alive.map((row) => String(row['member']))
  const { rows } = await run(`select lane, member, epoch, until from ${tables.lane} where consumer = ?`, [consumer])
  const known = new Map(
    rows.map(({ lane, member: holder, epoch, until: end }): [string, Lane] => [
      String(lane),
      {
        name: String(lane),
        member: holder === null || Number(end) <= now ? undefined : String(holder),
        epoch: BigInt(epoch as number | bigint),
      },
    ]),
  )
  const wanted = [...new Set(lanes)].map((name) => known.get(name) ?? { name, member: undefined, epoch: 0n })

  const share = fairPart(member, members, wanted.length)
  const mine = wanted.filter((lane) => lane.member === member)
  const kept = mine.slice(0, share)
  const taken = wanted.filter((lane) => lane.member === undefined).slice(0, share - kept.length)
  const surplus = mine.slice(share)
  if (beyond === 'given-up') for (const { name } of surplus) await giveUp(run, tables, consumer, name)
  if (kept.length > 0)
    await run(
      `update ${tables.lane} set until = ?, wait = ? where consumer = ? and member = ? and until > ? and lane in (select value from json_each(?))`,
      [until, wait, consumer, member, now, JSON.stringify(kept.map(({ name }) => name))],
    )
  for (const { name } of taken)
    await run(
      `insert into ${tables.lane} (consumer, lane, member, epoch, until, wait) values (?, ?, ?, 1, ?, ?)
       on conflict do update set member = excluded.member, epoch = epoch + 1, until = excluded.until, wait = excluded.wait`,
      [consumer, name, member, until, wait],
    )
  const epochs = new Map([
    ...kept.map(({ name, epoch }): [string, bigint] => [name, epoch]),
    ...taken.map(({ name, epoch }): [string, bigint] => [name, epoch + 1n]),
  ])
  const held = wanted.flatMap(({ name }): readonly HeldLane[] => {
    const epoch = epochs.get(name)
    return epoch === undefined ? [] : [{ lane: name, epoch }]
  })
  if (beyond === 'kept') for (const { name, epoch } of surplus) held.push({ lane: name, epoch, surplus: true })
  return held
}

/** Gives lanes back, those that are still held so. Who holds nothing more has left, as has `member`, and the shares of the others grow. */
export async function releaseLanes(
  run: Run,
  tables: Tables,
  consumer: string,
  leases: readonly HeldLane[],
  member?: string | undefined,
): Promise<void> {
  if (member !== undefined)
    await run(`delete from ${tables.lane_member} where consumer = ? and member = ?`, [consumer, member])
  const leaving = new Set<string>()
  for (const { lane, epoch } of leases) {
    const { rows } = await run(
      `select member from ${tables.lane} where consumer = ? and lane = ? and epoch = ? and member is not null`,
      [consumer, lane, epoch],
    )
    if (rows[0] === undefined) continue
    leaving.add(String(rows[0]['member']))
    await giveUp(run, tables, consumer, lane)
  }
  for (const member of leaving)
    await run(
      `delete from ${tables.lane_member} where consumer = ? and member = ?
       and not exists (select 1 from ${tables.lane} l where l.consumer = ? and l.member = ?)`,
      [consumer, member, consumer, member],
    )
}

function giveUp(run: Run, tables: Tables, consumer: string, lane: string): Promise<unknown> {
  return run(`update ${tables.lane} set member = null, until = 0 where consumer = ? and lane = ?`, [consumer, lane])
}
