// A relay takes what was committed to the transport: at least once, in the order of each key; and it begins and ends in every state.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { describe as describeThing } from '../../../src/core/describe.ts'
import { createRelay } from '../../../src/messaging/outbox/index.ts'
import { errorOf } from '../kit.ts'
import { accepted, failed, gate, Orders, order, type Shop, shop } from './kit.ts'

describe('a relay', () => {
  let s: Shop
  beforeEach(() => {
    s = shop()
  })
  afterEach(() => s.end())

  it('publishes what was committed, and forgets it', async () => {
    await s.publish(order('o-1'), order('o-2'))
    const relay = s.relay()
    await relay.start()
    await s.clock.advance(0)
    expect(s.transport.taken).toEqual(['o-1', 'o-2'])
    expect(await s.outbox.stats()).toEqual({ backlog: 0, dead: 0, blockedKeys: 0, oldestMs: 0 })
    expect(relay.health()).toMatchObject({ state: 'running', partitions: 64, inFlight: 0, published: 2 })
    expect(s.of('relay-published').reduce((sum, { count }) => sum + count, 0)).toBe(2)
  })

  it('hands the envelope on as it was written', async () => {
    await s.publish({ ...order('o-1'), headers: { Tenant: 't' } } as never)
    await s.relay().start()
    await s.clock.advance(0)
    const [sent] = s.transport.sends
    expect(sent?.channel).toEqual({ kind: 'topic', name: 'orders' })
    expect(sent?.envelopes[0]).toMatchObject({ id: 'o-1', key: 'o-1', headers: { tenant: 't' } })
    expect(JSON.parse(Buffer.from(sent?.envelopes[0]?.body ?? []).toString())).toEqual({ orderId: 'o-1' })
    expect(sent?.context).toMatchObject({ service: 'orders', operation: 'publish', idempotent: true })
    expect(sent?.context.deadline.at).toBe(5_000)
  })

  it('is woken by a commit of this process, without waiting for the next look', async () => {
    await s.relay().start()
    await s.clock.advance(10_000)
    await s.publish(order('o-1'))
    await s.clock.advance(0)
    expect(s.transport.taken).toEqual(['o-1'])
  })

  it('publishes a backlog of many batches in the order of each key, several sends at once', async () => {
    let most = 0
    s.transport.answer = async () => {
      most = Math.max(most, s.transport.open)
      return accepted
    }
    const orders = Array.from({ length: 1_500 }, (_, at) => order(`o-${at}`, `k-${at % 37}`))
    await s.store.transaction((tx) => s.outbox.publish(tx, Orders, orders))
    await s.relay({ batch: 100, concurrency: 3 }).start()
    await s.clock.advance(100)
    expect(s.transport.taken).toHaveLength(1_500)
    for (let key = 0; key < 37; key++) {
      const own = s.transport.taken.filter((id) => Number(id.slice(2)) % 37 === key)
      expect(own).toEqual([...own].sort((a, b) => Number(a.slice(2)) - Number(b.slice(2))))
    }
    expect(most).toBe(3)
  })

  it('reads the next rows while others are out and are settled', async () => {
    const overlaps: string[] = []
    let sending = 0
    let settling = 0
    s.transport.answer = async () => {
      sending++
      await undefined
      sending--
      return accepted
    }
    s.interrupt = async (what) => {
      if (what === 'pending' && sending > 0) overlaps.push('while sending')
      if (what === 'pending' && settling > 0) overlaps.push('while settling')
      if (what !== 'settle') return
      settling++
      await undefined
      settling--
    }
    const orders = Array.from({ length: 1_000 }, (_, at) => order(`o-${at}`))
    await s.store.transaction((tx) => s.outbox.publish(tx, Orders, orders))
    await s.relay({ batch: 50 }).start()
    await s.clock.advance(100)
    expect(s.transport.taken).toHaveLength(1_000)
    expect(overlaps.length).toBeGreaterThan(5)
  })

  it('never has a key in two sends, and lets none be overtaken', async () => {
    const open: { id: string; key: string; done: () => void }[] = []
    s.transport.answer = ({ id, key = '' }) => {
      const { promise, open: done } = gate<typeof accepted>()
      open.push({ id, key, done: () => done(accepted) })
      return promise
    }
    await s.relay({ concurrency: 4 }).start()
    const started: string[] = []
    for (let at = 0; at < 12; at++) await s.publish(order(`o-${at}`, `k-${at % 2}`))
    await s.clock.advance(0)
    while (open.length > 0) {
      expect(new Set(open.map(({ key }) => key)).size).toBe(open.length)
      const [next] = open.splice(0, 1)
      started.push(next?.id ?? '')
      next?.done()
      await s.clock.advance(10)
    }
    expect(started.filter((id) => Number(id.slice(2)) % 2 === 0)).toEqual(['o-0', 'o-2', 'o-4', 'o-6', 'o-8', 'o-10'])
    expect(started).toHaveLength(12)
  })

  it('finds what was committed late, behind what it has read, before later ones of its key', async () => {
    const slow = s.store.begin()
    await s.store.outbox.append(slow.tx, [])
    const held = gate<typeof accepted>()
    s.transport.answer = ({ id }) => (id === 'o-0' ? held.promise : accepted)
    await s.relay({ batch: 2 }).start()
    await s.publish(order('o-0', 'a'), order('o-1', 'b'))
    await s.clock.advance(50)
    await s.outbox.publish(slow.tx, Orders, order('late', 'k'))
    await slow.commit()
    await s.publish(order('after', 'k'))
    await s.clock.advance(50)
    expect(s.transport.taken).toEqual(['o-1', 'late', 'after'])
    held.open(accepted)
    await s.clock.advance(0)
    expect(s.transport.taken).toEqual(['o-1', 'late', 'after', 'o-0'])
  })

  it('reads less at once where rows are large', async () => {
    s = shop({ maxPayloadBytes: 1_048_576 })
    const limits: number[] = []
    const { pending } = s.store.outbox
    s.store.outbox.pending = async (leases, limit) => {
      limits.push(limit)
      return await pending.call(s.store.outbox, leases, limit)
    }
    const large = 'x'.repeat(500_000)
    const { channel } = { channel: Orders }
    for (let at = 0; at < 60; at++)
      await s.store.transaction((tx) =>
        s.outbox.publish(
          tx,
          { ...channel, compressAboveBytes: Infinity },
          {
            type: 'order.placed',
            id: `o-${at}`,
            data: { orderId: large },
          },
        ),
      )
    await s.relay({ batch: 50 }).start()
    await s.clock.advance(1_000)
    expect(s.transport.taken).toHaveLength(60)
    // The first one knows only what a message may have at most.
    expect(limits[0]).toBe(16)
    expect(Math.max(...limits)).toBeGreaterThan(30)
    expect(Math.max(...limits)).toBeLessThanOrEqual(34)
  })
})

