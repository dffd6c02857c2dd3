import { describe, expect, test } from 'vitest'
import { createError } from '../../../src/errors/classes.ts'
import { bench, gate } from './kit.ts'

const never = (): Promise<void> => new Promise(() => {})

describe('leases', () => {
  test('are renewed at a third, for what runs, what waits its turn, and what is held back', async () => {
    let fails = true
    const { broker, settle, clock } = await bench({
      concurrency: 2,
      prefetch: 6,
      handlerTimeoutMs: 600_000,
      retries: { immediate: 0, delayedMs: [60_000] },
      handlers: {
        placed: async ({ id }) => {
          if (id !== 'held' || !fails) return never()
          fails = false
          throw new Error('later')
        },
      },
    })
    const held = broker.deliver({ id: 'held', key: 'k', leaseMs: 3_000 })
    const behind = broker.deliver({ id: 'behind', key: 'k', leaseMs: 3_000 })
    await settle()
    const running = [broker.deliver({ leaseMs: 3_000 }), broker.deliver({ leaseMs: 3_000 })]
    const waiting = broker.deliver({ leaseMs: 3_000 })
    await settle()
    await clock.advance(30_000)
    for (const each of [held, behind, ...running, waiting]) {
      expect(each.extended.length).toBeGreaterThanOrEqual(28)
      expect(each.extended.every((ms) => ms === 3_000)).toBe(true)
    }
  })

  test('a renewal that fails is tried again as long as the lease lasts; then it is a loss: the handler is aborted', async () => {
    const aborted: unknown[] = []
    let asked = 0
    const { broker, settle, clock, consumer } = await bench({
      handlers: {
        placed: (_, context) => {
          context.onAbort((reason) => aborted.push(reason))
          return never()
        },
      },
    })
    const extend = (): Promise<void> => Promise.reject(new Error(`network ${++asked}`))
    const handed = broker.deliver({ leaseMs: 3_000, extend })
    await settle()
    await clock.advance(2_000)
    expect({ asked, aborted }).toEqual({ asked: 2, aborted: [] })
    await clock.advance(1_000)
    expect(aborted).toMatchObject([{ code: 'LEASE_LOST', cause: { message: 'network 3' } }])
    // To the broker it may be ours still: then it would hand out here what comes after it.
    expect(handed.verdict).toBe('retry')
    expect(consumer.health().held).toBe(0)
  })

  test('a renewal that is not answered within the lease is a loss', async () => {
    const aborted: unknown[] = []
    const { broker, settle, clock } = await bench({
      handlers: {
        placed: (_, context) => {
          context.onAbort((reason) => aborted.push(reason))
          return never()
        },
      },
    })
    broker.deliver({ leaseMs: 3_000, extend: never })
    await settle()
    await clock.advance(2_999)
    expect(aborted).toEqual([])
    await clock.advance(2)
    expect(aborted).toMatchObject([{ code: 'LEASE_LOST' }])
  })

  test('one that came with hardly any lease left does not make those after it be looked at as often', async () => {
    const { broker, settle, clock } = await bench({
      handlers: { placed: ({ id }) => (id === 'late' ? undefined : never()) },
    })
    broker.deliver({ id: 'late', leaseMs: 0.003 })
    await settle()
    const kept = broker.deliver({ leaseMs: 30_000 })
    let rings = 0
    const { setTimer } = clock
    clock.setTimer = (callback, ms, arg) => {
      rings++
      return setTimer.call(clock, callback as (arg: unknown) => void, ms, arg)
    }
    await clock.advance(60_000)
    expect(kept.extended.length).toBeGreaterThanOrEqual(5)
    expect(rings).toBeLessThan(20)
  })

  test('nothing is renewed where there is no lease, or no way; and no timer is left when nothing is held', async () => {
    const { broker, settle, clock, consumer } = await bench({ throttle: false })
    const [none, noWay] = [broker.deliver({}), broker.deliver({ leaseMs: 300, noExtend: true })]
    broker.deliver({ leaseMs: 300 })
    await settle()
    await clock.advance(300)
    expect([none.extended, noWay.extended]).toEqual([[], []])
    await consumer.close()
    expect(clock.pending).toBe(0)
  })
})

