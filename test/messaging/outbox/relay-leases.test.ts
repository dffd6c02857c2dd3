// Several relays: they share the partitions, one takes over from another within the lease, and none does anything by a right that it may have lost.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { RowVerdict } from '../../../src/core/contracts/store.ts'
import { accepted, failed, gate, Orders, order, type Shop, shop } from './kit.ts'

describe('several relays', () => {
  let s: Shop
  beforeEach(() => {
    s = shop()
  })
  afterEach(() => s.end())

  it('share the partitions within the lease when one joins', async () => {
    const first = s.relay({ name: 'a' })
    await first.start()
    await s.clock.advance(5_000)
    const second = s.relay({ name: 'b' })
    await second.start()
    await s.clock.advance(10_000)
    expect([first, second].map((relay) => relay.health().partitions)).toEqual([32, 32])
    expect(s.of('relay-leases').some(({ relay, lost }) => relay === 'a' && lost === 32)).toBe(true)
  })

  it('have what one had within the lease when it dies', async () => {
    const relays = ['a', 'b', 'c'].map((name) => s.relay({ name }))
    for (const relay of relays) await relay.start()
    await s.clock.advance(30_000)
    expect(relays.map((relay) => relay.health().partitions).sort()).toEqual([21, 21, 22])
    // It is gone without a word: whatever it asks is never answered.
    const gone = s.relay({ name: 'd' })
    await gone.start()
    await s.clock.advance(30_000)
    expect(gone.health().partitions).toBe(16)
    const { lease } = s.store.outbox
    s.store.outbox.lease = (relay, forMs) =>
      relay === 'd' ? new Promise(() => {}) : lease.call(s.store.outbox, relay, forMs)
    await s.clock.advance(10_000 + 3_400)
    const held = relays.map((relay) => relay.health().partitions)
    expect(held.reduce((sum, count) => sum + count, 0)).toBe(64)
  })

  it('publish all between them, each in the order of its key, while they come and go', async () => {
    const first = s.relay({ name: 'a', batch: 20 })
    await first.start()
    let published = 0
    const more = async (count: number): Promise<void> => {
      for (let at = 0; at < count; at++, published++) await s.publish(order(`o-${published}`, `k-${published % 7}`))
    }
    await more(50)
    const second = s.relay({ name: 'b', batch: 20 })
    await second.start()
    await more(50)
    await s.clock.advance(5_000)
    await more(50)
    await s.clock.advance(5_000)
    void first.close()
    await more(50)
    await s.clock.advance(20_000)
    const firsts = [...new Set(s.transport.taken)]
    expect(firsts).toHaveLength(200)
    for (let key = 0; key < 7; key++) {
      const own = firsts.filter((id) => Number(id.slice(2)) % 7 === key).map((id) => Number(id.slice(2)))
      expect(own).toEqual([...own].sort((a, b) => a - b))
    }
  })
})