describe('starting', () => {
  it('refuses options that make no sense, each by its name', async () => {
    const s = shop()
    const { outbox, transport } = s
    const bad = [
      { outbox: {} },
      { transport: {} },
      { name: 'a b' },
      { batch: 0 },
      { concurrency: 1.5 },
      { leaseMs: 0 },
      { leaseMs: 99 },
      { poll: { minMs: 0.5 } },
      { poll: { maxMs: 0.1 } },
      { sendTimeoutMs: 10_000 },
      { poll: { minMs: 10, maxMs: 5 } },
      { poll: { min: 10 } },
      { listen: 'yes' },
      { maxAttempts: 0 },
      { backoff: { minMs: -1 } },
      { onDead: 'stop' },
      { purgeAfterMs: -1 },
      { channels: ['orders'] },
      { retries: 3 },
    ]
    for (const options of bad) {
      const error = await errorOf(() => createRelay({ outbox, transport, ...options } as never))
      expect([error.code, error.message]).toEqual([
        'INVALID_OPTIONS',
        expect.stringContaining(Object.keys(options)[0] as string),
      ])
    }
  })

  it('refuses a transport that lacks what the outbox needs', async () => {
    const small = shop({ capabilities: { maxPayloadBytes: 1_000 } })
    expect((await errorOf(() => small.relay().start())).code).toBe('CAPABILITY_MISSING')
    const queues = shop({ capabilities: { modes: ['queue'] } })
    const error = await errorOf(() => queues.relay({ channels: [Orders] }).start())
    expect(error.code).toBe('CAPABILITY_MISSING')
    expect(queues.asked).toEqual([])
  })

  it('asks the transport whether the channels are there, and can be tried again', async () => {
    const s = shop()
    const prepared: unknown[] = []
    s.transport.prepare = async (...given) => {
      prepared.push(given)
      if (prepared.length === 1) throw (failed('CHANNEL_NOT_FOUND') as { readonly error: unknown }).error
    }
    const relay = s.relay({ channels: [Orders] })
    expect((await errorOf(() => relay.start())).code).toBe('CHANNEL_NOT_FOUND')
    expect(relay.health()).toMatchObject({ state: 'idle', lastError: { code: 'CHANNEL_NOT_FOUND' } })
    await relay.start()
    expect(prepared).toEqual(Array(2).fill([[{ kind: 'topic', name: 'orders' }], 'check']))
    expect(relay.health().state).toBe('running')
    await s.end()
  })

  it('says what the store says', async () => {
    const s = shop()
    s.interrupt = () => {
      throw new Error('no such table')
    }
    const relay = s.relay()
    expect((await errorOf(() => relay.start())).message).toContain('no such table')
    s.interrupt = undefined
    await Promise.all([relay.start(), relay.start()])
    expect(s.asked.filter(({ what }) => what === 'lease')).toHaveLength(2)
    await s.end()
  })

  it('goes on without announcements where they cannot be listened to', async () => {
    const s = shop()
    s.interrupt = (what) => {
      if (what === 'listen') throw new Error('no')
    }
    const relay = s.relay({ listen: true })
    await relay.start()
    await s.clock.advance(0)
    expect(s.of('relay-store-failed')).toMatchObject([{ during: 'listen' }])
    expect(relay.health().state).toBe('running')
    await s.end()
  })

  it('says how it was built', () => {
    expect(describeThing(shop().relay({ name: 'r' }))).toMatchObject({
      what: 'relay',
      name: 'r',
      outbox: '/shop/orders',
      transport: 'fake',
      options: { batch: 500, concurrency: 4, leaseMs: 10_000, sendTimeoutMs: 5_000, onDead: 'block-key' },
    })
  })
})

