// The clock of the database is set back by an hour: what was noted before ends an hour later than anybody asked for.
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { PartitionLease } from '../../../src/core/contracts/store.ts'
import { type MariadbLab, mariadbLab, row } from './mariadb-lab.ts'

let lab: MariadbLab
let counter = 0
beforeAll(async () => {
  lab = await mariadbLab()
})
afterAll(() => lab.close())

const open = async () => {
  const prefix = `c${++counter}_`
  const store = lab.newStore({ prefix })
  await store.migrate()
  const setBack = async (): Promise<void> => {
    for (const table of ['outbox_partition', 'outbox_relay', 'outbox_block', 'inbox_parked', 'lane', 'lane_member'])
      await lab.pool.query(`update ${prefix}${table} set until_ms = until_ms + 3600000 where until_ms > 0`)
    await lab.pool.query(`update ${prefix}outbox set due_ms = due_ms + 3600000 where due_ms > 0`)
  }
  const drain = async (leases: readonly PartitionLease[]): Promise<readonly string[]> => {
    const ids: string[] = []
    for (;;) {
      const rows = await store.outbox.pending(leases, 10)
      if (rows.length === 0) return ids
      ids.push(...rows.map(({ envelope }) => envelope.id))
      await store.outbox.settle(
        leases,
        rows.map(({ sequence }) => ({ sequence, verdict: 'published' })),
      )
    }
  }
  return { store, setBack, drain }
}

it('gives the partitions of a relay that is gone to the next one', async () => {
  const { store, setBack } = await open()
  const gone = await store.outbox.lease('gone', 30_000)
  expect(gone).toHaveLength(64)
  await setBack()
  expect(await store.outbox.lease('next', 30_000)).toHaveLength(64)
  // Of what is right the other one gets nothing before its time.
  expect(await store.outbox.lease('other', 30_000)).toEqual([])
  await store.transaction((tx) => store.outbox.append(tx, [row({ id: 'a' })]))
  expect(await store.outbox.pending(gone, 10)).toEqual([])
})

it('gives back what was leased before, whenever that ends', async () => {
  const { store, setBack } = await open()
  const leases = await store.outbox.lease('relay', 30_000)
  await setBack()
  await store.outbox.release(leases)
  expect(await store.outbox.lease('next', 30_000)).toHaveLength(64)
})

it.each([64, 32])(
  'gives rows that wait for their time, and leaves those of dead ones, with %i partitions',
  async (parts) => {
    const { store, setBack, drain } = await open()
    const wanted = ['retry', 'behind', 'hold', 'dead', 'waits']
    const keys: Readonly<Record<string, string>> = { retry: 'a', behind: 'a', hold: 'b', dead: 'c', waits: 'c' }
    await store.transaction((tx) =>
      store.outbox.append(
        tx,
        wanted.map((id) => row({ id, key: keys[id] ?? '' })),
      ),
    )
    const all = await store.outbox.lease('relay', 30_000)
    const rows = await store.outbox.pending(all, 10)
    const of = (id: string) => rows.find(({ envelope }) => envelope.id === id)?.sequence ?? 0n
    await store.outbox.settle(all, [
      { sequence: of('retry'), verdict: 'retry', delayMs: 60_000, reason: 'x' },
      { sequence: of('hold'), verdict: 'hold', delayMs: 60_000 },
      { sequence: of('dead'), verdict: 'dead', reason: 'x', blocksKey: true },
    ])
    // Not before its time where the clock is right.
    expect(await drain(all)).toEqual([])
    await setBack()
    const inUse = new Set(rows.map(({ partition }) => partition))
    const leases = (await store.outbox.lease('relay', 30_000)).filter(
      ({ partition }) => parts === 64 || inUse.has(partition) || partition < 16,
    )
    expect(await drain(leases)).toEqual(['retry', 'behind', 'hold'])
    expect((await store.outbox.stats()).blockedKeys).toBe(1)
  },
)

it('lets keys go that were set aside', async () => {
  const { store, setBack } = await open()
  await store.inbox.park('consumer', 'key', 30_000)
  expect(await store.inbox.parked('consumer', ['key'])).toEqual(['key'])
  await setBack()
  expect(await store.inbox.parked('consumer', ['key'])).toEqual([])
})

it('gives the lanes of a member that is gone to the next one', async () => {
  const { store, setBack } = await open()
  const lanes = ['x', 'y']
  const gone = await store.checkpoints.lease('consumer', 'gone', lanes, 30_000)
  expect(gone).toHaveLength(2)
  await setBack()
  expect(await store.checkpoints.lease('consumer', 'next', lanes, 30_000)).toHaveLength(2)
  expect(await store.checkpoints.lease('consumer', 'other', lanes, 30_000)).toEqual([])
  const [lane] = gone
  expect(lane && (await store.checkpoints.save('consumer', lane, '1'))).toBe(false)
})
