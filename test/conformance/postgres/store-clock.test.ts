// The clock of the database is set back by an hour: what was noted before ends an hour later than anybody asked for.
import { expect, it } from 'vitest'
import { at, drain, ownStore, row } from './own-store.ts'

if (at === undefined) throw new Error('PostgreSQL is not up: test/services/up postgres')
const own = ownStore(4)
const { store } = own

const setBack = async (): Promise<void> => {
  const hour = `interval '1 hour'`
  for (const table of ['outbox_lease', 'outbox_relay', 'outbox_wait', 'inbox_parked'])
    await own.run(`update @.${table} set until = until + ${hour} where until < 'infinity'`)
}

it('gives the partitions of a relay that is gone to the next one', async () => {
  const gone = await store.outbox.lease('gone', 30_000)
  expect(gone).toHaveLength(64)
  await setBack()
  expect(await store.outbox.lease('next', 30_000)).toHaveLength(64)
  expect(await own.run('select relay from @.outbox_relay')).toEqual([{ relay: 'next' }])
  await store.transaction((tx) => store.outbox.append(tx, [row('a')]))
  expect(await store.outbox.pending(gone, 10)).toEqual([])
  // What is right stays: the other one gets nothing of it before its time.
  expect(await store.outbox.lease('other', 30_000)).toEqual([])
  await own.run('update @.outbox_lease set relay = null')
  await own.run('truncate @.outbox, @.outbox_relay')
})

it('gives rows that wait for their time with the next lease, and leaves those of dead ones', async () => {
  const leases = await store.outbox.lease('relay', 30_000)
  await store.transaction((tx) =>
    store.outbox.append(tx, [
      row('retry', 'a'),
      row('behind', 'a'),
      row('hold', 'b'),
      row('dead', 'c'),
      row('waits', 'c'),
    ]),
  )
  const rows = await store.outbox.pending(leases, 10)
  const of = (id: string) => rows.find(({ envelope }) => envelope.id === id)?.sequence ?? 0n
  await store.outbox.settle(leases, [
    { sequence: of('retry'), verdict: 'retry', delayMs: 60_000, reason: 'x' },
    { sequence: of('hold'), verdict: 'hold', delayMs: 60_000 },
    { sequence: of('dead'), verdict: 'dead', reason: 'x', blocksKey: true },
  ])
  // Not before its time where the clock is right.
  expect(await drain(store, await store.outbox.lease('relay', 30_000))).toEqual([])
  await setBack()
  expect(await drain(store, await store.outbox.lease('relay', 30_000))).toEqual(['retry', 'behind', 'hold'])
  expect(await store.outbox.redrive('all')).toBe(1)
  expect(await drain(store, await store.outbox.lease('relay', 30_000))).toEqual(['dead', 'waits'])
})

it('lets keys go that were set aside', async () => {
  await store.inbox.park('consumer', 'key', 30_000)
  expect(await store.inbox.parked('consumer', ['key'])).toEqual(['key'])
  await setBack()
  expect(await store.inbox.parked('consumer', ['key'])).toEqual([])
  await store.inbox.purge(60_000, 10)
  expect(await own.run('select from @.inbox_parked')).toEqual([])
})
