import { describe, expect, test } from 'vitest'
import type { Layer } from '../../../src/core/handler.ts'
import { createError } from '../../../src/errors/classes.ts'
import { dead } from '../../../src/messaging/index.ts'
import { attemptTimeout, bulkhead, retry as retryLayer } from '../../../src/policies/index.ts'
import { fakeClock } from '../../../src/testing/fake-clock.ts'
import { bench, gate } from './kit.ts'

describe('layers around a handler', () => {
  test('see the message and the call, first outermost, and pass the answer on', async () => {
    const log: unknown[] = []
    const layer =
      (name: string): Layer =>
      (next) =>
      async (request, context) => {
        log.push(name, (request as { id: string }).id, context.operation, context.service)
        return next(request, context)
      }
    const { broker, settle } = await bench({
      layers: [layer('outer'), layer('inner')],
      handlers: { placed: () => dead('no') },
    })
    const handed = broker.deliver({ id: 'a' })
    await settle()
    expect(log).toEqual(['outer', 'a', 'placed', 'billing', 'inner', 'a', 'placed', 'billing'])
    expect(handed.verdict).toBe('dead')
  })

  test('a refusal is no failure of the message: it comes again, uncounted', async () => {
    const one = gate()
    const { broker, settle } = await bench({
      layers: [bulkhead({ maxOutstanding: 1 })],
      handlers: { placed: () => one.promise },
    })
    const [first, second] = [broker.deliver({ id: 'a' }), broker.deliver({ id: 'b' })]
    await settle()
    one.resolve()
    await settle()
    expect([first.verdict, second.verdict]).toEqual(['ack', 'retry'])
    expect(second.settled[0]?.options?.reason).toMatch(/^OUTSTANDING_LIMIT/)
    // Counted by the broker four times, and still not given up.
    const again = broker.deliver({ id: 'b', redeliveries: 1 })
    await settle()
    expect(again.verdict).toBe('ack')
  })

  test('policies of the RPI side: attempts bounded and tried again within one delivery', async () => {
    const clock = fakeClock()
    let calls = 0
    const { broker, settle } = await bench({
      clock,
      retries: { immediate: 0, delayedMs: [] },
      layers: [
        retryLayer({ attempts: 3, backoffMs: 0, budget: false, clock, random: () => 0 }),
        attemptTimeout({ attemptTimeoutMs: 100, clock }),
      ],
      handlers: { placed: () => (++calls < 3 ? new Promise(() => {}) : undefined) },
    })
    const handed = broker.deliver({})
    await clock.advance(250)
    await settle()
    expect(calls).toBe(3)
    expect(handed.verdict).toBe('ack')
  })

  test('one that throws at once is a failure like any other', async () => {
    const { broker, settle } = await bench({
      retries: { immediate: 0 },
      layers: [
        () => () => {
          throw createError({ code: 'UNAVAILABLE' })
        },
      ],
    })
    const handed = broker.deliver({})
    await settle()
    expect(handed.settled[0]?.options).toMatchObject({ delayMs: 10_000, reason: expect.stringMatching(/^UNAVAILABLE/) })
  })
})
