import { describe, expect, test } from 'vitest'
import { createError } from '../../../src/errors/classes.ts'
import { dead, retry } from '../../../src/messaging/index.ts'
import { bench, Orders } from './kit.ts'

const broken = (): never => {
  throw createError({ code: 'CONNECTION_LOST' })
}

describe('what a handler answers', () => {
  test('returning acknowledges, whatever is returned; sync or async', async () => {
    const { broker, settle } = await bench({
      handlers: { placed: () => ({ outcome: 'dead', reason: 'no outcome of ours' }), paid: async () => 7 },
    })
    const one = broker.deliver({})
    const two = broker.deliver({ type: 'paid' })
    await settle()
    expect([one.verdict, two.verdict]).toEqual(['ack', 'ack'])
  })

  test('a list of outcomes for one message is a mistake, and none is guessed', async () => {
    const { broker, settle } = await bench({ handlers: { placed: () => [retry()] } })
    const handed = broker.deliver({})
    await settle()
    expect(handed.settled[0]?.options?.reason).toMatch(/^PROGRAMMING_ERROR: a message has one outcome/)
  })

  test('the message is decoded and typed, with its context', async () => {
    const seen: unknown[] = []
    const { broker, settle } = await bench({
      handlers: {
        placed: (message, context) => {
          seen.push(message.data.n, message.id, context.ids, context.attempt, context.redeliveries, context.group)
          seen.push(context.channel.name, context.deadline.remainingMs(), context.call.operation, context.call.service)
        },
      },
    })
    broker.deliver({ id: 'a', n: 42, redeliveries: 2 })
    await settle()
    expect(seen).toEqual([42, 'a', ['a'], 1, 2, 'billing', 'orders', 30_000, 'placed', 'billing'])
  })

  test('dead(reason) becomes a dead letter at once', async () => {
    const { broker, settle, of } = await bench({ handlers: { placed: () => dead('negative amount') } })
    const handed = broker.deliver({ id: 'a' })
    await settle()
    expect(handed.settled).toEqual([{ verdict: 'dead', options: { reason: 'negative amount' } }])
    expect(of('message-dead')).toMatchObject([{ id: 'a', reason: 'negative amount' }])
  })

  test('retry({ afterMs }) of an unkeyed message goes back with that delay, and uses up no retry', async () => {
    const { broker, settle } = await bench({ handlers: { placed: () => retry({ afterMs: 5_000, reason: 'not yet' }) } })
    for (const redeliveries of [0, 3, 7]) {
      const handed = broker.deliver({ redeliveries, id: 'a' })
      await settle()
      expect(handed.settled).toEqual([{ verdict: 'retry', options: { delayMs: 5_000, reason: 'not yet' } }])
    }
  })

  test('retry() for ever ends at maxDeliveries', async () => {
    const { broker, settle } = await bench({ maxDeliveries: 5, handlers: { placed: () => retry({ afterMs: 1 }) } })
    const verdicts: string[] = []
    for (let redeliveries = 0; redeliveries < 7; redeliveries++) {
      const handed = broker.deliver({ redeliveries, id: 'a' })
      await settle()
      verdicts.push(handed.verdict)
    }
    expect(verdicts).toEqual(['retry', 'retry', 'retry', 'retry', 'retry', 'dead', 'dead'])
  })

  test('retry() refuses a time that is none', () => {
    expect(() => retry({ afterMs: -1 })).toThrow(RangeError)
    expect(() => retry({ afterMs: Number.NaN })).toThrow(RangeError)
  })
})

