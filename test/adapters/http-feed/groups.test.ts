// Groups: who reads, from where, what is saved, and what happens when a member dies, loses its lease or its store. On a fake clock, with the feed in the same process.
import { afterEach, describe, expect, it } from 'vitest'
import {
  createFeed,
  type Feed,
  type FeedReaderEvent,
  type HttpFeedTransport,
  type HttpFeedTransportOptions,
  httpFeedTransport,
  memoryFeedLog,
} from '../../../src/adapters/http-feed/index.ts'
import { memoryCheckpoints } from '../../../src/adapters/memory/index.ts'
import type { CheckpointStore } from '../../../src/core/contracts/store.ts'
import type { Delivery } from '../../../src/core/contracts/transport.ts'
import { type FakeClock, fakeClock } from '../../../src/testing/fake-clock.ts'
import { seededRandom } from '../../../src/testing/seeded-random.ts'
import { type Collected, collect, failure, messages, orders, sendAll, troubled } from './lab.ts'

interface World {
  readonly clock: FakeClock
  readonly feed: Feed
  readonly store: CheckpointStore & { down: boolean }
  readonly saved: string[]
  readonly events: FeedReaderEvent[]
  member(more?: Partial<HttpFeedTransportOptions>): HttpFeedTransport
}

const LEASE_MS = 9_000
const opened: HttpFeedTransport[] = []
afterEach(async () => {
  for (const transport of opened.splice(0)) await transport.close()
})

function world(retain?: number): World {
  const clock = fakeClock()
  const feed = createFeed({ clock, log: memoryFeedLog({ clock, maxCount: retain }), pageSize: 10 })
  const plain = memoryCheckpoints({ clock })
  const saved: string[] = []
  const store = troubled({
    ...bound(plain),
    async save(consumer, lease, position) {
      const ok = await plain.save(consumer, lease, position)
      if (ok) saved.push(position.replaceAll(feed.log.generation, 'g'))
      return ok
    },
  })
  const events: FeedReaderEvent[] = []
  return {
    clock,
    feed,
    store,
    saved,
    events,
    member(more = {}) {
      const transport = httpFeedTransport({
        feed,
        checkpoints: store,
        leaseMs: LEASE_MS,
        takeOverMs: 1_000,
        clock,
        random: seededRandom(1),
        onEvent: (event) => events.push(event),
        ...more,
      })
      opened.push(transport)
      return transport
    },
  }
}

const bound = (store: CheckpointStore): CheckpointStore => ({
  lease: store.lease.bind(store),
  release: store.release.bind(store),
  load: store.load.bind(store),
  save: store.save.bind(store),
})

const settle = async ({ clock }: World, collected: Collected, ...ids: readonly string[]): Promise<void> => {
  for (const id of ids) await by(collected, id).settle('ack')
  await clock.advance(0)
}
const by = ({ deliveries }: Collected, id: string): Delivery =>
  deliveries.findLast(({ envelope }) => envelope.id === id) as Delivery

describe('what is saved', () => {
  it('moves over what is settled without a gap, and remembers what was settled behind one', async () => {
    const w = world()
    const held = await collect(w.member(), { group: 'billing', hold: true })
    await sendAll(w.member(), messages(6))
    await w.clock.advance(0)
    expect(held.ids).toEqual(['0', '1', '2', '3', '4', '5'])
    await settle(w, held, '1', '3', '2')
    expect(w.saved.at(-1)).toBe('g-0 done=2-4 handed=1:1,5:1,6:1 held=1,5-6')
    await settle(w, held, '0')
    expect(w.saved.at(-1)).toBe('g-4 handed=1:1,2:1 held=1-2')
    await settle(w, held, '5', '4')
    expect(w.saved.at(-1)).toBe('g-6')
  })

  it('is one save at a time, and what comes meanwhile goes into the next', async () => {
    const w = world()
    const held = await collect(w.member(), { group: 'billing', hold: true })
    await sendAll(w.member(), messages(100))
    await w.clock.advance(0)
    const before = w.saved.length
    await Promise.all(held.deliveries.map((delivery) => delivery.settle('ack')))
    expect(held.deliveries).toHaveLength(100)
    expect(w.saved.length - before).toBeLessThanOrEqual(2)
  })

  it('is not said to be saved before it is', async () => {
    const w = world()
    let release: () => void = () => {}
    const gate = new Promise<void>((resolve) => (release = resolve))
    const slow = {
      ...bound(w.store),
      save: async (...args: Parameters<CheckpointStore['save']>) => {
        if (args[2].endsWith('-1')) await gate
        return w.store.save(...args)
      },
    }
    const held = await collect(w.member({ checkpoints: slow }), { group: 'billing', hold: true })
    await sendAll(w.member(), messages(1))
    await w.clock.advance(0)
    let settled = false
    const work = by(held, '0')
      .settle('ack')
      .then(() => (settled = true))
    await w.clock.advance(100)
    expect(settled).toBe(false)
    release()
    await work
    expect(w.saved.at(-1)).toBe('g-1')
  })

  it('starts a group where its first member came, also before anything is handed out', async () => {
    const w = world()
    await sendAll(w.member(), messages(3))
    const first = w.member()
    await first.receive({ channel: orders, group: 'billing' }, () => {})
    await first.close()
    await sendAll(w.member(), messages(2, 3))
    const second = await collect(w.member(), { group: 'billing' })
    await w.clock.advance(0)
    expect(second.ids).toEqual(['3', '4'])
  })

  it('keeps groups and topics apart', async () => {
    const w = world()
    const other = { kind: 'topic', name: 'other' } as const
    const [billing, stock, elsewhere] = [
      await collect(w.member(), { group: 'billing' }),
      await collect(w.member(), { group: 'stock' }),
      await collect(w.member(), { group: 'billing', channel: other }),
    ]
    await sendAll(w.member(), messages(2))
    await w.clock.advance(0)
    expect([billing.ids, stock.ids, elsewhere.ids]).toEqual([['0', '1'], ['0', '1'], []])
  })
})

