// What must not stop a relay for good: a store that cannot carry much, a peer that names a date far away, something that throws, news at the wrong moment.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { PendingRow } from '../../../src/core/contracts/store.ts'
import { createError } from '../../../src/errors/index.ts'
import { createOutbox } from '../../../src/messaging/outbox/index.ts'
import { accepted, failed, gate, Mails, Orders, order, type Shop, shop } from './kit.ts'

const DAY_MS = 86_400_000

let s: Shop
beforeEach(() => {
  s = shop()
})
afterEach(() => s.end())

describe('reading', () => {
  const watched = (most: number): number[] => {
    const limits: number[] = []
    const { pending } = s.store.outbox
    s.store.outbox.pending = async (leases, limit) => {
      limits.push(limit)
      if (limit > most) throw createError({ code: 'TIMED_OUT' })
      return await pending.call(s.store.outbox, leases, limit)
    }
    return limits
  }

  it('begins with little, and asks for more while that comes', async () => {
    const limits = watched(Infinity)
    await s.store.transaction((tx) =>
      s.outbox.publish(
        tx,
        Orders,
        Array.from({ length: 1_500 }, (_, at) => order(`o-${at}`)),
      ),
    )
    await s.relay().start()
    await s.clock.advance(100)
    expect(s.transport.taken).toHaveLength(1_500)
    expect(limits[0]).toBe(16)
    expect(limits[1]).toBe(32)
    expect(Math.max(...limits)).toBeGreaterThan(256)
    expect(Math.max(...limits)).toBeLessThanOrEqual(500)
  })

  it('asks for less where the store cannot give as much, and seldom for too much again', async () => {
    const limits = watched(100)
    await s.relay().start()
    await s.store.transaction((tx) =>
      s.outbox.publish(
        tx,
        Orders,
        Array.from({ length: 2_000 }, (_, at) => order(`o-${at}`)),
      ),
    )
    await s.clock.advance(20_000)
    expect(s.transport.taken).toHaveLength(2_000)
    const tooMuch = limits.filter((limit) => limit > 100)
    expect(tooMuch.length).toBeGreaterThan(0)
    expect(tooMuch.length).toBeLessThanOrEqual(4)
  })

  it.each([3, 1])('gets through where the store gives no more than %i rows', async (most) => {
    watched(most)
    await s.relay().start()
    await s.publish(order('o-1'), order('o-2'), order('o-3'), order('o-4'), order('o-5'))
    await s.clock.advance(10_000)
    expect(s.transport.taken).toHaveLength(5)
  })

  it('lets a read that it gave up end before the next, and waits for none that never ends', async () => {
    let open = 0
    let most = 0
    let slow = true
    const { pending } = s.store.outbox
    s.store.outbox.pending = async (leases, limit) => {
      most = Math.max(most, ++open)
      if (slow) await new Promise<void>((resolve) => void s.clock.setTimer(resolve, 14_000, undefined))
      open--
      return await pending.call(s.store.outbox, leases, limit)
    }
    await s.relay({ leaseMs: 10_000 }).start()
    await s.publish(order('o-1'))
    await s.clock.advance(60_000)
    expect(most).toBe(1)
    expect(s.of('relay-store-failed').length).toBeGreaterThan(2)
    slow = false
    await s.clock.advance(20_000)
    expect(s.transport.taken).toEqual(['o-1'])
  })
})

describe('something that throws where it must not', () => {
  it('is told, rested for and tried again, and what nothing is known of is not passed', async () => {
    s = shop({ capabilities: { delay: 'none', maxDelayMs: 0 } })
    const relay = s.relay()
    await relay.start()
    const { capabilities } = s.transport
    let broken = true
    Object.defineProperty(s.transport, 'capabilities', {
      get() {
        if (broken) throw new Error('not connected yet')
        return capabilities
      },
    })
    await s.store.transaction((tx) =>
      s.outbox.publish(tx, Orders, [
        { ...order('timed', 'k'), notBefore: s.clock.wallNow() + 20_000 },
        order('behind', 'k'),
      ]),
    )
    await s.clock.advance(1_000)
    expect(s.of('relay-store-failed').length).toBeGreaterThan(1)
    expect(relay.health()).toMatchObject({ state: 'backing-off', lastError: { code: 'CALL_FAILED' } })
    await s.publish(order('later'))
    await s.clock.advance(5_000)
    expect(s.transport.taken).toContain('later')
    expect(s.transport.taken).not.toContain('behind')
    broken = false
    await s.clock.advance(20_000)
    expect(s.transport.taken).toEqual(['later', 'behind', 'timed'])
    expect(relay.health().state).toBe('running')
    expect(await s.outbox.stats()).toMatchObject({ backlog: 0 })
  })

  it('may be a row of the store as well', async () => {
    const relay = s.relay()
    await relay.start()
    const { pending } = s.store.outbox
    let broken = true
    s.store.outbox.pending = async (leases, limit) =>
      broken
        ? ([{ sequence: 1n, partition: 1 }] as unknown as PendingRow[])
        : await pending.call(s.store.outbox, leases, limit)
    await s.publish(order('o-1'))
    await s.clock.advance(1_000)
    expect(relay.health().state).toBe('backing-off')
    broken = false
    await s.clock.advance(10_000)
    expect(s.transport.taken).toEqual(['o-1'])
    expect(relay.health().state).toBe('running')
  })
})

