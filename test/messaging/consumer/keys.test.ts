import { describe, expect, test } from 'vitest'
import { createError } from '../../../src/errors/classes.ts'
import { retry } from '../../../src/messaging/index.ts'
import { type Bench, bench, gate } from './kit.ts'

/** A consumer whose handlers end when the test says so. */
async function handHeld(options: Parameters<typeof bench>[0] = {}, change: Parameters<typeof bench>[1] = {}) {
  const running = new Map<string, ReturnType<typeof gate<unknown>>>()
  const log: string[] = []
  const made = await bench(
    {
      handlers: {
        placed: ({ id }) => {
          log.push(`start ${id}`)
          const one = gate<unknown>()
          running.set(id, one)
          return one.promise.finally(() => log.push(`end ${id}`))
        },
      },
      ...options,
    },
    change,
  )
  const finish = async (id: string, answer?: unknown): Promise<void> => {
    running.get(id)?.resolve(answer)
    await made.settle()
  }
  const fail = async (id: string, error: unknown = new Error('broken')): Promise<void> => {
    running.get(id)?.reject(error)
    await made.settle()
  }
  return { ...made, log, finish, fail, running }
}

const orders = ({ broker }: Bench): string[] => broker.log

describe('concurrency', () => {
  test('so many at once and no more; the next begins when one ends', async () => {
    const { broker, consumer, settle, log, finish } = await handHeld({ concurrency: 2 })
    expect(broker.credit()).toBe(4)
    for (const id of ['a', 'b', 'c', 'd']) broker.deliver({ id })
    await settle()
    expect(log).toEqual(['start a', 'start b'])
    expect(consumer.health()).toMatchObject({ inFlight: 2, held: 4 })
    await finish('b')
    expect(log).toEqual(['start a', 'start b', 'end b', 'start c'])
  })

  test('credit is never more than there is room for', async () => {
    const { broker, settle, finish } = await handHeld({ concurrency: 2, prefetch: 5 })
    expect(broker.credit()).toBe(5)
    for (let n = 0; n < 5; n++) broker.deliver({ id: `m${n}` })
    await settle()
    expect(broker.credit()).toBe(0)
    await finish('m0')
    expect(broker.credit()).toBe(1)
    broker.deliver({ id: 'm5' })
    await settle()
    expect(broker.credit()).toBe(0)
  })
})

describe('messages that the broker is being told of', () => {
  test('take no room, so that more is asked for before it has heard; but not without end', async () => {
    const { broker, consumer, settle } = await bench({ concurrency: 2, prefetch: 4 })
    const heard = gate<void>()
    for (let n = 0; n < 4; n++) broker.deliver({ id: `m${n}`, settleAfter: heard.promise })
    await settle()
    expect(consumer.health()).toMatchObject({ inFlight: 0, held: 4 })
    expect(broker.credit()).toBe(4)
    for (let n = 4; n < 8; n++) broker.deliver({ id: `m${n}`, settleAfter: heard.promise })
    await settle()
    expect(consumer.health()).toMatchObject({ inFlight: 0, held: 8 })
    expect(broker.credit()).toBe(0)
    heard.resolve()
    await settle()
    expect(consumer.health()).toMatchObject({ held: 0 })
    expect(broker.credit()).toBe(4)
  })
})