describe('a relay that gives partitions to one that joins', () => {
  let s: Shop
  beforeEach(() => {
    s = shop()
  })
  afterEach(() => s.end())

  it('settles what it has sent before it gives them away: nothing is sent twice', async () => {
    const first = s.relay({ name: 'a', batch: 20 })
    // Each send takes a while, so that there is always something out.
    s.transport.answer = () => new Promise((resolve) => s.clock.setTimer(() => resolve(accepted), 30, undefined))
    await first.start()
    let published = 0
    const run = async (rounds: number): Promise<void> => {
      for (let round = 0; round < rounds; round++) {
        await s.publish(...Array.from({ length: 4 }, () => order(`o-${published}`, `k-${published++ % 50}`)))
        await s.clock.advance(50)
      }
    }
    await run(20)
    const others = ['b', 'c', 'd'].map((name) => s.relay({ name, batch: 20 }))
    for (const other of others) {
      await other.start()
      await run(150)
    }
    await s.clock.advance(60_000)
    expect([first, ...others].map((relay) => relay.health().partitions)).toEqual([16, 16, 16, 16])
    expect(await s.outbox.stats()).toMatchObject({ backlog: 0 })
    expect(s.transport.taken.length).toBe(published)
    expect(new Set(s.transport.taken).size).toBe(published)
  })

  it('begins nothing new of them meanwhile, and loses them when it cannot settle before its lease ends', async () => {
    const first = s.relay({ name: 'a' })
    await first.start()
    s.interrupt = (what) => {
      if (what === 'settle') throw new Error('away')
    }
    const ids = Array.from({ length: 64 }, (_, at) => `o-${at}`)
    await s.publish(...ids.map((id) => order(id)))
    await s.clock.advance(100)
    expect(s.transport.taken.length).toBeGreaterThan(10)
    const second = s.relay({ name: 'b' })
    await second.start()
    await s.clock.advance(4_000)
    expect(first.health().partitions).toBe(32)
    // Those of which nothing was sent.
    const had = second.health().partitions
    expect(had).toBeLessThan(32)
    await s.clock.advance(13_000)
    expect([first, second].map((relay) => relay.health().partitions)).toEqual([32, 32])
    s.interrupt = undefined
    await s.clock.advance(30_000)
    expect(await s.outbox.stats()).toMatchObject({ backlog: 0 })
  })

  it('keeps them after all when the other one has left before it had them', async () => {
    const held = gate<typeof accepted>()
    s.transport.answer = () => held.promise
    const first = s.relay({ name: 'a', leaseMs: 30_000, sendTimeoutMs: 18_000 })
    await first.start()
    const ids = Array.from({ length: 40 }, (_, at) => `o-${at}`)
    await s.store.transaction((tx) =>
      s.outbox.publish(
        tx,
        Orders,
        ids.map((id) => order(id)),
      ),
    )
    await s.clock.advance(9_000)
    const second = s.relay({ name: 'b', leaseMs: 30_000 })
    await second.start()
    await s.clock.advance(1_500)
    expect(first.health().partitions).toBe(32)
    await second.close()
    expect(second.health().state).toBe('closed')
    held.open(accepted)
    await s.clock.advance(11_000)
    expect(first.health().partitions).toBe(64)
    await s.clock.advance(1_000)
    expect([...s.transport.taken].sort()).toEqual([...ids].sort())
    expect(await s.outbox.stats()).toMatchObject({ backlog: 0 })
  })
})

describe('a relay that is closed before it held any partition', () => {
  it('takes no share from the others', async () => {
    const s = shop()
    const first = s.relay({ name: 'a' })
    await first.start()
    const second = s.relay({ name: 'b' })
    await second.start()
    expect(second.health().partitions).toBe(0)
    await second.close()
    await s.clock.advance(8_000)
    expect(first.health().partitions).toBe(64)
    expect(s.of('relay-leases')).toHaveLength(1)
    await s.end()
  })
})

