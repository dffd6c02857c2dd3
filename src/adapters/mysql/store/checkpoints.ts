// Positions of consumers, and the leases on their lanes. Time is that of the database, so that clocks of machines may differ.
import type { CheckpointStore } from '../../../core/contracts/store.ts'
import { durationOption } from '../../../core/options.ts'
import { giveBack, isHeldBy, lastsUntil, type Share, shareOut } from '../../../core/shares.ts'
import type { Run } from '../driver.ts'
import { literal } from '../literals.ts'
import { NOW_MS } from '../time.ts'
import type { Session } from './session.ts'
import { bigintOf, bytesOf, notedOf, shortDigestOf, storable, textOf } from './values.ts'

// Those who lease lanes of a consumer take turns by locking this row of it.
const GATE = Buffer.alloc(16)

interface Lane extends Share {
  readonly digest: Buffer
}

interface Book {
  readonly now: number
  readonly lanes: Map<string, Lane>
  readonly members: Map<string, number>
}

/** Checkpoints in these tables. */
export function mysqlCheckpoints<Tx>(session: Session<Tx>): CheckpointStore {
  const { tables, clock, read, write, own } = session
  const { lane: lanes, lane_member: members } = tables
  const gates = new Set<string>()

  // Made beforehand, with a commit of its own: rows that are there are locked without any gap.
  const gateOf = async (consumer: string): Promise<Buffer> => {
    const digest = shortDigestOf(storable('the name of a consumer', consumer))
    const name = digest.toString('hex')
    if (!gates.has(name)) {
      const { rows } = await read(`select 1 as there from ${lanes} where consumer = ? and lane = ?`, [digest, GATE])
      if (rows.length === 0)
        await write(`insert ignore into ${lanes} (consumer, lane, consumer_name, lane_name) values (?, ?, ?, '')`, [
          digest,
          GATE,
          consumer,
        ])
      gates.add(name)
    }
    return digest
  }
  const open = async (run: Run, consumer: Buffer): Promise<Book> => {
    const gate = await run(`select ${NOW_MS} as now_ms from ${lanes} where consumer = ? and lane = ? for update`, [
      consumer,
      GATE,
    ])
    const { rows } = await run(
      `select lane, epoch, member, until_ms, wait_ms from ${lanes} where consumer = ? and lane <> ? order by lane`,
      [consumer, GATE],
    )
    const known = await run(`select member, until_ms, wait_ms from ${members} where consumer = ?`, [consumer])
    const now = Number(gate.rows[0]?.['now_ms'])
    return {
      now,
      lanes: new Map(
        rows.map((row) => {
          const digest = Buffer.from(bytesOf(row['lane']))
          return [
            digest.toString('hex'),
            {
              digest,
              epoch: bigintOf(row['epoch']),
              member: row['member'] === null ? undefined : hexOf(row['member']),
              until: lastsUntil(notedOf(row), now),
            },
          ]
        }),
      ),
      members: new Map(known.rows.map((row) => [hexOf(row['member']), lastsUntil(notedOf(row), now)])),
    }
  }
  const put = async (
    run: Run,
    consumer: Buffer,
    before: ReadonlyMap<string, Lane>,
    after: Iterable<[string, Lane]>,
    wait = 0,
  ) => {
    const alike = new Map<string, { readonly lane: Lane; readonly more: number; readonly digests: Buffer[] }>()
    for (const [name, lane] of after) {
      const was = before.get(name) as Lane
      if (lane.epoch === was.epoch && lane.member === was.member && lane.until === was.until) continue
      const more = lane.epoch === was.epoch ? 0 : 1
      const key = `${lane.member} ${lane.until} ${more}`
      const group = alike.get(key)
      if (group === undefined) alike.set(key, { lane, more, digests: [lane.digest] })
      else group.digests.push(lane.digest)
    }
    for (const { lane, more, digests } of alike.values())
      await run(
        `update ${lanes} force index (primary) set member = ?, until_ms = ?, wait_ms = ?, epoch = epoch + ? where consumer = ? and lane in (${digests.map(literal).join(',')})`,
        [lane.member === undefined ? null : Buffer.from(lane.member, 'hex'), lane.until, wait, more, consumer],
      )
  }
  const forget = async (run: Run, consumer: Buffer, gone: Iterable<string>): Promise<void> => {
    for (const member of gone)
      await run(`delete from ${members} where consumer = ? and member = ?`, [consumer, Buffer.from(member, 'hex')])
  }

  return {
    async lease(consumer, member, wanted, forMs) {
      durationOption('forMs', forMs, forMs)
      const until = clock.now() + forMs
      const wait = Math.ceil(forMs)
      const gate = await gateOf(consumer)
      const me = shortDigestOf(storable('the name of a member', member))
      const name = me.toString('hex')
      const names = new Map(
        wanted.map((lane) => [shortDigestOf(storable('the name of a lane', lane)).toString('hex'), lane]),
      )
      return own(async (run) => {
        let book = await open(run, gate)
        const missing = [...names].filter(([digest]) => !book.lanes.has(digest))
        if (missing.length > 0) {
          await run(
            `insert ignore into ${lanes} (consumer, lane, consumer_name, lane_name) values ${missing
              .map(([digest, lane]) => `(${[gate, Buffer.from(digest, 'hex'), consumer, lane].map(literal).join(',')})`)
              .join(',')}`,
          )
          book = await open(run, gate)
        }
        const { now, members: alive } = book
        const before = copyOf(book.lanes)
        const gone = new Set(alive.keys())
        const mine = [...names].map(([digest, lane]) => ({ digest, lane, share: book.lanes.get(digest) as Lane }))
        shareOut(
          alive,
          mine.map(({ share }) => share),
          name,
          now,
          now + wait,
        )
        for (const each of alive.keys()) gone.delete(each)
        await forget(run, gate, gone)
        await run(
          `insert into ${members} (consumer, member, name, until_ms, wait_ms) values (?, ?, ?, ?, ?) on duplicate key update until_ms = values(until_ms), wait_ms = values(wait_ms)`,
          [gate, me, member, now + wait, wait],
        )
        await put(run, gate, before, book.lanes, wait)
        return mine
          .filter(({ share }) => isHeldBy(share, name, now))
          .map(({ lane, share }) => ({ lane, epoch: share.epoch, until }))
      })
    },
    async release(consumer, leases) {
      if (leases.length === 0) return
      const gate = await gateOf(consumer)
      await own(async (run) => {
        const book = await open(run, gate)
        const before = copyOf(book.lanes)
        const gone = new Set(book.members.keys())
        for (const { lane, epoch } of leases) {
          const share = book.lanes.get(shortDigestOf(lane).toString('hex'))
          if (share !== undefined) giveBack(book.members, book.lanes.values(), share, epoch)
        }
        for (const each of book.members.keys()) gone.delete(each)
        await forget(run, gate, gone)
        await put(run, gate, before, book.lanes)
      })
    },
    async load(consumer, lane) {
      const { rows } = await read(
        `select cast(position as binary) as position from ${lanes} where consumer = ? and lane = ?`,
        [shortDigestOf(consumer), shortDigestOf(lane)],
      )
      const position = rows[0]?.['position']
      return position === null || position === undefined ? undefined : textOf(position)
    },
    async save(consumer, { lane, epoch }, position) {
      // Not by the count of an update: a pool may count only rows that were changed, and the same position may be saved twice.
      return own(async (run) => {
        const key = [shortDigestOf(consumer), shortDigestOf(lane), epoch] as const
        const { rows } = await run(
          `select 1 as there from ${lanes} where consumer = ? and lane = ? and epoch = ? and member is not null for update`,
          key,
        )
        if (rows.length === 0) return false
        await run(`update ${lanes} set position = ?, saved_ms = ${NOW_MS} where consumer = ? and lane = ?`, [
          storable('a position', position),
          key[0],
          key[1],
        ])
        return true
      })
    },
  }
}

function hexOf(value: unknown): string {
  return Buffer.from(bytesOf(value)).toString('hex')
}

function copyOf(lanes: ReadonlyMap<string, Lane>): ReadonlyMap<string, Lane> {
  return new Map([...lanes].map(([name, lane]) => [name, { ...lane }]))
}