describe('what a handler throws', () => {
  test('what can never go well is dead at once, with code and message', async () => {
    let calls = 0
    const { broker, settle } = await bench({
      handlers: {
        placed: () => {
          calls++
          throw new TypeError('x is undefined')
        },
      },
    })
    const handed = broker.deliver({})
    await settle()
    expect(calls).toBe(1)
    expect(handed.verdict).toBe('dead')
    expect(handed.settled[0]?.options?.reason).toBe('PROGRAMMING_ERROR: x is undefined')
  })

  test('what may go well is tried again at once, then later, then given up', async () => {
    let calls = 0
    const { broker, settle } = await bench({
      handlers: {
        placed: async () => {
          calls++
          throw new Error('no idea')
        },
      },
    })
    const seen: unknown[] = []
    for (let redeliveries = 0; redeliveries <= 3; redeliveries++) {
      calls = 0
      const handed = broker.deliver({ redeliveries, id: 'a' })
      await settle()
      seen.push([calls, handed.verdict, handed.settled[0]?.options?.delayMs])
    }
    expect(seen).toEqual([
      [3, 'retry', 10_000],
      [3, 'retry', 30_000],
      [3, 'retry', 60_000],
      [3, 'dead', undefined],
    ])
  })

  test('attempts are counted in the context, and an attempt that goes well acknowledges', async () => {
    const attempts: number[] = []
    const { broker, settle, of } = await bench({
      handlers: {
        placed: (_, context) => {
          attempts.push(context.attempt)
          if (context.attempt < 3) throw new Error('again')
        },
      },
    })
    const handed = broker.deliver({})
    await settle()
    expect(attempts).toEqual([1, 2, 3])
    expect(handed.verdict).toBe('ack')
    expect(of('message-retried').map(({ where }) => where)).toEqual(['now', 'now'])
    expect(of('message-handled')).toMatchObject([{ outcome: 'ack', attempts: 3 }])
  })

  test('jitter only ever lengthens a delay', async () => {
    const { broker, settle } = await bench({ random: () => 0.5, handlers: { placed: broken } })
    const handed = broker.deliver({})
    await settle()
    expect(handed.settled[0]?.options?.delayMs).toBe(11_000)
  })

  test('a time named by the failure is waited for, and no attempt is made at once', async () => {
    let calls = 0
    const { broker, settle } = await bench({
      handlers: {
        placed: () => {
          calls++
          throw createError({ code: 'TOO_MANY_REQUESTS', retryAfterMs: 45_000 })
        },
      },
    })
    const handed = broker.deliver({})
    await settle()
    expect(calls).toBe(1)
    expect(handed.settled[0]?.options?.delayMs).toBe(45_000)
  })

  test('a refusal of our own side is never held against the message', async () => {
    const { broker, settle } = await bench({
      handlers: {
        placed: () => {
          throw createError({ code: 'CIRCUIT_OPEN', refusedBy: 'self', retryAfterMs: 4_000 })
        },
      },
    })
    // The broker counts each; we remember that they were no failures.
    for (let redeliveries = 0; redeliveries < 8; redeliveries++) {
      const handed = broker.deliver({ id: 'a', redeliveries })
      await settle()
      expect(handed.verdict).toBe('retry')
    }
  })

  test('an error of a call inside is judged by its own word', async () => {
    const permanent = createError({ code: 'FORBIDDEN', service: 'other', operation: 'read' })
    const { broker, settle } = await bench({
      handlers: {
        placed: () => {
          throw permanent
        },
        paid: () => {
          throw createError({ code: 'UNAVAILABLE', service: 'other', operation: 'read' })
        },
      },
    })
    const one = broker.deliver({})
    const two = broker.deliver({ type: 'paid' })
    await settle()
    expect([one.verdict, two.verdict]).toEqual(['dead', 'retry'])
  })

  test('where no broker counts, failures are counted here', async () => {
    const { broker, settle } = await bench(
      { handlers: { placed: broken }, retries: { immediate: 0, delayedMs: [1_000, 2_000] } },
      { redeliveryCount: 'none' },
    )
    const verdicts: unknown[] = []
    for (let round = 0; round < 3; round++) {
      const handed = broker.deliver({ id: 'a' })
      await settle()
      verdicts.push(handed.settled[0]?.options?.delayMs ?? handed.verdict)
    }
    expect(verdicts).toEqual([1_000, 2_000, 'dead'])
  })
})