describe('order per key', () => {
  test('one after another within a key, keys side by side, the unkeyed free', async () => {
    const { broker, settle, log, finish } = await handHeld()
    broker.deliver({ id: 'a1', key: 'a' })
    broker.deliver({ id: 'a2', key: 'a' })
    broker.deliver({ id: 'b1', key: 'b' })
    broker.deliver({ id: 'x' })
    await settle()
    expect(log).toEqual(['start a1', 'start b1', 'start x'])
    await finish('a1')
    expect(log.slice(3)).toEqual(['end a1', 'start a2'])
  })

  test('the next of a key begins only when the broker has heard of the one before', async () => {
    const settling = gate()
    const { broker, settle, log, finish } = await handHeld()
    broker.deliver({ id: 'a1', key: 'a', settleAfter: settling.promise })
    broker.deliver({ id: 'a2', key: 'a' })
    await settle()
    await finish('a1')
    expect(log).toEqual(['start a1', 'end a1'])
    settling.resolve()
    await settle()
    expect(log).toEqual(['start a1', 'end a1', 'start a2'])
    expect(broker.log).toEqual(['ack a1'])
  })

  test('block-key: later ones wait here while one is tried again, over all its retries', async () => {
    const made = await handHeld({ retries: { immediate: 1, delayedMs: [10_000, 30_000] } })
    const { broker, settle, log, fail, finish, clock, of } = made
    const one = broker.deliver({ id: 'a1', key: 'a' })
    broker.deliver({ id: 'a2', key: 'a' })
    broker.deliver({ id: 'b1', key: 'b' })
    await settle()
    await fail('a1')
    await fail('a1')
    await finish('b1')
    expect(log).toEqual(['start a1', 'start b1', 'end a1', 'start a1', 'end a1', 'end b1'])
    await clock.advance(9_999)
    expect(log).toHaveLength(6)
    await clock.advance(1)
    expect(log.slice(6)).toEqual(['start a1'])
    await fail('a1')
    await fail('a1')
    await clock.advance(30_000)
    await fail('a1')
    await fail('a1')
    // Two delayed retries, no broker asked: now it is dead, and the next one has its turn.
    expect(one.verdict).toBe('dead')
    expect(log.at(-1)).toBe('start a2')
    expect(orders(made)).toEqual(['ack b1', 'dead a1'])
    expect(of('message-retried').map(({ where, delayMs }) => [where, delayMs])).toEqual([
      ['now', 0],
      ['here', 10_000],
      ['now', 0],
      ['here', 30_000],
      ['now', 0],
    ])
  })

  test('park-key: the head goes back with its delay, those behind it follow, in order, and use up nothing', async () => {
    const made = await handHeld({ onFailure: 'park-key', retries: { immediate: 0 } })
    const { broker, settle, fail, consumer } = made
    const a = ['a1', 'a2', 'a3'].map((id) => broker.deliver({ id, key: 'a' }))
    await settle()
    await fail('a1')
    expect(orders(made)).toEqual(['retry a1', 'retry a2', 'retry a3'])
    expect(a.map(({ settled }) => settled[0]?.options?.delayMs)).toEqual([10_000, undefined, undefined])
    expect(a.every(({ settled }) => settled[0]?.options?.overtake === undefined)).toBe(true)
    expect(consumer.health().held).toBe(0)
    // Handed out a second time: that was no failure of its own.
    const again = broker.deliver({ id: 'a2', key: 'a', redeliveries: 1 })
    await settle()
    await fail('a2')
    expect(again.settled[0]?.options?.delayMs).toBe(10_000)
  })

  test('overtake: it goes back, later ones go on', async () => {
    const made = await handHeld({ onFailure: 'overtake', retries: { immediate: 0 } })
    const { broker, settle, fail, log } = made
    const one = broker.deliver({ id: 'a1', key: 'a' })
    broker.deliver({ id: 'a2', key: 'a' })
    await settle()
    await fail('a1')
    expect(one.settled).toMatchObject([{ verdict: 'retry', options: { delayMs: 10_000, overtake: true } }])
    expect(log.at(-1)).toBe('start a2')
  })

  test('overtake where nothing can be given back: held beside its key, and never at the same time as another of it', async () => {
    const { broker, settle, fail, log, clock, finish } = await handHeld(
      { onFailure: 'overtake', retries: { immediate: 0 } },
      { nack: 'none' },
    )
    broker.deliver({ id: 'a1', key: 'a' })
    broker.deliver({ id: 'a2', key: 'a' })
    await settle()
    await fail('a1')
    expect(log.at(-1)).toBe('start a2')
    await clock.advance(10_000)
    expect(log.at(-1)).toBe('start a2')
    await finish('a2')
    expect(log.at(-1)).toBe('start a1')
  })

  test('the default keeps what the transport keeps', async () => {
    const ordered = await handHeld({ retries: { immediate: 0 } })
    const head = ordered.broker.deliver({ id: 'a1', key: 'a' })
    await ordered.settle()
    await ordered.fail('a1')
    expect(head.verdict).toBe('open')
    const unordered = await handHeld({ retries: { immediate: 0 } }, { order: 'none', nack: 'requeue' })
    const other = unordered.broker.deliver({ id: 'a1', key: 'a' })
    await unordered.settle()
    await unordered.fail('a1')
    expect(other.settled).toMatchObject([{ verdict: 'retry', options: { delayMs: 10_000 } }])
    expect(other.settled[0]?.options).not.toHaveProperty('overtake')
  })

  test.each([
    [{ nack: 'requeue' }, /park-key/],
    [{ nack: 'none' }, /park-key/],
    [{ order: 'none' }, /park-key/],
    [{ delay: 'none' }, /delays of 60000 ms/],
    [{ maxDelayMs: 50_000 }, /at most 50000 ms/],
  ] as const)('park-key is refused at once where it cannot be: %o', async (change, message) => {
    await expect(bench({ onFailure: 'park-key' }, change)).rejects.toMatchObject({
      code: 'CAPABILITY_MISSING',
      message: expect.stringMatching(message),
    })
  })

  test('a wish of the handler blocks its key as well', async () => {
    const { broker, settle, finish, log, clock } = await handHeld()
    broker.deliver({ id: 'a1', key: 'a' })
    broker.deliver({ id: 'a2', key: 'a' })
    await settle()
    await finish('a1', retry({ afterMs: 3_000 }))
    expect(log).toEqual(['start a1', 'end a1'])
    await clock.advance(3_000)
    expect(log.at(-1)).toBe('start a1')
  })

  test('a hand that is full of waiting ones is emptied, where the broker keeps the key waiting', async () => {
    const made = await handHeld({ prefetch: 4, concurrency: 2, retries: { immediate: 0 } })
    const { broker, settle, fail, consumer, clock } = made
    const head = broker.deliver({ id: 'a1', key: 'a' })
    await settle()
    await fail('a1')
    await clock.advance(4_000)
    for (const id of ['a2', 'a3', 'a4']) broker.deliver({ id, key: 'a' })
    await settle()
    expect(orders(made)).toEqual(['retry a1', 'retry a2', 'retry a3', 'retry a4'])
    expect(head.settled[0]?.options?.delayMs).toBe(6_000)
    expect(consumer.health().held).toBe(0)
    expect(broker.credit()).toBe(4)
  })
})