describe('the time of a handler', () => {
  test('when it is over, the handler is aborted; what it throws then is tried again later, not at once', async () => {
    const seen: unknown[] = []
    const { broker, settle, clock } = await bench({
      handlerTimeoutMs: 5_000,
      handlers: {
        placed: (_, { signal }) =>
          new Promise((_resolve, reject) => {
            seen.push('start')
            signal.addEventListener('abort', () => reject(signal.reason))
          }),
      },
    })
    const handed = broker.deliver({})
    await settle()
    await clock.advance(4_999)
    expect(handed.verdict).toBe('open')
    await clock.advance(1)
    expect(seen).toEqual(['start'])
    expect(handed.settled).toMatchObject([
      { verdict: 'retry', options: { delayMs: 10_000, reason: expect.stringMatching(/^DEADLINE_EXCEEDED: /) } },
    ])
  })

  test('one that answers well all the same has done its work', async () => {
    const one = gate()
    const { broker, settle, clock } = await bench({ handlerTimeoutMs: 5_000, handlers: { placed: () => one.promise } })
    const handed = broker.deliver({})
    await settle()
    await clock.advance(7_000)
    one.resolve()
    await settle()
    expect(handed.verdict).toBe('ack')
  })

  test('one that does not heed it is left alone after the same time again, and told about', async () => {
    const one = gate()
    const { broker, settle, clock, consumer, of } = await bench({
      handlerTimeoutMs: 5_000,
      concurrency: 1,
      handlers: { placed: ({ id }) => (id === 'stuck' ? one.promise : undefined) },
    })
    const stuck = broker.deliver({ id: 'stuck' })
    const next = broker.deliver({ id: 'next' })
    await settle()
    await clock.advance(9_999)
    expect([stuck.verdict, next.verdict]).toEqual(['open', 'open'])
    await clock.advance(1)
    expect([stuck.verdict, next.verdict]).toEqual(['retry', 'ack'])
    expect(of('handler-abandoned')).toMatchObject([{ ids: ['stuck'], running: 1 }])
    expect(consumer.health()).toMatchObject({ inFlight: 0, abandoned: 1 })
    one.resolve()
    await settle()
    expect(stuck.settled).toHaveLength(1)
    expect(consumer.health().abandoned).toBe(0)
  })

  test('it ends sooner where the message expires sooner', async () => {
    const deadlines: number[] = []
    const { broker, settle, clock } = await bench({
      handlers: { placed: (_, { deadline }) => void deadlines.push(deadline.remainingMs()) },
    })
    broker.deliver({ expiresAt: clock.wallNow() + 2_000 })
    broker.deliver({ expiresAt: clock.wallNow() + 90_000 })
    await settle()
    expect(deadlines).toEqual([2_000, 30_000])
  })

  test('calls inherit deadline, trace context and signal, and nothing of whoever sent the message', async () => {
    const { inherited, withInherited } = await import('../../../src/core/async-context.ts')
    const seen: unknown[] = []
    const { broker, settle } = await bench({
      handlers: {
        placed: async () => {
          await Promise.resolve()
          const from = inherited()
          seen.push(from?.headers, from?.deadline?.remainingMs(), from?.signal?.aborted)
        },
      },
    })
    withInherited({ headers: { 'x-of-the-sender': 'secret' } }, () =>
      broker.deliver({ attributes: { traceparent: '00-a-b-01', baggage: 'a=1' } }),
    )
    await settle()
    expect(seen).toEqual([{ traceparent: '00-a-b-01', baggage: 'a=1' }, 30_000, false])
  })

  test('an error of its own that says so in time is not put down to the deadline', async () => {
    const { broker, settle } = await bench({
      retries: { immediate: 0 },
      handlers: {
        placed: () => {
          throw createError({ code: 'CONNECTION_REFUSED' })
        },
      },
    })
    const handed = broker.deliver({})
    await settle()
    expect(handed.settled[0]?.options?.reason).toMatch(/^CONNECTION_REFUSED/)
  })
})