describe('a date far away', () => {
  it('is held, and held again, and nothing else waits for it', async () => {
    s = shop({ capabilities: { delay: 'none', maxDelayMs: 0 } })
    const relay = s.relay({ poll: { minMs: 1_000, maxMs: DAY_MS / 4 }, leaseMs: DAY_MS })
    await relay.start()
    const at = s.clock.wallNow() + 30 * DAY_MS
    await s.store.transaction((tx) =>
      s.outbox.publish(tx, Orders, [{ ...order('far', 'k'), notBefore: at }, order('now')]),
    )
    await s.clock.advance(2_000)
    expect(s.transport.taken).toEqual(['now'])
    expect(s.of('relay-store-failed')).toEqual([])
    await s.publish(order('next'))
    await s.clock.advance(29 * DAY_MS)
    expect(s.transport.taken).toEqual(['now', 'next'])
    await s.clock.advance(2 * DAY_MS)
    expect(s.transport.taken).toEqual(['now', 'next', 'far'])
  })

  it('is not believed of a peer that is busy: an hour at most', async () => {
    s.transport.answer = ({ id }) =>
      id === 'bad'
        ? { status: 'failed', error: createError({ code: 'TOO_MANY_REQUESTS', retryAfterMs: 1e11 }) }
        : accepted
    await s.relay().start()
    await s.store.transaction((tx) => s.outbox.publish(tx, Orders, [order('bad'), order('g-1'), order('g-2')]))
    await s.clock.advance(1_000)
    expect(await s.outbox.stats()).toMatchObject({ backlog: 1, blockedKeys: 1 })
    expect(s.of('relay-retried')).toMatchObject([{ id: 'bad', delayMs: 3_600_000 }])
    expect(s.of('relay-store-failed')).toEqual([])
  })
})

describe('a verdict that the store refuses', () => {
  const refusing = (id: string | undefined, code: 'INVALID_INPUT' | 'FORBIDDEN' = 'INVALID_INPUT'): number[] => {
    const counts: number[] = []
    const ids = new Map<bigint, string>()
    const { pending, settle } = s.store.outbox
    s.store.outbox.pending = async (...args) => {
      const rows = await pending.apply(s.store.outbox, args)
      for (const { sequence, envelope } of rows) ids.set(sequence, envelope.id)
      return rows
    }
    s.store.outbox.settle = async (leases, verdicts) => {
      counts.push(verdicts.length)
      const bad = verdicts.some(({ sequence, verdict }) => verdict === 'dead' && ids.get(sequence) === id)
      if (id === undefined || bad) throw createError({ code, effect: 'none' })
      return await settle.call(s.store.outbox, leases, verdicts)
    }
    return counts
  }

  it('is left out and told, and all the others are settled', async () => {
    s.transport.answer = ({ id }) => (id === 'o-7' ? failed('PAYLOAD_TOO_LARGE') : accepted)
    const counts = refusing('o-7')
    const relay = s.relay()
    await s.store.transaction((tx) =>
      s.outbox.publish(
        tx,
        Orders,
        Array.from({ length: 12 }, (_, at) => order(`o-${at}`)),
      ),
    )
    await relay.start()
    await s.clock.advance(100)
    expect(await s.outbox.stats()).toMatchObject({ backlog: 1, dead: 0, blockedKeys: 1 })
    expect(s.of('relay-retried')).toMatchObject([{ id: 'o-7', attempts: 0, error: { code: 'INVALID_INPUT' } }])
    expect(s.of('relay-store-failed').length).toBeGreaterThan(0)
    expect(counts.length).toBeLessThan(20)
    expect(relay.health().state).toBe('running')
    expect(s.transport.ids.filter((id) => id === 'o-0')).toHaveLength(1)
    await s.publish(order('next'))
    await s.clock.advance(100)
    expect(s.transport.taken).toContain('next')
  })

  it('is no verdict where the store refuses all: it is asked less and less often', async () => {
    const counts = refusing(undefined, 'FORBIDDEN')
    const relay = s.relay()
    await s.store.transaction((tx) =>
      s.outbox.publish(
        tx,
        Orders,
        Array.from({ length: 12 }, (_, at) => order(`o-${at}`)),
      ),
    )
    await relay.start()
    await s.clock.advance(60_000)
    expect(counts.length).toBeLessThan(60)
    expect(relay.health().state).toBe('backing-off')
    expect(s.transport.ids).toHaveLength(12)
  })
})