describe('a right that is lost', () => {
  test('aborts the handler, forbids its acknowledgement, and sends those behind it back', async () => {
    const made = await handHeld()
    const { broker, settle, finish, of, consumer } = made
    const one = broker.deliver({ id: 'a1', key: 'a' })
    const two = broker.deliver({ id: 'a2', key: 'a' })
    await settle()
    one.lose()
    await settle()
    expect(two.verdict).toBe('retry')
    // Handed out again to this consumer while its old handler still runs.
    broker.deliver({ id: 'a1', key: 'a', redeliveries: 1 })
    await settle()
    expect(made.log).toEqual(['start a1'])
    await finish('a1')
    expect(made.log).toEqual(['start a1', 'end a1', 'start a1'])
    expect(one.verdict).toBe('open')
    expect(of('message-lost')).toMatchObject([{ id: 'a1', during: 'handling', error: { code: 'LEASE_LOST' } }])
    expect(of('message-handled').filter(({ id }) => id === 'a1')).toMatchObject([{ outcome: 'lost' }])
    await finish('a1')
    expect(consumer.health()).toMatchObject({ inFlight: 0, held: 0 })
  })

  test('the signal of the handler says why', async () => {
    const seen: unknown[] = []
    const { broker, settle } = await bench({
      handlers: {
        placed: (_, context) =>
          new Promise((_resolve, reject) => {
            context.onAbort((reason) => seen.push((reason as { code: string }).code))
            context.signal.addEventListener('abort', () => reject(context.signal.reason))
          }),
      },
    })
    const handed = broker.deliver({})
    await settle()
    handed.lose()
    await settle()
    expect(seen).toEqual(['LEASE_LOST'])
    expect(handed.verdict).toBe('open')
  })

  test('an unkeyed one is not begun again beside its own handler', async () => {
    const { broker, settle, finish, log } = await handHeld()
    broker.deliver({ id: 'x' }).lose()
    await settle()
    expect(log).toEqual([])
    const first = broker.deliver({ id: 'x' })
    await settle()
    first.lose()
    broker.deliver({ id: 'x', redeliveries: 1 })
    await settle()
    expect(log).toEqual(['start x'])
    await finish('x')
    expect(log).toEqual(['start x', 'end x', 'start x'])
  })

  test('one that waits is put away, and never handled', async () => {
    const { broker, settle, finish, log, consumer } = await handHeld({ concurrency: 1 })
    broker.deliver({ id: 'a' })
    const waiting = broker.deliver({ id: 'b' })
    await settle()
    waiting.lose()
    await finish('a')
    expect(log).toEqual(['start a', 'end a'])
    expect(consumer.health().held).toBe(0)
  })

  test('what is about to be revoked is not begun', async () => {
    const { broker, settle, finish, log } = await handHeld({ concurrency: 1 }, { nack: 'none' })
    broker.deliver({ id: 'a' })
    const waiting = broker.deliver({ id: 'b' })
    await settle()
    waiting.revoke()
    await finish('a')
    expect(log).toEqual(['start a', 'end a'])
    expect(broker.log).toEqual(['ack a'])
  })
})

