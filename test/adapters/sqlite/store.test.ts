// What only a store of SQLite has: the time of the machine, and one connection that writes at a time.
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { sqliteStore } from '../../../src/adapters/sqlite/index.ts'
import type { OutboxRow, Store } from '../../../src/core/contracts/store.ts'
import { type FakeClock, fakeClock } from '../../../src/testing/fake-clock.ts'
import { type Driver, engines, type TestEngine, temporaryFolder } from './engines.ts'

type Tx = Parameters<Parameters<Driver['transaction']>[0]>[0]

const engine = engines[0] as TestEngine
const row = (id: string, key?: string): OutboxRow => ({
  channel: { kind: 'queue', name: 'q' },
  envelope: { id, ...(key === undefined ? {} : { key }), attributes: {}, headers: {}, body: new Uint8Array([1]) },
})
const setUp = async () => {
  const folder = temporaryFolder()
  onTestFinished(folder.remove)
  const open = (clock?: FakeClock, options: { readonly archive?: boolean } = {}): Store<Tx> => {
    const handle = engine.open(join(folder.path, 'a.db'))
    onTestFinished(() => handle.close())
    return sqliteStore(engine.driver(handle), { clock, ...options })
  }
  await open().migrate()
  return open
}
const publish = (store: Store<Tx>, ...rows: readonly OutboxRow[]): Promise<void> =>
  store.transaction((tx) => store.outbox.append(tx, rows))

describe('the time of the machine', () => {
  it('holds nothing up that was noted before the machine was started again', async () => {
    const open = await setUp()
    const before = fakeClock({ now: 50_000_000 })
    const one = open(before)
    await publish(one, row('1', 'k'), row('2', 'k'), row('3'), row('4'))
    const leases = await one.outbox.lease('before', 600_000)
    const rows = await one.outbox.pending(leases, 10)
    const [first, , third, fourth] = rows.map(({ sequence }) => sequence) as [bigint, bigint, bigint, bigint]
    await one.outbox.settle(leases, [
      { sequence: first, verdict: 'retry', delayMs: 600_000, reason: 'r' },
      { sequence: third, verdict: 'hold', delayMs: 600_000 },
      { sequence: fourth, verdict: 'dead', reason: 'r', blocksKey: true },
    ])
    await one.inbox.park('c', 'k', 600_000)
    const lane = await one.checkpoints.lease('c', 'm', ['a'], 600_000)
    expect(await one.outbox.pending(leases, 10)).toEqual([])
    expect(await one.inbox.parked('c', ['k'])).toEqual(['k'])

    const two = open(fakeClock({ now: 1_000 }))
    expect(await two.inbox.parked('c', ['k'])).toEqual([])
    const again = await two.outbox.lease('after', 10_000)
    expect(again.length).toBe(64)
    expect(again[0]?.epoch).toBe((leases[0]?.epoch as bigint) + 1n)
    expect((await two.outbox.pending(again, 10)).map(({ envelope }) => envelope.id)).toEqual(['1', '2', '3'])
    expect(await two.checkpoints.lease('c', 'other', ['a'], 10_000)).toMatchObject([{ lane: 'a', epoch: 2n }])
    expect(await two.checkpoints.save('c', lane[0] as (typeof lane)[0], 'p')).toBe(false)
    expect(await two.outbox.stats()).toMatchObject({ backlog: 3, dead: 1, blockedKeys: 0 })
  })

  it('leaves a lease that is longer than that of the one who asks', async () => {
    const open = await setUp()
    const clock = fakeClock()
    const one = open(clock)
    const two = open(clock)
    expect((await one.outbox.lease('long', 600_000)).length).toBe(64)
    expect((await two.outbox.lease('short', 1_000)).length).toBe(0)
    await clock.advance(60_000)
    expect((await two.outbox.lease('short', 1_000)).length).toBe(0)
    const surplus = (await one.outbox.lease('long', 600_000)).filter((lease) => lease.surplus)
    expect(surplus.length).toBe(32)
    expect((await two.outbox.lease('short', 1_000)).length).toBe(0)
    await one.outbox.release(surplus)
    expect((await two.outbox.lease('short', 1_000)).length).toBe(32)
  })
})