describe('news while nothing gets through', () => {
  const waited = async (id: string): Promise<number> => {
    const from = s.clock.now()
    while (s.clock.now() - from < 60_000 && !s.transport.ids.includes(id)) await s.clock.advance(50)
    return s.clock.now() - from
  }
  const away = async (): Promise<void> => {
    s.transport.answer = ({ id }) => (id === 'bad' ? failed('CONNECTION_REFUSED') : accepted)
    await s.relay({ backoff: { minMs: 100, maxMs: 30_000 } }).start()
    await s.publish(order('bad'))
    await s.clock.advance(120_000)
  }

  it('is not lost while a try is under way', async () => {
    await away()
    s.transport.answer = async () => {
      await new Promise<void>((resolve) => void s.clock.setTimer(resolve, 500, undefined))
      return failed('CONNECTION_REFUSED')
    }
    while (s.transport.open === 0) await s.clock.advance(100)
    await s.publish(order('new'))
    expect(await waited('new')).toBeLessThanOrEqual(2_200)
  })

  it('is found where the transaction was the caller’s own, and is committed later', async () => {
    await away()
    const own = s.store.begin()
    await s.outbox.publish(own.tx, Orders, order('new'))
    await s.clock.advance(2_500)
    await own.commit()
    expect(await waited('new')).toBeLessThanOrEqual(1_100)
  })

  it('is found where it was another process that published', async () => {
    await away()
    const place = { ...s.place, onCommitted: () => () => {} }
    const other = createOutbox(place, { clock: s.clock, source: '/other' })
    await s.store.transaction((tx) => other.publish(tx, Mails, { type: 'mail.wanted', id: 'm', data: { to: 'a' } }))
    expect(await waited('m')).toBeLessThanOrEqual(2_200)
  })

  it('is none where all was tried: the intervals grow all the same', async () => {
    s.transport.answer = () => failed('CONNECTION_REFUSED')
    await s.relay({ backoff: { minMs: 100, maxMs: 30_000 } }).start()
    await s.publish(order('a', 'k'), order('b', 'k'), order('c', 'x'))
    await s.clock.advance(200_000)
    const sends = s.transport.sends.length
    await s.clock.advance(120_000)
    expect(s.transport.sends.length - sends).toBeLessThanOrEqual(9)
  })

  it('is well again once what failed was skipped, and nothing else comes', async () => {
    s.transport.answer = () => failed('CONNECTION_REFUSED')
    const relay = s.relay()
    await relay.start()
    await s.publish(order('bad'))
    await s.clock.advance(20_000)
    expect(relay.health().state).toBe('backing-off')
    await s.outbox.skip(['bad'])
    await s.clock.advance(10_000)
    expect(relay.health().state).toBe('running')
    expect(s.of('relay-resumed').length).toBeGreaterThan(0)
  })
})

describe('the archive of an outbox that is never idle', () => {
  it('is purged too, one batch at a time', async () => {
    s = shop({ archive: true })
    let open = 0
    let most = 0
    const held = gate()
    const { purge } = s.store.outbox
    s.store.outbox.purge = async (options) => {
      most = Math.max(most, ++open)
      await held.promise
      open--
      return await purge.call(s.store.outbox, options)
    }
    s.transport.answer = async () => {
      await new Promise<void>((resolve) => void s.clock.setTimer(resolve, 2_000, undefined))
      return accepted
    }
    const busy = async (name: string, count: number): Promise<void> => {
      for (let at = 0; at < count; at++) {
        await s.publish(order(`${name}-${at}`))
        await s.clock.advance(500)
      }
    }
    await s.relay({ purgeAfterMs: 1_000, random: () => 0 }).start()
    await busy('o', 200)
    expect(most).toBe(1)
    expect(open).toBe(1)
    held.open()
    await busy('p', 130)
    expect(most).toBe(1)
    expect(s.of('relay-purged').length).toBeGreaterThan(0)
  })
})