describe('a lease', () => {
  let s: Shop
  beforeEach(() => {
    s = shop()
  })
  afterEach(() => s.end())

  it('is renewed after a third of it', async () => {
    await s.relay({ leaseMs: 9_000, sendTimeoutMs: 1_000 }).start()
    await s.clock.advance(30_000)
    expect(s.asked.filter(({ what }) => what === 'lease').map(({ at }) => at)).toEqual(
      Array.from({ length: 11 }, (_, at) => at * 3_000),
    )
  })

  it('that cannot be renewed begins no send that could outlast it', async () => {
    await s.relay().start()
    s.interrupt = (what) => {
      if (what === 'lease') throw new Error('away')
    }
    for (let at = 0; at < 20; at++) {
      await s.publish(order(`o-${at}`))
      await s.clock.advance(500)
    }
    const { sends } = s.transport
    expect(sends.length).toBeGreaterThan(5)
    for (const { at, context } of sends) {
      expect(context.deadline.at).toBeLessThanOrEqual(10_000 - 500)
      expect(at).toBeLessThanOrEqual(4_500)
    }
    s.interrupt = undefined
    await s.clock.advance(5_000)
    expect(s.transport.taken).toHaveLength(20)
  })

  it('that is lost takes what was buffered and what is still out with it: nothing of that is settled', async () => {
    const settled: bigint[] = []
    const { settle } = s.store.outbox
    s.store.outbox.settle = async (leases, verdicts) => {
      settled.push(...verdicts.map(({ sequence }) => sequence))
      return await settle.call(s.store.outbox, leases, verdicts)
    }
    const held = gate<typeof accepted>()
    s.transport.answer = () => held.promise
    const relay = s.relay({ name: 'zombie', leaseMs: 3_000, sendTimeoutMs: 1_800 })
    await relay.start()
    await s.publish(order('o-1', 'k'))
    await s.clock.advance(0)
    await s.publish(order('o-2', 'k'))
    await s.clock.advance(0)
    // The process stands still beyond its lease, and another takes all.
    const { lease } = s.store.outbox
    s.store.outbox.lease = () => Promise.reject(new Error('stands still'))
    await s.clock.advance(1_500)
    const leases = await lease.call(s.store.outbox, 'other', 1)
    expect(leases).toEqual([])
    await s.clock.advance(1_600)
    s.store.outbox.lease = lease
    await s.store.outbox.lease('other', 100_000)
    await s.clock.advance(1_000)
    expect(relay.health().partitions).toBe(0)
    held.open(accepted)
    await s.clock.advance(5_000)
    expect(settled).toEqual([])
    expect(await s.outbox.stats()).toMatchObject({ backlog: 2 })
    expect(s.transport.ids).toEqual(['o-1'])
  })

  it('that is lost while results are on their way: the store refuses them, and the relay asks what is still its', async () => {
    const relay = s.relay({ name: 'slow' })
    const held = gate<typeof accepted>()
    s.transport.answer = () => held.promise
    await relay.start()
    await s.publish(order('o-1', 'k'))
    await s.clock.advance(0)
    // Behind its back, and sooner than it asks again.
    const own = await s.store.outbox.lease('slow', 10_000)
    await s.store.outbox.release(own)
    await s.store.outbox.lease('other', 60_000)
    const before = s.asked.filter(({ what }) => what === 'lease').length
    held.open(accepted)
    await s.clock.advance(0)
    expect(await s.outbox.stats()).toMatchObject({ backlog: 1 })
    expect(s.asked.filter(({ what }) => what === 'lease')).toHaveLength(before + 1)
    expect(s.of('relay-leases').at(-1)).toMatchObject({ lost: 64 })
  })

  it('that comes back under another epoch begins anew', async () => {
    const relay = s.relay({ name: 'back' })
    const held = gate<typeof accepted>()
    s.transport.answer = ({ id }) => (id === 'o-1' && s.transport.ids.length === 1 ? held.promise : accepted)
    await relay.start()
    await s.publish(order('o-1', 'k'))
    await s.clock.advance(0)
    await s.publish(order('o-2', 'k'))
    const own = await s.store.outbox.lease('back', 10_000)
    await s.store.outbox.release(own)
    await s.clock.advance(3_400)
    expect(relay.health().partitions).toBe(64)
    expect(s.of('relay-lease-lost')).toMatchObject([{ messages: expect.any(Number) }])
    // Its old send is still out: nothing of the partition may pass it.
    expect(s.transport.ids).toEqual(['o-1'])
    held.open(accepted)
    await s.clock.advance(100)
    expect(s.transport.ids).toEqual(['o-1', 'o-1', 'o-2'])
    expect(await s.outbox.stats()).toMatchObject({ backlog: 0 })
  })

  it('that ran out and was given to nobody else goes on: what was accepted is settled, and not sent again', async () => {
    await s.relay({ name: 'only' }).start()
    let away = true
    s.interrupt = (what) => {
      if (away && (what === 'lease' || what === 'settle')) throw new Error('away')
    }
    await s.publish(order('o-1'))
    await s.clock.advance(30_000)
    away = false
    await s.clock.advance(10_000)
    expect(await s.outbox.stats()).toMatchObject({ backlog: 0 })
    const verdicts: RowVerdict[] = []
    expect(verdicts).toEqual([])
    expect(s.transport.ids.length).toBeLessThanOrEqual(2)
  })

  it('is not given to a relay of the same outbox that is closed', async () => {
    const relay = s.relay({ name: 'a' })
    await relay.start()
    await relay.close()
    const next = s.relay({ name: 'b' })
    await next.start()
    expect(next.health().partitions).toBe(64)
    s.transport.answer = () => failed('CONNECTION_REFUSED')
    await s.store.transaction((tx) => s.outbox.publish(tx, Orders, order('o-1')))
    await s.clock.advance(0)
    expect(next.health().state).toBe('backing-off')
    expect(relay.health().state).toBe('closed')
  })
})