describe('closing', () => {
  it('lets sends end, settles them, and gives the partitions back at once', async () => {
    const s = shop()
    const held = gate<typeof accepted>()
    s.transport.answer = () => held.promise
    const relay = s.relay()
    await relay.start()
    await s.publish(order('o-1'))
    await s.clock.advance(0)
    const closing = relay.close()
    await s.clock.advance(1_000)
    expect(relay.health()).toMatchObject({ state: 'closing', inFlight: 1 })
    held.open(accepted)
    await s.clock.advance(0)
    await closing
    expect(await s.outbox.stats()).toMatchObject({ backlog: 0 })
    expect(relay.health()).toMatchObject({ state: 'closed', partitions: 0, inFlight: 0, published: 1 })
    expect(await s.store.outbox.lease('next', 1_000)).toHaveLength(64)
    expect(s.clock.pending).toBe(0)
  })

  it('begins nothing new, and leaves what waits to the next relay', async () => {
    const s = shop()
    const held = gate<typeof accepted>()
    s.transport.answer = ({ id }) => (id === 'o-1' ? held.promise : accepted)
    const relay = s.relay()
    await relay.start()
    await s.publish(order('o-1', 'k'))
    await s.clock.advance(0)
    await s.publish(order('o-2', 'k'), order('o-3', 'x'))
    const closing = relay.close()
    await s.publish(order('o-4', 'y'))
    held.open(accepted)
    await s.clock.advance(0)
    await closing
    const sent = [...s.transport.taken]
    await s.relay().start()
    await s.clock.advance(0)
    expect(sent).not.toContain('o-4')
    expect([...s.transport.taken].sort()).toEqual(['o-1', 'o-2', 'o-3', 'o-4'])
    expect(s.transport.taken.indexOf('o-1')).toBeLessThan(s.transport.taken.indexOf('o-2'))
    await s.end()
  })

  it('ends within its bound, and asks sends to give up', async () => {
    const s = shop()
    const reasons: unknown[] = []
    s.transport.answer = (_, context) =>
      new Promise((resolve) => {
        context.onAbort((reason) => {
          reasons.push((reason as { readonly code: string }).code)
          resolve(failed('CANCELLED', { effect: 'none' }))
        })
      })
    const relay = s.relay()
    await relay.start()
    await s.publish(order('o-1'))
    await s.clock.advance(0)
    let ended = false
    const closing = relay.close({ withinMs: 1_000 }).then(() => {
      ended = true
    })
    await s.clock.advance(1_000)
    expect(ended).toBe(true)
    await closing
    expect(reasons).toEqual(['SHUTDOWN'])
    expect(await s.outbox.stats()).toMatchObject({ backlog: 1, dead: 0, blockedKeys: 0 })
    expect(await s.store.outbox.lease('next', 1_000)).toHaveLength(64)
  })

  it('ends also where neither transport nor store ever answers', async () => {
    const s = shop()
    s.transport.answer = () => new Promise(() => {})
    const relay = s.relay()
    await relay.start()
    await s.publish(order('o-1'))
    await s.clock.advance(0)
    s.interrupt = () => new Promise(() => {})
    const closing = relay.close({ withinMs: 2_000 })
    await s.clock.advance(2_000)
    await closing
    expect(relay.health().state).toBe('closed')
    await s.clock.advance(60_000)
    expect(s.clock.pending).toBe(0)
  })

  it('is the same in every state: before the start, during it, twice; and nothing starts after it', async () => {
    const s = shop()
    const never = s.relay()
    await never.close()
    expect(never.health().state).toBe('closed')
    expect((await errorOf(() => never.start())).code).toBe('SHUTDOWN')

    const during = s.relay()
    const asked = gate()
    s.interrupt = () => asked.promise
    const starting = errorOf(() => during.start())
    await s.clock.advance(0)
    const closing = during.close()
    await s.clock.advance(10)
    s.interrupt = undefined
    asked.open()
    await s.clock.advance(10)
    await closing
    expect((await starting).code).toBe('SHUTDOWN')
    expect(await s.store.outbox.lease('next', 1_000)).toHaveLength(64)

    const twice = s.relay()
    await twice.start()
    expect(twice.close()).toBe(twice.close())
    await s.clock.advance(0)
    await twice.close()
    twice.wake()
    expect((await errorOf(() => s.relay().close({ ms: 1 } as never))).code).toBe('INVALID_OPTIONS')
  })

  it('settles what is accepted while the store is away for a moment', async () => {
    const s = shop()
    let away = true
    s.interrupt = (what) => {
      if (what === 'settle' && away) throw new Error('away')
    }
    const relay = s.relay()
    await relay.start()
    await s.publish(order('o-1'))
    await s.clock.advance(0)
    const closing = relay.close()
    away = false
    await s.clock.advance(0)
    await closing
    expect(await s.outbox.stats()).toMatchObject({ backlog: 0 })
  })
})

