// What only a store in MySQL and MariaDB has to be proven for: locks, snapshots, time zones, packets, and texts that the database takes for the same.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { mysql2Driver, mysqlStore } from '../../../src/adapters/mysql/index.ts'
import { writtenOf } from '../../../src/adapters/mysql/store/outbox-rows.ts'
import type { OutboxStore, PendingRow } from '../../../src/core/contracts/store.ts'
import { type MariadbLab, mariadbLab, row } from './mariadb-lab.ts'

let lab: MariadbLab
let counter = 0
// Tables of its own for each test.
const fresh = () => ({ prefix: `t${++counter}_` })
beforeAll(async () => {
  lab = await mariadbLab()
})
afterAll(() => lab.close())

const rejection = async (work: Promise<unknown>): Promise<unknown> => {
  try {
    await work
  } catch (error) {
    return error
  }
  throw new Error('it did not reject')
}
const ids = (rows: readonly PendingRow[]): readonly string[] => rows.map(({ envelope }) => envelope.id)
const open = async () => {
  const connection = await lab.pool.getConnection()
  await connection.query('start transaction')
  return connection
}

describe('the outbox', () => {
  it('settles what is there while somebody else is in the middle of appending', async () => {
    const store = lab.newStore(fresh())
    await store.migrate()
    await store.transaction((tx) => store.outbox.append(tx, [row({ id: 'a', key: 'a' }), row({ id: 'b' })]))
    const slow = await open()
    await store.outbox.append(slow, [row({ id: 'c', key: 'c' })])
    const leases = await store.outbox.lease('relay', 60_000)
    const rows = await store.outbox.pending(leases, 10)
    expect(ids(rows)).toEqual(['a', 'b'])
    const [a, b] = rows as [PendingRow, PendingRow]
    // Waits for nobody: the lock wait of the server is longer than this test may take.
    expect(
      await store.outbox.settle(leases, [
        { sequence: a.sequence, verdict: 'retry', delayMs: 0, reason: 'test' },
        { sequence: b.sequence, verdict: 'dead', reason: 'test', blocksKey: false },
      ]),
    ).toBe(2)
    expect(await store.outbox.settle(leases, [{ sequence: a.sequence, verdict: 'published' }])).toBe(1)
    expect(await store.outbox.redrive('all')).toBe(1)
    expect(await store.outbox.skip(['b'])).toBe(1)
    // Gone already: the gaps where they were are locked by nobody, and appending goes on.
    expect(await store.outbox.settle(leases, [{ sequence: a.sequence, verdict: 'published' }])).toBe(0)
    await store.outbox.append(slow, [row({ id: 'd', key: 'c' })])
    await slow.query('commit')
    slow.release()
    expect(ids(await store.outbox.pending(leases, 10))).toEqual(['c', 'd'])
  })
  it('locks no gaps: others append while a relay is in the middle of settling what is gone already', async () => {
    const where = fresh()
    const plain = lab.newStore(where)
    await plain.migrate()
    await plain.transaction((tx) => plain.outbox.append(tx, [row({ id: 'a', key: 'a' })]))
    let meanwhile = async (): Promise<void> => undefined
    const store = mysqlStore(
      {
        ...lab.driver,
        transaction: (work, options) =>
          lab.driver.transaction(async (tx) => {
            const value = await work(tx)
            await meanwhile()
            return value
          }, options),
      },
      where,
    )
    const leases = await store.outbox.lease('relay', 30_000)
    const [a] = await store.outbox.pending(leases, 1)
    const verdicts = [{ sequence: (a as PendingRow).sequence, verdict: 'published' as const }]
    let added = 0
    const others = async (): Promise<void> => {
      const connection = await open()
      // Waits for nobody: the lock wait of the server is longer than this test may take.
      await plain.outbox.append(connection, [row({ id: `b${++added}`, key: `${added}` }), row({ id: `c${added}` })])
      await connection.query('commit')
      connection.release()
    }
    expect(await store.outbox.settle(leases, verdicts)).toBe(1)
    // The table is empty: what is not there stands before all that is to come.
    meanwhile = others
    expect(await store.outbox.settle(leases, verdicts)).toBe(0)
    expect(await store.outbox.skip(['b1', 'c1'])).toBe(2)
    meanwhile = async () => undefined
    expect(added).toBe(2)
  })
  it('gives a row that became visible late before later ones of its key, also behind what was read', async () => {
    for (const relays of [1, 2]) {
      const store = lab.newStore(fresh())
      await store.migrate()
      // With one relay that has all partitions, and with one that has some.
      const others = relays === 1 ? undefined : await store.outbox.lease('other', 60_000)
      let leases = await store.outbox.lease('relay', 60_000)
      if (others !== undefined) {
        await shares(store, 'other')
        leases = await store.outbox.lease('relay', 60_000)
        expect(leases).toHaveLength(32)
      }
      const mine = new Set(leases.map(({ partition }) => partition))
      const keys = keysOf(mine, 2)
      const [late, soon] = keys as [string, string]
      const slow = await open()
      await store.outbox.append(slow, [row({ id: 'late 1', key: late })])
      await store.transaction((tx) => store.outbox.append(tx, [row({ id: 'soon', key: soon })]))
      const first = await store.outbox.pending(leases, 10)
      expect(ids(first)).toEqual(['soon'])
      await slow.query('commit')
      slow.release()
      await store.transaction((tx) => store.outbox.append(tx, [row({ id: 'late 2', key: late })]))
      expect(ids(await store.outbox.pending(leases, 10)).filter((id) => id !== 'soon')).toEqual(['late 1', 'late 2'])
    }
  })
  it('reads partitions of very different length in the order of the sequence', async () => {
    const store = lab.newStore(fresh())
    await store.migrate()
    await store.outbox.lease('other', 60_000)
    await store.outbox.lease('relay', 60_000)
    await shares(store, 'other')
    const leases = await store.outbox.lease('relay', 60_000)
    const [hot, ...cold] = keysOf(new Set(leases.map(({ partition }) => partition)), 20)
    for (let round = 0; round < 4; round++)
      await store.transaction((tx) =>
        store.outbox.append(tx, [
          ...Array.from({ length: 300 }, (_, n) => row({ id: `${round} hot ${n}`, key: hot as string })),
          ...cold.map((key, n) => row({ id: `${round} cold ${n}`, key })),
        ]),
      )
    let got: readonly string[] = []
    const [all] = await lab.pool.query(`select message_id from t${counter}_outbox order by sequence`)
    const expected = (all as { message_id: string }[]).map(({ message_id }) => message_id)
    for (;;) {
      const rows = await store.outbox.pending(leases, 64)
      if (rows.length === 0) break
      got = [...got, ...ids(rows)]
      await store.outbox.settle(
        leases,
        rows.map(({ sequence }) => ({ sequence, verdict: 'published' })),
      )
    }
    expect(got).toEqual(expected)
  })
  it('appends nothing to a transaction that a swallowed deadlock has ended', async () => {
    const store = lab.newStore(fresh())
    await store.migrate()
    await lab.pool.query('create table if not exists both_of (n int primary key, x int) engine=InnoDB')
    await lab.pool.query('replace into both_of values (1, 0), (2, 0)')
    let arrived = 0
    let go: () => void = () => undefined
    const both = new Promise<void>((resolve) => {
      go = resolve
    })
    const one = (first: number, second: number) =>
      store.transaction(async (tx) => {
        await tx.query(`update both_of set x = ${first} where n = ${first}`)
        if (++arrived === 2) go()
        await both
        await tx.query(`update both_of set x = ${first} where n = ${second}`).catch(() => undefined)
        await store.outbox.append(tx, [row({ id: `of ${first}`, key: `${first}` })])
      })
    const ends = await Promise.allSettled([one(1, 2), one(2, 1)])
    const failed = ends.filter((end) => end.status === 'rejected')
    expect(failed).toHaveLength(1)
    expect(failed[0]?.reason).toMatchObject({ code: 'TRANSACTION_REQUIRED', effect: 'none' })
    expect((await store.outbox.stats()).backlog).toBe(1)
  })
  it('says which message does not fit into a packet, and leaves the transaction usable', async () => {
    const store = lab.newStore(fresh())
    await store.migrate()
    const most = 16_777_216
    await store.transaction(async (tx) => {
      for (const body of [new Uint8Array(most / 2), 'x'.repeat(most)])
        expect(await rejection(store.outbox.append(tx, [row({ id: 'large', body })]))).toMatchObject({
          code: 'PAYLOAD_TOO_LARGE',
          effect: 'none',
          message: expect.stringMatching(/message large .* max_allowed_packet .* 16777216/),
        })
      const rows = [row({ body: 'x'.repeat(most - 4_000) }), row({ body: new Uint8Array(most / 2 - 4_000).fill(255) })]
      await store.outbox.append(tx, rows)
    })
    const leases = await store.outbox.lease('relay', 30_000)
    const rows = await store.outbox.pending(leases, 10)
    expect(rows.map(({ envelope }) => envelope.body.byteLength)).toEqual([most - 4_000, most / 2 - 4_000])
    expect(rows[1]?.envelope.body.every((byte) => byte === 255)).toBe(true)
  })
  it('skips by the whole id: a blank at its end and the case of its letters count', async () => {
    const store = lab.newStore(fresh())
    await store.migrate()
    await store.transaction((tx) =>
      store.outbox.append(
        tx,
        ['k', 'k ', 'K', '\u00e4', 'a\u0308'].map((id) => row({ id })),
      ),
    )
    expect(await store.outbox.skip(['k '])).toBe(1)
    expect(await store.outbox.skip(['K', 'a\u0308'])).toBe(2)
    expect(ids(await store.outbox.pending(await store.outbox.lease('relay', 60_000), 10)).toSorted()).toEqual(
      ['k', '\u00e4'].toSorted(),
    )
  })
  it('goes by the time of the database, whatever time zone a session has', async () => {
    const where = fresh()
    const zones = ['+13:00', '-11:00'].map((zone) => {
      const pool = lab.newPool({ connectionLimit: 2, timezone: zone })
      pool.on('connection', (connection) => void connection.query(`set time_zone = '${zone}'`))
      return pool
    })
    const [east, west] = zones.map((pool) => mysqlStore(mysql2Driver(pool), where))
    if (east === undefined || west === undefined) throw new Error('two zones')
    await east.migrate()
    await east.transaction((tx) => east.outbox.append(tx, [row({ id: 'a' })]))
    const leases = await east.outbox.lease('east', 60_000)
    expect(await west.outbox.lease('west', 60_000)).toEqual([])
    expect((await west.outbox.stats()).oldestMs).toBeLessThan(60_000)
    const [first] = await west.outbox.pending(leases, 10)
    const { sequence } = first as PendingRow
    await west.outbox.settle(leases, [{ sequence, verdict: 'retry', delayMs: 600_000, reason: 'test' }])
    expect(await east.outbox.pending(leases, 10)).toEqual([])
    await east.outbox.settle(leases, [{ sequence, verdict: 'hold', delayMs: 0 }])
    expect(ids(await west.outbox.pending(leases, 10))).toEqual(['a'])
    await west.inbox.park('c', 'k', 60_000)
    expect(await east.inbox.parked('c', ['k'])).toEqual(['k'])
  })
})

