import { describe, expect, test } from 'vitest'
import type { StandardSchema } from '../../../src/core/schema.ts'
import { dead, topic } from '../../../src/messaging/index.ts'
import { type Bench, bench, gate } from './kit.ts'

const plan = { failures: 3, probeMs: 1_000, maxProbeMs: 4_000 }

/** A dependency that is down until the test mends it. */
async function outage(
  options: Parameters<typeof bench>[0] = {},
): Promise<Bench & { readonly tried: string[]; mend(): void; breakIt(): void }> {
  const tried: string[] = []
  let down = true
  const made = await bench({
    throttle: plan,
    concurrency: 5,
    prefetch: 50,
    retries: { immediate: 0, delayedMs: [100, 100] },
    onFailure: 'overtake',
    handlers: {
      placed: ({ id }) => {
        tried.push(id)
        if (down) throw new Error('the database is down')
      },
    },
    ...options,
  })
  return {
    ...made,
    tried,
    mend: () => {
      down = false
    },
    breakIt: () => {
      down = true
    },
  }
}

describe('an outage', () => {
  test('is seen by different messages failing one after another: then one is tried at a time, at growing intervals', async () => {
    const { broker, settle, clock, tried, consumer, of } = await outage()
    for (let n = 0; n < 10; n++) broker.deliver({ id: `m${n}` })
    await settle()
    expect(tried).toEqual(['m0', 'm1', 'm2'])
    expect(consumer.health().state).toBe('throttled')
    // Half of 1,000, 2,000, 4,000, 4,000 without jitter.
    await clock.advance(500)
    expect(tried).toHaveLength(4)
    await clock.advance(999)
    expect(tried).toHaveLength(4)
    await clock.advance(1)
    expect(tried).toHaveLength(5)
    await clock.advance(2_000)
    expect(tried).toHaveLength(6)
    await clock.advance(2_000)
    expect(tried).toHaveLength(7)
    expect(of('consumer-throttled').map(({ step }) => step)).toEqual([
      'on',
      ...Array.from({ length: 4 }, () => ['probe', 'longer']).flat(),
    ])
  })

  test('ends with the first success: full speed again', async () => {
    const { broker, settle, clock, tried, mend, consumer } = await outage()
    for (let n = 0; n < 10; n++) broker.deliver({ id: `m${n}` })
    await settle()
    mend()
    await clock.advance(500)
    expect(tried).toHaveLength(10)
    expect(consumer.health().state).toBe('running')
    expect(consumer.health().lastError).toBeUndefined()
  })

  test('burns no message to death, however long it lasts', async () => {
    const { broker, settle, clock } = await outage()
    // The first two are counted before it is seen for what it is.
    for (const id of ['x', 'y']) broker.deliver({ id })
    await settle()
    const redeliveries = new Map<string, number>()
    for (let round = 0; round < 30; round++) {
      const count = redeliveries.get('a') ?? 0
      const handed = broker.deliver({ id: 'a', redeliveries: count })
      await settle()
      await clock.advance(2_000)
      expect(handed.verdict).toBe('retry')
      redeliveries.set('a', count + 1)
    }
  })

  test('takes no more than there is room for meanwhile', async () => {
    const { broker, settle } = await outage({ prefetch: 10 })
    for (let n = 0; n < 10; n++) broker.deliver({ id: `m${n}` })
    await settle()
    // Three went back; seven wait here.
    expect(broker.credit()).toBe(3)
  })
})

describe('a probe that comes to nothing', () => {
  test('loses its lease while it is decoded: the next one is tried all the same', async () => {
    let decoding = gate()
    const slow: StandardSchema = {
      '~standard': {
        version: 1,
        vendor: 'test',
        validate: async (value) => {
          await decoding.promise
          return { value }
        },
      },
    }
    decoding.resolve()
    const { broker, settle, clock, tried, mend, consumer } = await outage({
      channel: topic('orders', { placed: slow, paid: slow }) as never,
    })
    for (let n = 0; n < 3; n++) broker.deliver({ id: `m${n}` })
    await settle()
    expect(consumer.health().state).toBe('throttled')
    decoding = gate()
    const probe = broker.deliver({ id: 'probe' })
    await clock.advance(500)
    probe.lose()
    decoding.resolve()
    await settle()
    mend()
    broker.deliver({ id: 'next' })
    await clock.advance(10_000)
    expect(tried).toContain('next')
    expect(consumer.health()).toMatchObject({ state: 'running', inFlight: 0 })
  })
})

describe('no outage', () => {
  test('one message failing many times', async () => {
    const { broker, settle, consumer } = await outage({ retries: { immediate: 9, delayedMs: [] } })
    for (let n = 0; n < 5; n++) broker.deliver({ id: 'same' })
    await settle()
    expect(consumer.health().state).toBe('running')
  })

  test('failures with successes between them', async () => {
    const { broker, settle, consumer, mend, breakIt } = await outage()
    for (let n = 0; n < 6; n++) {
      broker.deliver({ id: `m${n}` })
      await settle()
      if (n % 2 === 1) {
        mend()
        broker.deliver({ id: `good${n}` })
        await settle()
        breakIt()
      }
    }
    expect(consumer.health().state).toBe('running')
  })

  test('bad messages', async () => {
    const { broker, settle, consumer } = await outage({ handlers: { placed: () => dead('bad') } })
    for (let n = 0; n < 10; n++) broker.deliver({ id: `m${n}` })
    await settle()
    expect(consumer.health().state).toBe('running')
  })

  test('one batch that fails, however many messages are in it', async () => {
    const { broker, settle, consumer } = await bench({
      throttle: plan,
      retries: { immediate: 0 },
      batch: () => Promise.reject(new Error('once')),
    })
    for (let n = 0; n < 10; n++) broker.deliver({ id: `m${n}` })
    await settle()
    expect(consumer.health().state).toBe('running')
  })

  test('and none at all where it is switched off', async () => {
    const { broker, settle, tried } = await outage({ throttle: false })
    for (let n = 0; n < 10; n++) broker.deliver({ id: `m${n}` })
    await settle()
    expect(tried).toHaveLength(10)
  })
})