describe('a store that fails', () => {
  it.each(['pending', 'settle', 'lease'] as const)('is asked again, and nothing is lost: %s', async (what) => {
    const s = shop()
    let away = false
    s.interrupt = (asked) => {
      if (away && asked === what) throw new Error('away')
    }
    const relay = s.relay()
    await relay.start()
    away = true
    await s.publish(order('o-1'), order('o-2'))
    await s.clock.advance(8_000)
    expect(s.of('relay-store-failed').length).toBeGreaterThan(1)
    expect(s.asked.length).toBeLessThan(60)
    expect(relay.health().lastError?.message).toContain('away')
    if (what !== 'lease') expect(relay.health().state).toBe('backing-off')
    away = false
    await s.clock.advance(10_000)
    expect(new Set(s.transport.taken)).toEqual(new Set(['o-1', 'o-2']))
    expect(await s.outbox.stats()).toMatchObject({ backlog: 0 })
    expect(relay.health().state).toBe('running')
    await s.end()
  })

  it('that does not answer is asked again as well', async () => {
    const s = shop()
    let silent = true
    s.interrupt = (what) => (what === 'pending' && silent ? new Promise(() => {}) : undefined)
    await s.relay().start()
    await s.publish(order('o-1'))
    await s.clock.advance(5_000)
    silent = false
    await s.clock.advance(25_500)
    expect(s.transport.taken).toEqual(['o-1'])
    await s.end()
  })
})