describe('one connection that writes', () => {
  it('refuses to ask the store inside its own transaction, which would wait for it', async () => {
    const store = (await setUp())()
    await store.transaction(async () => {
      for (const ask of [
        () => store.outbox.stats(),
        () => store.outbox.lease('r', 1_000),
        () => store.inbox.started('c', { source: 's', id: 'i' }),
        () => store.checkpoints.load('c', 'l'),
      ])
        await expect(ask()).rejects.toMatchObject({ code: 'PROGRAMMING_ERROR', effect: 'none' })
    })
  })

  it('runs hooks in the transaction, and is told of each commit', async () => {
    const store = (await setUp())()
    let commits = 0
    store.onCommitted(() => commits++)
    await store.transaction(async (tx) => {
      expect(store.beforeCommit(tx, (same) => store.outbox.append(same, [row('hooked', 'k')]))).toBe(true)
    })
    expect(commits).toBe(1)
    expect((await store.outbox.stats()).backlog).toBe(1)
  })

  it('refuses a key or an id with NUL, and takes the rest of the transaction with it only if that is let out', async () => {
    const store = (await setUp())()
    for (const bad of [row('a\0b', 'k'), row('a', 'k\0')])
      await expect(publish(store, bad)).rejects.toMatchObject({ code: 'INVALID_INPUT', effect: 'none' })
    expect((await store.outbox.stats()).backlog).toBe(0)
  })
})

describe('what is published', () => {
  it('is kept with the time of its publishing, where the store keeps it', async () => {
    const open = await setUp()
    const clock = fakeClock()
    const store = open(clock, { archive: true })
    await publish(store, row('1', 'k'), row('2', 'k'))
    const leases = await store.outbox.lease('r', 600_000)
    const rows = await store.outbox.pending(leases, 10)
    expect(
      await store.outbox.settle(
        leases,
        rows.map(({ sequence }) => ({ sequence, verdict: 'published' })),
      ),
    ).toBe(2)
    await clock.advance(1_000)
    expect(await store.outbox.purge({ olderThanMs: 1_001, limit: 10 })).toBe(0)
    expect(await store.outbox.purge({ olderThanMs: 1_000, limit: 1 })).toBe(1)
    expect(await store.outbox.purge({ olderThanMs: 0, limit: 10 })).toBe(1)
  })

  it('is no dead row: a late word about that one does not let its key go on', async () => {
    const open = await setUp()
    const store = open(fakeClock())
    await publish(store, row('1', 'k'), row('2', 'k'))
    const leases = await store.outbox.lease('r', 600_000)
    await store.outbox.settle(leases, [{ sequence: 1n, verdict: 'dead', reason: 'r', blocksKey: true }])
    expect(await store.outbox.settle(leases, [{ sequence: 1n, verdict: 'published' }])).toBe(0)
    expect(await store.outbox.pending(leases, 10)).toEqual([])
    expect(await store.outbox.skip(['1'])).toBe(1)
    expect((await store.outbox.pending(leases, 10)).map(({ envelope }) => envelope.id)).toEqual(['2'])
  })

  it('never gets the sequence of a row that is gone', async () => {
    const open = await setUp()
    const store = open(fakeClock())
    const leases = await store.outbox.lease('r', 600_000)
    const seen: bigint[] = []
    for (let turn = 0; turn < 3; turn++) {
      await publish(store, row(`${turn}`))
      const [only] = await store.outbox.pending(leases, 10)
      seen.push(only?.sequence as bigint)
      await store.outbox.settle(leases, [{ sequence: only?.sequence as bigint, verdict: 'published' }])
    }
    expect(seen).toEqual([1n, 2n, 3n])
  })
})

it.each([[{ inboxRetentionMs: 0 }], [{ archive: 1 }], [{ owner: '' }], [{ retention: 1 }]])('refuses %j', (options) => {
  const folder = temporaryFolder()
  onTestFinished(folder.remove)
  const handle = engine.open(join(folder.path, 'a.db'))
  onTestFinished(() => handle.close())
  expect(() => sqliteStore(engine.driver(handle), options as never)).toThrow(/INVALID_OPTIONS/)
})

describe('the care of an outbox', () => {
  it('puts all dead rows back in pieces, in their order, and others get in between', async () => {
    const store = (await setUp())()
    const ids = Array.from({ length: 2_500 }, (_, n) => String(n))
    await publish(store, ...ids.map((id) => row(id, `key ${Number(id) % 7}`)))
    const leases = await store.outbox.lease('relay', 600_000)
    const rows = await store.outbox.pending(leases, 3_000)
    await store.outbox.settle(
      leases,
      rows.map(({ sequence }) => ({ sequence, verdict: 'dead', reason: 'r', blocksKey: true })),
    )
    let over = false
    const redriven = store.outbox.redrive('all').then((count) => {
      over = true
      return count
    })
    const seen: number[] = []
    while (!over) seen.push((await store.outbox.stats()).dead)
    expect(await redriven).toBe(2_500)
    expect(seen).toContain(1_500)
    expect((await store.outbox.stats()).blockedKeys).toBe(0)
    expect((await store.outbox.pending(leases, 3_000)).map(({ envelope }) => envelope.id)).toEqual(ids)
  })
})