describe('who reads', () => {
  it('one member at a time; another takes over at once when it closes, with what it had not settled', async () => {
    const w = world()
    const first = w.member()
    const one = await collect(first, { group: 'billing', hold: true, credit: 4 })
    await w.clock.advance(1)
    const two = await collect(w.member(), { group: 'billing' })
    await sendAll(w.member(), messages(6))
    await w.clock.advance(5_000)
    expect(two.ids).toEqual([])
    await settle(w, one, '1')
    await first.close()
    await w.clock.advance(1_000)
    expect(two.ids).toEqual(['0', '2', '3', '4', '5'])
    expect(two.deliveries.map(({ redeliveries }) => redeliveries)).toEqual([1, 1, 1, 0, 0])
  })

  it('a member that has just come does not drive out the one that reads', async () => {
    const w = world()
    const one = await collect(w.member(), { group: 'billing' })
    await w.clock.advance(1)
    const others = [await collect(w.member(), { group: 'billing' }), await collect(w.member(), { group: 'billing' })]
    for (let round = 0; round < 10; round++) {
      await w.clock.advance(LEASE_MS / 2)
      await sendAll(w.member(), messages(1, round))
    }
    await w.clock.advance(0)
    expect(one.ids).toHaveLength(10)
    expect(others.flatMap(({ ids }) => ids)).toEqual([])
    expect(w.events.filter(({ type }) => type === 'lane-lost')).toEqual([])
  })

  it('after a crash another one goes on from the last saved position, once the lease is over and not before', async () => {
    const w = world()
    const dead = troubled(bound(w.store))
    const crashed = await collect(w.member({ checkpoints: dead }), { group: 'billing', hold: true })
    await sendAll(w.member(), messages(4))
    await w.clock.advance(0)
    await settle(w, crashed, '0', '2')
    // From now on nothing of it reaches the store, as if it had been killed.
    dead.down = true
    await w.clock.advance(1)
    const next = await collect(w.member(), { group: 'billing' })
    await w.clock.advance(LEASE_MS / 3)
    expect(next.ids).toEqual([])
    await w.clock.advance(LEASE_MS)
    expect(next.ids).toEqual(['1', '3'])
    expect(next.deliveries.map(({ redeliveries }) => redeliveries)).toEqual([1, 1])
  })

  it('a member that cannot renew gives up in time: it may settle nothing once somebody else can have it', async () => {
    const w = world()
    const cutOff = troubled(bound(w.store))
    const held = await collect(w.member({ checkpoints: cutOff }), { group: 'billing', hold: true })
    await sendAll(w.member(), messages(2))
    await w.clock.advance(0)
    let lost = 0
    const [first, second] = held.deliveries as [Delivery, Delivery]
    first.onLost(() => lost++)
    cutOff.down = true
    await w.clock.advance(1)
    const next = await collect(w.member(), { group: 'billing' })
    // Just before the other one may have it, the right is gone.
    for (let ms = 0; next.ids.length === 0 && ms < 3 * LEASE_MS; ms += 100) {
      await w.clock.advance(100)
      if (next.ids.length > 0) expect(lost).toBe(1)
    }
    expect(next.ids).toEqual(['0', '1'])
    expect(lost).toBe(1)
    expect(await failure(first.settle('ack'))).toMatchObject({ code: 'LEASE_LOST', channel: 'orders' })
    let late = 0
    second.onLost(() => late++)
    expect(late).toBe(1)
    expect(w.events.some(({ type }) => type === 'lane-lost')).toBe(true)
  })

  it('a member whose place was taken without its knowing learns of it with the next save, and takes nothing back', async () => {
    const w = world()
    const one = await collect(w.member(), { group: 'billing', hold: true })
    await sendAll(w.member(), messages(3))
    await w.clock.advance(0)
    const [first, second] = one.deliveries as [Delivery, Delivery]
    let lost = 0
    second.onLost(() => lost++)
    // A member of an older name comes from elsewhere: the store gives it the lane when the holder asks next, or at its own expiry.
    const plain = w.store
    await plain.release('billing/orders', [{ lane: 'orders', epoch: 1n, until: 0 }])
    const [taken] = await plain.lease('billing/orders', '!', ['orders'], 60_000)
    expect(taken?.epoch).toBe(2n)
    expect(await failure(first.settle('ack'))).toMatchObject({ code: 'LEASE_LOST' })
    expect(lost).toBe(1)
    expect(await failure(second.settle('ack'))).toMatchObject({ code: 'LEASE_LOST' })
    expect(await plain.load('billing/orders', 'orders')).not.toContain('done')
    await w.clock.advance(5_000)
    expect(one.ids).toHaveLength(3)
  })

  it('a store that is away for less than the lease does no harm: settling says so, and is made good', async () => {
    const w = world()
    const held = await collect(w.member(), { group: 'billing', hold: true })
    await sendAll(w.member(), messages(2))
    await w.clock.advance(0)
    w.store.down = true
    const error = await failure(by(held, '0').settle('ack'))
    expect(error).toMatchObject({ code: 'CONNECTION_REFUSED', transport: 'http-feed', channel: 'orders' })
    await w.clock.advance(LEASE_MS / 2)
    w.store.down = false
    // The first verdict stands.
    await by(held, '0').settle('retry')
    expect(w.saved.at(-1)).toBe('g-1 handed=1:1 held=1')
    await w.clock.advance(LEASE_MS)
    expect(held.ids).toEqual(['0', '1'])
    await settle(w, held, '1')
    expect(w.saved.at(-1)).toBe('g-2')
  })

  it('renews while it lives, far longer than one lease', async () => {
    const w = world()
    const held = await collect(w.member(), { group: 'billing', hold: true })
    await sendAll(w.member(), messages(1))
    await w.clock.advance(LEASE_MS * 10)
    await settle(w, held, '0')
    expect(w.saved.at(-1)).toBe('g-1')
  })
})