describe('what needs no handler', () => {
  const never = (): never => {
    throw new Error('it must not be called')
  }

  test('poison: handed out too often without an end', async () => {
    const { broker, settle } = await bench({ handlers: { placed: never } })
    const handed = broker.deliver({ redeliveries: 20 })
    await settle()
    expect(handed.settled[0]?.options?.reason).toMatch(/^POISON: handed out 20 times/)
  })

  test.each([
    ['undecodable', { body: '{' }, /^MESSAGE_UNDECODABLE: /],
    ['invalid', { body: '{"n":"one"}' }, /^MESSAGE_INVALID: .*data\.n/],
    ['of an unknown type', { type: 'vanished' }, /^MESSAGE_UNHANDLED: /],
    ['of a type without a handler', { type: 'paid' }, /^MESSAGE_UNHANDLED: .*no handler for paid/],
    ['no CloudEvent', { attributes: { source: '' } }, /^MESSAGE_UNDECODABLE: /],
  ])('%s: dead at once', async (_, given, reason) => {
    const { broker, settle } = await bench({ unhandledType: 'dead', handlers: { placed: never } })
    const handed = broker.deliver(given)
    await settle()
    expect(handed.verdict).toBe('dead')
    expect(handed.settled[0]?.options?.reason).toMatch(reason)
  })

  test('unknown types can be ignored, invalid ones cannot', async () => {
    const { broker, settle, of } = await bench({
      unknownType: 'ignore',
      unhandledType: 'ignore',
      handlers: { placed: never },
    })
    const handed = [
      broker.deliver({ type: 'vanished' }),
      broker.deliver({ type: 'paid' }),
      broker.deliver({ body: '{' }),
    ]
    await settle()
    expect(handed.map(({ verdict }) => verdict)).toEqual(['ack', 'ack', 'dead'])
    expect(of('message-handled').map(({ outcome }) => outcome)).toEqual(['ignored', 'ignored', 'dead'])
  })

  test('a type without a handler: meant for others on a topic, for nobody on a queue', async () => {
    const topicOne = await bench({ handlers: { placed: never } })
    const shared = [topicOne.broker.deliver({ type: 'paid' }), topicOne.broker.deliver({ type: 'vanished' })]
    await topicOne.settle()
    expect(shared.map(({ verdict }) => verdict)).toEqual(['ack', 'dead'])
    const queueOne = await bench({
      channel: { ...Orders, kind: 'queue' },
      group: undefined,
      handlers: { placed: never },
    })
    const alone = queueOne.broker.deliver({ type: 'paid' })
    await queueOne.settle()
    expect(alone.verdict).toBe('dead')
  })

  test('expired: dead, or dropped', async () => {
    for (const [expired, verdict] of [
      ['dead', 'dead'],
      ['drop', 'ack'],
    ] as const) {
      const { broker, settle, clock } = await bench({ expired, handlers: { placed: never } })
      const handed = broker.deliver({ expiresAt: clock.wallNow() })
      await settle()
      expect(handed.verdict).toBe(verdict)
      if (verdict === 'dead') expect(handed.settled[0]?.options?.reason).toMatch(/^TOO_LATE: /)
    }
  })

  test('too early: back for the rest of its time, past others of its key', async () => {
    const { broker, settle, clock } = await bench({ handlers: { placed: never } })
    const handed = broker.deliver({ key: 'k', notBefore: clock.wallNow() + 7_000 })
    await settle()
    expect(handed.settled).toMatchObject([{ verdict: 'retry', options: { delayMs: 7_000, overtake: true } }])
  })

  test('too early, and nothing can be given back: held, and handled in time', async () => {
    const ran: string[] = []
    const { broker, settle, clock } = await bench(
      { handlers: { placed: ({ id }) => void ran.push(id) } },
      { nack: 'none', deadLetters: 'native' },
    )
    const early = broker.deliver({ id: 'early', key: 'k', notBefore: clock.wallNow() + 7_000 })
    broker.deliver({ id: 'next', key: 'k' })
    await settle()
    expect(ran).toEqual(['next'])
    await clock.advance(6_999)
    expect(ran).toEqual(['next'])
    await clock.advance(1)
    expect(ran).toEqual(['next', 'early'])
    expect(early.verdict).toBe('ack')
  })
})

describe('dead letters', () => {
  test('where the transport has none and none is given, it is refused at once', async () => {
    await expect(bench({}, { deadLetters: 'none' })).rejects.toMatchObject({ code: 'CAPABILITY_MISSING' })
  })

  test('sent to the place that is given, with its reason, and acknowledged only then', async () => {
    const { played } = await import('./kit.ts')
    const morgue = played()
    const { broker, settle } = await bench(
      {
        deadLetter: { transport: morgue.transport, channel: { kind: 'queue', name: 'morgue' } },
        handlers: { placed: () => dead('ü\nbad') },
      },
      { deadLetters: 'none' },
    )
    const handed = broker.deliver({ id: 'a', key: 'k' })
    await settle()
    expect(handed.verdict).toBe('ack')
    expect(morgue.sent).toMatchObject([
      {
        channel: { kind: 'queue', name: 'morgue' },
        envelope: {
          id: 'a',
          key: 'k',
          headers: { 'dead-letter-reason': ' bad', 'dead-letter-channel': 'orders', 'dead-letter-group': 'billing' },
        },
      },
    ])
  })

  test('a place that cannot be reached loses nothing', async () => {
    const { played } = await import('./kit.ts')
    const morgue = played()
    morgue.sendAnswers = [{ status: 'failed', error: createError({ code: 'CONNECTION_REFUSED' }) }]
    const { broker, settle, consumer } = await bench({
      deadLetter: { transport: morgue.transport, channel: { kind: 'queue', name: 'morgue' } },
      handlers: { placed: () => dead('bad') },
    })
    const handed = broker.deliver({})
    await settle()
    expect(handed.settled).toMatchObject([{ verdict: 'retry', options: { delayMs: 5_000 } }])
    expect(consumer.health().lastError?.code).toBe('CONNECTION_REFUSED')
  })

  test('dropped where that is wanted', async () => {
    const { broker, settle, of } = await bench(
      { deadLetter: 'drop', handlers: { placed: () => dead('bad') } },
      { deadLetters: 'none' },
    )
    const handed = broker.deliver({})
    await settle()
    expect(handed.verdict).toBe('ack')
    expect(of('message-dead')).toHaveLength(1)
  })
})