describe('the inbox', () => {
  const message = (id: string) => ({ source: '/lab', id })
  let store: ReturnType<MariadbLab['newStore']>
  beforeEach(async () => {
    store = lab.newStore(fresh())
    await store.migrate()
  })

  it('knows a duplicate that was committed after the snapshot of the transaction', async () => {
    const old = await open()
    await old.query(`select count(*) from t${counter}_inbox`)
    await store.transaction((tx) => store.inbox.claim(tx, 'c', [message('a')]))
    expect(await store.inbox.claim(old, 'c', [message('a'), message('b')])).toEqual(['duplicate', 'first'])
    await old.query('commit')
    old.release()
  })
  it('says busy at once, to several, and none of them is in the way of another when the first one gives up', async () => {
    const first = await open()
    expect(await store.inbox.claim(first, 'c', [message('a'), message('b')])).toEqual(['first', 'first'])
    const rest = await Promise.all([open(), open(), open()])
    // The lock wait of the server is longer than this test may take.
    for (const tx of rest)
      expect(await store.inbox.claim(tx, 'c', [message('b'), message('a')])).toEqual(['busy', 'busy'])
    await first.query('rollback')
    const answers = await Promise.all(rest.map((tx) => store.inbox.claim(tx, 'c', [message('a')])))
    expect(answers.flat().toSorted()).toEqual(['busy', 'busy', 'first'])
    for (const tx of [first, ...rest]) {
      await tx.query('commit')
      tx.release()
    }
  })
  it('claims what others claim in another order, without a deadlock', async () => {
    const names = Array.from({ length: 20 }, (_, n) => message(`m${n}`))
    const workers = Array.from({ length: 8 }, async (_, worker) => {
      const left = new Set(names)
      let firsts = 0
      while (left.size > 0) {
        const wanted = [...left].toSorted((a, b) => (worker % 2 === 0 ? 1 : -1) * a.id.localeCompare(b.id)).slice(0, 7)
        const answers = await store.transaction((tx) => store.inbox.claim(tx, 'c', wanted))
        for (const [at, answer] of answers.entries()) {
          if (answer !== 'busy') left.delete(wanted[at] as (typeof wanted)[number])
          if (answer === 'first') firsts++
        }
      }
      return firsts
    })
    const firsts = await Promise.all(workers)
    expect(firsts.reduce((sum, each) => sum + each, 0)).toBe(names.length)
  })
})

// Gives back what is beyond its share: it has settled all of it.
async function shares(
  store: { readonly outbox: Pick<OutboxStore<never>, 'lease' | 'release'> },
  relay: string,
): Promise<void> {
  const leases = await store.outbox.lease(relay, 60_000)
  await store.outbox.release(leases.filter(({ surplus }) => surplus))
}

// Keys that belong to these partitions.
function keysOf(partitions: ReadonlySet<number>, count: number): readonly string[] {
  expect(partitions.size).toBeGreaterThan(0)
  const keys: string[] = []
  for (let n = 0; keys.length < count; n++) {
    const partition = Number(/^\((\d+),/.exec(writtenOf(row({ key: `key ${n}` })).values())?.[1])
    if (partitions.has(partition)) keys.push(`key ${n}`)
  }
  return keys
}