describe('giving back and giving up', () => {
  it('what comes again waits for its time, and everything behind it with it', async () => {
    const w = world()
    const held = await collect(w.member(), { group: 'billing', hold: true, credit: 2 })
    await sendAll(w.member(), messages(4))
    await w.clock.advance(0)
    await by(held, '0').settle('retry', { delayMs: 3_000 })
    held.receiver.request(5)
    await w.clock.advance(2_999)
    expect(held.ids).toEqual(['0', '1'])
    await w.clock.advance(1)
    expect(held.ids).toEqual(['0', '1', '0', '2', '3'])
    expect(held.deliveries.map(({ redeliveries }) => redeliveries)).toEqual([0, 0, 1, 0, 0])
  })

  it('the count of what was given back is known to the member that comes after', async () => {
    const w = world()
    const first = w.member()
    const one = await collect(first, { group: 'billing', hold: true })
    await sendAll(w.member(), messages(1))
    await w.clock.advance(0)
    for (let times = 0; times < 3; times++) {
      await (one.deliveries.at(-1) as Delivery).settle('retry')
      await w.clock.advance(0)
    }
    await first.close()
    const two = await collect(w.member(), { group: 'billing' })
    await w.clock.advance(0)
    expect(two.deliveries.map(({ redeliveries }) => redeliveries)).toEqual([4])
  })

  it('without a place for them nothing is given up in silence', async () => {
    const w = world()
    const held = await collect(w.member(), { group: 'billing', hold: true })
    await sendAll(w.member(), messages(1))
    await w.clock.advance(0)
    expect(await failure(by(held, '0').settle('dead'))).toMatchObject({ code: 'CAPABILITY_MISSING' })
    await settle(w, held, '0')
    expect(w.saved.at(-1)).toBe('g-1')
  })

  it('with one it is there before it is settled; where that fails it may be settled anew', async () => {
    const w = world()
    const given: string[] = []
    const dead = async ({ id }: { readonly id: string }, reason: string): Promise<void> => {
      expect(w.saved.at(-1)).not.toBe('g-1')
      if (given.length === 0) {
        given.push('failed')
        throw Object.assign(new Error('down'), { code: 'ECONNREFUSED' })
      }
      given.push(`${id}: ${reason}`)
    }
    const held = await collect(w.member({ dead }), { group: 'billing', hold: true })
    await sendAll(w.member(), messages(1))
    await w.clock.advance(0)
    expect(await failure(by(held, '0').settle('dead'))).toMatchObject({ code: 'CONNECTION_REFUSED' })
    await by(held, '0').settle('dead', { reason: 'no such customer' })
    expect(given).toEqual(['failed', '0: no such customer'])
    expect(w.saved.at(-1)).toBe('g-1')
  })
})

