import { describe, expect, test } from 'vitest'
import type { StandardSchema } from '../../../src/core/schema.ts'
import { dead, retry, type Trigger, topic } from '../../../src/messaging/index.ts'
import { batchOf, byPriority, every } from '../../../src/messaging/triggers/index.ts'
import { type Bench, bench, gate } from './kit.ts'

interface Batches extends Bench {
  readonly batches: string[][]
}

async function batching(
  trigger: Trigger | undefined,
  answer: (ids: readonly string[]) => unknown = () => undefined,
  options: Parameters<typeof bench>[0] = {},
  change: Parameters<typeof bench>[1] = {},
): Promise<Batches> {
  const batches: string[][] = []
  const made = await bench(
    {
      trigger,
      batch: (messages) => {
        const ids = messages.map(({ id }) => id)
        batches.push(ids)
        return answer(ids)
      },
      ...options,
    },
    change,
  )
  return { ...made, batches }
}

describe('a batch', () => {
  test('on arrival: all that wait, one call at a time', async () => {
    const first = gate()
    const { broker, settle, batches } = await batching(undefined, (ids) =>
      ids.includes('a') ? first.promise : undefined,
    )
    expect(broker.credit()).toBe(100)
    broker.deliver({ id: 'a' })
    await settle()
    for (const id of ['b', 'c', 'd']) broker.deliver({ id })
    await settle()
    expect(batches).toEqual([['a']])
    first.resolve()
    await settle()
    expect(batches).toEqual([['a'], ['b', 'c', 'd']])
  })

  test('of which one is lost and which fails: those of its key behind it go back, for it has to be done before them', async () => {
    const first = gate()
    const { broker, settle, batches } = await batching(batchOf(4), async (ids) => {
      if (ids.length < 4) return
      await first.promise
      throw new Error('transient')
    })
    const ids = ['a1', 'b', 'a2', 'a3']
    const handed = ids.map((id) => broker.deliver({ id, key: id.slice(0, 1) }))
    await settle()
    handed[0]?.lose()
    first.resolve()
    await settle()
    expect(handed.slice(2).map(({ verdict }) => verdict)).toEqual(['retry', 'retry'])
    // The other key goes on at once.
    expect(batches).toEqual([ids, ['b']])
    expect(handed[1]?.verdict).toBe('ack')
  })

  test('of n: no sooner, and exactly n', async () => {
    const { broker, settle, batches } = await batching(batchOf(3))
    const handed = ['a', 'b'].map((id) => broker.deliver({ id }))
    await settle()
    expect(batches).toEqual([])
    for (const id of ['c', 'd']) handed.push(broker.deliver({ id }))
    await settle()
    expect(batches).toEqual([['a', 'b', 'c']])
    expect(handed.map(({ verdict }) => verdict)).toEqual(['ack', 'ack', 'ack', 'open'])
  })

  test('of fewer, once the oldest has waited long enough', async () => {
    const { broker, settle, batches, clock } = await batching(batchOf(3, { maxWaitMs: 500 }))
    broker.deliver({ id: 'a' })
    await clock.advance(300)
    broker.deliver({ id: 'b' })
    await clock.advance(199)
    expect(batches).toEqual([])
    await clock.advance(1)
    expect(batches).toEqual([['a', 'b']])
    await settle()
  })

  test('by priority: two urgent ones, or five of any', async () => {
    const { broker, settle, batches } = await batching(byPriority({ urgent: 2, priority: 5, any: 5 }))
    for (const id of ['a', 'b', 'c']) broker.deliver({ id })
    broker.deliver({ id: 'u1', priority: 5 })
    await settle()
    expect(batches).toEqual([])
    broker.deliver({ id: 'd' })
    await settle()
    expect(batches).toEqual([['a', 'b', 'c', 'u1', 'd']])
    broker.deliver({ id: 'u2', priority: 9 })
    broker.deliver({ id: 'u3', priority: 5 })
    await settle()
    expect(batches[1]).toEqual(['u2', 'u3'])
  })

  test('by the clock', async () => {
    const { broker, batches, clock } = await batching(every(1_000))
    broker.deliver({ id: 'a' })
    await clock.advance(999)
    expect(batches).toEqual([])
    await clock.advance(1)
    expect(batches).toEqual([['a']])
    await clock.advance(5_000)
    broker.deliver({ id: 'b' })
    await clock.advance(0)
    expect(batches).toEqual([['a'], ['b']])
  })

  test('keeps the order of a key, and only what may go together goes', async () => {
    const { broker, settle, batches, clock } = await batching(undefined, (ids) =>
      ids.includes('a1') && batchesSoFar() === 1 ? [retry({ afterMs: 1_000 }), undefined] : undefined,
    )
    function batchesSoFar(): number {
      return batches.length
    }
    broker.deliver({ id: 'a1', key: 'a' })
    broker.deliver({ id: 'b1', key: 'b' })
    await settle()
    broker.deliver({ id: 'a2', key: 'a' })
    broker.deliver({ id: 'b2', key: 'b' })
    await settle()
    expect(batches).toEqual([['a1', 'b1'], ['b2']])
    await clock.advance(1_000)
    expect(batches.flat()).toEqual(['a1', 'b1', 'b2', 'a1', 'a2'])
  })

  test('an answer for all, or one for each', async () => {
    const one = await batching(batchOf(2), () => dead('all bad'))
    const two = await batching(batchOf(3), () => [undefined, dead('bad'), retry({ afterMs: 5 })])
    const first = ['a', 'b'].map((id) => one.broker.deliver({ id }))
    const second = ['a', 'b', 'c'].map((id) => two.broker.deliver({ id }))
    await one.settle()
    await two.settle()
    expect(first.map(({ verdict }) => verdict)).toEqual(['dead', 'dead'])
    expect(second.map(({ verdict }) => verdict)).toEqual(['ack', 'dead', 'retry'])
  })

  test('outcomes that are not one for each are a mistake, and none is guessed', async () => {
    const { broker, settle } = await batching(batchOf(2), () => [retry()])
    const handed = ['a', 'b'].map((id) => broker.deliver({ id }))
    await settle()
    expect(handed.map(({ settled }) => settled[0]?.options?.reason)).toEqual(
      Array(2).fill('PROGRAMMING_ERROR: the batch has 2 messages, and its handler answered with 1 outcomes'),
    )
  })

  test('a failure is tried again with the same messages, and then for each of them', async () => {
    const { broker, settle, batches } = await batching(batchOf(2), () => Promise.reject(new Error('down')))
    const handed = ['a', 'b'].map((id) => broker.deliver({ id }))
    await settle()
    expect(batches).toEqual([
      ['a', 'b'],
      ['a', 'b'],
      ['a', 'b'],
    ])
    expect(handed.map(({ settled }) => settled[0]?.options?.delayMs)).toEqual([10_000, 10_000])
  })

  test('those that nobody can read are given up, and the others go on', async () => {
    const { broker, settle, batches } = await batching(batchOf(3))
    const handed = [
      broker.deliver({ id: 'a' }),
      broker.deliver({ id: 'b', body: '{' }),
      broker.deliver({ id: 'c', redeliveries: 99 }),
    ]
    await settle()
    expect(batches).toEqual([['a']])
    expect(handed.map(({ verdict }) => verdict)).toEqual(['ack', 'dead', 'dead'])
  })

  test('one that is lost is not settled; the handler goes on for the others', async () => {
    const one = gate()
    const { broker, settle } = await batching(batchOf(2), () => one.promise)
    const [first, second] = ['a', 'b'].map((id) => broker.deliver({ id }))
    await settle()
    first?.lose()
    one.resolve()
    await settle()
    expect([first?.verdict, second?.verdict]).toEqual(['open', 'ack'])
  })

  test('one that is lost while they are decoded is not in the batch; all of them, and there is none', async () => {
    const decoding = gate()
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
    const seen: string[][] = []
    const { broker, settle } = await bench({
      channel: topic('orders', { placed: slow, paid: slow }) as never,
      trigger: batchOf(2),
      concurrency: 2,
      batch: (messages) => void seen.push(messages.map(({ id }) => id)),
    })
    const handed = ['a', 'b', 'c', 'd'].map((id) => broker.deliver({ id }))
    await settle()
    for (const at of [0, 2, 3]) handed[at]?.lose()
    decoding.resolve()
    await settle()
    expect(seen).toEqual([['b']])
    expect(handed.map(({ settled }) => settled.length)).toEqual([0, 1, 0, 0])
  })

  test('held messages keep their leases and are given back, uncounted, at the end', async () => {
    const { broker, clock, consumer } = await batching(batchOf(3))
    const handed = ['a', 'b'].map((id) => broker.deliver({ id, leaseMs: 3_000 }))
    await clock.advance(10_000)
    expect(handed.map(({ extended }) => extended.length >= 9)).toEqual([true, true])
    await consumer.close()
    expect(handed.map(({ verdict }) => verdict)).toEqual(['retry', 'retry'])
    expect(clock.pending).toBe(0)
  })

  test('a handler of single messages under a rule: all that it releases run, each for itself', async () => {
    const ran: string[] = []
    const { broker, settle } = await bench({
      trigger: batchOf(3),
      handlers: { placed: ({ id }) => void ran.push(id) },
    })
    broker.deliver({ id: 'a1', key: 'a' })
    broker.deliver({ id: 'a2', key: 'a' })
    await settle()
    expect(ran).toEqual([])
    broker.deliver({ id: 'b' })
    await settle()
    expect(ran).toEqual(['a1', 'b', 'a2'])
  })

  test('a rule that needs to see more than may be held is a mistake', async () => {
    await expect(batching(batchOf(20), undefined, { prefetch: 10 })).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
  })
})