describe('a broker that cannot be told', () => {
  test('is told again while the right lasts, and the key waits', async () => {
    const { broker, settle, finish, clock, log } = await handHeld()
    const one = broker.deliver({ id: 'a1', key: 'a', settleFails: [new Error('socket'), new Error('socket')] })
    broker.deliver({ id: 'a2', key: 'a' })
    await settle()
    await finish('a1')
    expect(one.verdict).toBe('open')
    expect(log).toEqual(['start a1', 'end a1'])
    await clock.advance(1_200)
    expect(one.verdict).toBe('ack')
    expect(log.at(-1)).toBe('start a2')
  })

  test('and in the end it counts as lost: those behind it go back, for it comes again before them', async () => {
    const error = new Error('socket')
    const { broker, settle, finish, clock, of, consumer, log } = await handHeld()
    broker.deliver({ id: 'a1', key: 'a', settleFails: [error, error, error, error] })
    const two = broker.deliver({ id: 'a2', key: 'a' })
    await settle()
    await finish('a1')
    await clock.advance(10_000)
    expect(two.verdict).toBe('retry')
    expect(log).toEqual(['start a1', 'end a1'])
    expect(of('message-lost')).toMatchObject([{ id: 'a1', during: 'settling' }])
    expect(consumer.health().held).toBe(0)
  })
})

test('what could not be settled comes again, and nothing of its key before it', async () => {
  const done: string[] = []
  const { broker, settle } = await bench({ handlers: { placed: ({ id }) => void done.push(id) } })
  broker.deliver({ id: 'a', key: 'k', settleFails: [createError({ code: 'LEASE_LOST' })] })
  await settle()
  // Handed out before that, and behind it.
  const early = broker.deliver({ id: 'b', key: 'k' })
  await settle()
  expect([early.verdict, done]).toEqual(['retry', ['a']])
  const handed = ['a', 'b'].map((id) => broker.deliver({ id, key: 'k' }))
  await settle()
  expect([handed.map(({ verdict }) => verdict), done]).toEqual([
    ['ack', 'ack'],
    ['a', 'a', 'b'],
  ])
})