describe('what is asked of the feed', () => {
  it('no page before somebody wants one, and no more than a page ahead', async () => {
    const w = world()
    let pages = 0
    const counted = new Proxy(w.feed, {
      get(target, key) {
        if (key === 'page') pages++
        const value: unknown = Reflect.get(target, key, target)
        return typeof value === 'function' ? value.bind(target) : value
      },
    })
    const held = await collect(w.member({ feed: counted }), { group: 'billing', hold: true, credit: 0 })
    await sendAll(w.member(), messages(100))
    await w.clock.advance(1_000)
    expect(pages).toBe(0)
    held.receiver.request(3)
    await w.clock.advance(1_000)
    expect([held.ids.length, pages]).toEqual([3, 1])
    held.receiver.request(9)
    await w.clock.advance(1_000)
    expect([held.ids.length, pages]).toEqual([12, 2])
  })

  it('not further than maxAhead behind the first unsettled one', async () => {
    const w = world()
    const held = await collect(w.member({ maxAhead: 15 }), { group: 'billing', hold: true })
    await sendAll(w.member(), messages(100))
    await w.clock.advance(1_000)
    expect(held.ids).toHaveLength(20)
    for (let id = 1; id < 20; id++) await by(held, String(id)).settle('ack')
    await w.clock.advance(1_000)
    expect(held.ids).toHaveLength(20)
    await settle(w, held, '0')
    await w.clock.advance(1_000)
    expect(held.ids).toHaveLength(40)
  })

  it('a position that is no longer kept ends the subscription', async () => {
    const w = world(5)
    const first = w.member()
    await (await collect(first, { group: 'billing' })).receiver.close()
    await sendAll(w.member(), messages(8))
    expect(await failure(collect(w.member(), { group: 'billing' }))).toMatchObject({ code: 'POSITION_EXPIRED' })
    const live = await collect(w.member(), { credit: 0 })
    await sendAll(w.member(), messages(8))
    live.receiver.request(1)
    expect(await failure(Promise.all([live.receiver.ended, w.clock.advance(1)]))).toMatchObject({
      code: 'POSITION_EXPIRED',
      transport: 'http-feed',
    })
  })

  it('or, if wanted, goes on with the oldest one, and says what happened', async () => {
    const w = world(5)
    const member = (): HttpFeedTransport => w.member({ onExpired: 'earliest' })
    const first = member()
    await (await collect(first, { group: 'billing' })).receiver.close()
    await sendAll(w.member(), messages(8))
    const next = await collect(member(), { group: 'billing' })
    await w.clock.advance(0)
    expect(next.ids).toEqual(['3', '4', '5', '6', '7'])
    expect(w.saved.at(-1)).toBe('g-8')
    expect(w.events.filter(({ type }) => type === 'expired')).toHaveLength(1)
  })

  it('a feed that has lost its events is noticed, whatever their numbers were', async () => {
    const w = world()
    const first = await collect(w.member(), { group: 'billing' })
    await sendAll(w.member(), messages(3))
    await w.clock.advance(0)
    await first.receiver.close()
    const anew = createFeed({ clock: w.clock, log: memoryFeedLog({ clock: w.clock }) })
    await sendAll(w.member({ feed: anew }), messages(9))
    expect(await failure(collect(w.member({ feed: anew }), { group: 'billing' }))).toMatchObject({
      code: 'POSITION_EXPIRED',
    })
  })
})

it('leaves no timer, no wait and no lease behind', async () => {
  const w = world()
  const transports = [w.member(), w.member(), w.member()]
  for (const transport of transports) await collect(transport, { group: 'billing', hold: true })
  await collect(transports[0] as HttpFeedTransport)
  await sendAll(w.member(), messages(3))
  await w.clock.advance(2_000)
  for (const transport of transports) await transport.close()
  await w.clock.advance(0)
  expect([w.clock.pending, w.feed.waiting]).toEqual([0, 0])
  const next = await w.store.lease('billing/orders', 'next', ['orders'], 1_000)
  await w.clock.advance(3_001)
  expect(next.length + (await w.store.lease('billing/orders', 'next', ['orders'], 1_000)).length).toBeGreaterThan(0)
})