describe('where the broker counts what waits', () => {
  const counted = { waiting: 'counted' } as const

  test('nothing is taken until the rule is met, so nothing is handed out twice for it', async () => {
    const { broker, batches, clock } = await batching(batchOf(3, { pollMs: 1_000 }), undefined, {}, counted)
    broker.waiting = 2
    await clock.advance(5_000)
    expect(broker.credit()).toBe(0)
    broker.waiting = 4
    await clock.advance(1_000)
    expect(broker.credit()).toBe(3)
    broker.waiting = 1
    for (const id of ['a', 'b', 'c']) broker.deliver({ id })
    await clock.advance(0)
    expect(batches).toEqual([['a', 'b', 'c']])
    await clock.advance(5_000)
    expect(broker.credit()).toBe(0)
  })

  test('where others took some of them, what came is handled after a while', async () => {
    const { broker, batches, clock } = await batching(batchOf(3), undefined, {}, counted)
    broker.waiting = 3
    await clock.advance(1_000)
    broker.deliver({ id: 'a' })
    await clock.advance(500)
    expect(batches).toEqual([])
    await clock.advance(600)
    expect(batches).toEqual([['a']])
  })

  test('where others took all of them, no more is asked for', async () => {
    const { broker, batches, clock } = await batching(batchOf(3), undefined, {}, counted)
    broker.waiting = 3
    await clock.advance(1_000)
    expect(broker.credit()).toBe(3)
    broker.waiting = 0
    const { inspects } = broker
    await clock.advance(10_000)
    expect(broker.credit()).toBe(3)
    expect(broker.inspects - inspects).toBeGreaterThan(7)
    // What still comes of what was asked for waits for the rule here.
    broker.deliver({ id: 'a' })
    await clock.advance(5_000)
    expect(batches).toEqual([])
    broker.waiting = 2
    await clock.advance(1_000)
    broker.deliver({ id: 'b' })
    broker.deliver({ id: 'c' })
    await clock.advance(0)
    expect(batches).toEqual([['a', 'b', 'c']])
  })

  test('by priority: it is asked for', async () => {
    const { broker, clock } = await batching(byPriority({ urgent: 2, priority: 5, atMost: 2 }), undefined, {}, counted)
    broker.waiting = 50
    broker.waitingAbove = { 5: 1 }
    await clock.advance(3_000)
    expect(broker.credit()).toBe(0)
    broker.waitingAbove = { 5: 2 }
    await clock.advance(1_000)
    expect(broker.credit()).toBe(2)
  })

  test('the longest wait counts from when they were first seen there', async () => {
    const { broker, clock } = await batching(batchOf(3, { maxWaitMs: 2_500 }), undefined, {}, counted)
    broker.waiting = 1
    await clock.advance(3_000)
    expect(broker.credit()).toBe(0)
    await clock.advance(1_000)
    expect(broker.credit()).toBe(1)
  })

  test('more than fits in at once comes in parts', async () => {
    const { broker, clock, batches } = await batching(every(1_000, { atMost: 4 }), undefined, { prefetch: 4 }, counted)
    broker.waiting = 9
    await clock.advance(2_000)
    expect(broker.credit()).toBe(4)
    for (let n = 0; n < 4; n++) broker.deliver({ id: `m${n}` })
    await clock.advance(0)
    expect(batches).toEqual([['m0', 'm1', 'm2', 'm3']])
  })

  test('a close leaves no timer', async () => {
    const { consumer, clock } = await batching(batchOf(3), undefined, {}, counted)
    await clock.advance(10)
    await consumer.close()
    expect(clock.pending).toBe(0)
  })
})
