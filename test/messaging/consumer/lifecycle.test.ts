import { AsyncLocalStorage } from 'node:async_hooks'
import { describe, expect, test } from 'vitest'
import { memoryTransport } from '../../../src/adapters/memory/index.ts'
import { describe as describeThing } from '../../../src/core/describe.ts'
import { createError } from '../../../src/errors/classes.ts'
import { createConsumer, createPublisher } from '../../../src/messaging/index.ts'
import { fakeClock } from '../../../src/testing/fake-clock.ts'
import { bench, gate, Orders, played } from './kit.ts'

const never = (): Promise<void> => new Promise(() => {})
const lost = (): Error => createError({ code: 'CONNECTION_LOST' })

describe('starting', () => {
  test('twice is once; what it asks for is what it was given', async () => {
    const { broker, consumer } = await bench({ concurrency: 3 })
    await consumer.start()
    expect(broker.receivers()).toBe(1)
    expect(broker.froms[0]).toMatchObject({ channel: { kind: 'topic', name: 'orders' }, group: 'billing' })
    expect(broker.requests).toEqual([6])
    expect(consumer.health().state).toBe('running')
  })

  test('makes its channel first, or only checks it with its group, or neither', async () => {
    const channel = { kind: 'topic', name: 'orders' }
    expect((await bench()).broker.prepared).toEqual([['create', channel]])
    expect((await bench({ prepare: 'check' })).broker.prepared).toEqual([['check', { ...channel, group: 'billing' }]])
    expect((await bench({ prepare: false })).broker.prepared).toEqual([])
    await expect(bench({ prepare: 'make' as never })).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
  })

  test('what is missing ends a start that only checks, and a later one may go well', async () => {
    const transport = memoryTransport({ autoCreate: false })
    const consumer = createConsumer({
      transport,
      channel: Orders,
      group: 'billing',
      prepare: 'check',
      handlers: { placed: () => {} },
    })
    await expect(consumer.start()).rejects.toMatchObject({ code: 'CHANNEL_NOT_FOUND' })
    expect(consumer.health().state).toBe('idle')
    await transport.prepare([{ kind: 'topic', name: 'orders', group: 'billing' }], 'create')
    await consumer.start()
    expect(consumer.health().state).toBe('running')
    await consumer.close()
  })

  test('a group that it makes starts where it was told', async () => {
    const transport = memoryTransport({ autoCreate: false })
    await transport.prepare([{ kind: 'topic', name: 'orders' }], 'create')
    const publisher = createPublisher({ transport, source: '/test' })
    await publisher.publish(Orders, { type: 'placed', data: { n: 1 } })
    const got: number[] = []
    const consumer = createConsumer({
      transport,
      channel: Orders,
      group: 'late',
      from: 'earliest',
      handlers: { placed: ({ data }) => void got.push(data.n) },
    })
    await consumer.start()
    while (got.length === 0) await new Promise((resolve) => setImmediate(resolve))
    expect(got).toEqual([1])
    await consumer.close()
  })

  test('what the transport refuses is told, and it can be started again', async () => {
    const broker = played()
    broker.failReceive(createError({ code: 'FORBIDDEN' }))
    const consumer = createConsumer({
      transport: broker.transport,
      channel: Orders,
      group: 'g',
      clock: fakeClock(),
      handlers: { placed: () => {} },
    })
    await expect(consumer.start()).rejects.toMatchObject({ code: 'FORBIDDEN' })
    expect(consumer.health()).toMatchObject({ state: 'idle', lastError: { code: 'FORBIDDEN' } })
    await consumer.start()
    expect(consumer.health().state).toBe('running')
  })

  test('handlers run outside the async context of whoever started it or made the message', async () => {
    const store = new AsyncLocalStorage<string>()
    const seen: unknown[] = []
    const { broker, settle } = await store.run('starter', () =>
      bench({ handlers: { placed: async ({ id }) => void seen.push(id, store.getStore()) } }),
    )
    store.run('sender', () => broker.deliver({ id: 'a' }))
    await settle()
    expect(seen).toEqual(['a', undefined])
  })

  test('describe says how it was built', async () => {
    const { consumer } = await bench({ concurrency: 3, retries: { delayedMs: [5] } })
    expect(describeThing(consumer)).toMatchObject({
      what: 'consumer',
      name: 'billing',
      transport: 'played',
      handles: ['placed'],
      options: { concurrency: 3, prefetch: 6, onFailure: 'block-key', retries: { immediate: 2, delayedMs: [5] } },
      layers: [],
    })
  })

  test('lag is what the broker says', async () => {
    const { broker, consumer } = await bench()
    broker.waiting = 7
    expect(await consumer.lag()).toEqual({ waiting: 7 })
  })

  test.each([
    [{ concurrency: 0 }, /concurrency is 0/],
    [{ handlers: {} }, /handlers/],
    [{ handlers: { vanished: () => {} } }, /orders has no such type; it has placed, paid/],
    [{ handlers: { placed: 7 } }, /handlers\.placed is 7/],
    [{ batch: () => {}, handlers: { placed: () => {} } }, /not both/],
    [{ group: '' }, /group/],
    [{ retries: { delays: [1] } }, /retries\.delays/],
    [{ onFailure: 'explode' }, /onFailure/],
    [{ deadLetter: 'somewhere' }, /deadLetter/],
    [{ layers: [7] }, /layers/],
    [{ paralelism: 3 }, /has no such option/],
  ])('a mistake in its options is named: %o', async (options, message) => {
    await expect(bench(options as never)).rejects.toMatchObject({
      code: 'INVALID_OPTIONS',
      message: expect.stringMatching(message),
    })
  })

  test.each([
    [{ modes: ['queue'] }, {}],
    [{ durableSubscriptions: false }, {}],
    [{ replay: false }, { from: 'earliest' }],
  ] as const)('what the transport cannot do is refused: %o', async (change, options) => {
    await expect(bench(options, change as never)).rejects.toMatchObject({ code: 'CAPABILITY_MISSING' })
  })
})

describe('closing', () => {
  test('stops, gives back what has not begun, waits for what runs, settles it, and closes then', async () => {
    const one = gate()
    const { broker, consumer, settle, events } = await bench({
      concurrency: 1,
      handlers: { placed: () => one.promise },
    })
    broker.deliver({ id: 'a' })
    broker.deliver({ id: 'b' })
    await settle()
    const closing = consumer.close()
    await settle()
    expect(broker.log).toEqual(['stop', 'retry b'])
    expect(consumer.health().state).toBe('closing')
    one.resolve()
    await closing
    expect(broker.log).toEqual(['stop', 'retry b', 'ack a', 'close'])
    expect(consumer.health()).toMatchObject({ state: 'closed', inFlight: 0, held: 0 })
    expect(
      events.filter(({ type }) => type === 'consumer-state').map((event) => (event as { state: string }).state),
    ).toEqual(['starting', 'running', 'closing', 'closed'])
  })

  test('a handler that takes too long is aborted in time, and its message comes again, uncounted', async () => {
    const { broker, consumer, settle, clock } = await bench({
      retries: { immediate: 2, delayedMs: [] },
      handlers: {
        placed: (_, { signal }) =>
          new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
      },
    })
    const handed = broker.deliver({ key: 'k' })
    await settle()
    let closed = false
    void consumer.close({ withinMs: 10_000 }).then(() => {
      closed = true
    })
    await clock.advance(8_999)
    expect(handed.verdict).toBe('open')
    await clock.advance(1)
    expect(handed.settled).toMatchObject([
      { verdict: 'retry', options: { reason: expect.stringMatching(/^SHUTDOWN/) } },
    ])
    expect(closed).toBe(true)
  })

  test('nor is it counted where the handler fails in its own way when it is aborted', async () => {
    const { broker, consumer, settle, clock } = await bench({
      retries: { immediate: 0, delayedMs: [] },
      handlers: {
        placed: (_, context) =>
          new Promise((_resolve, reject) => context.onAbort(() => reject(new Error('the socket was cut')))),
      },
    })
    const handed = broker.deliver({})
    await settle()
    const closing = consumer.close({ withinMs: 1_000 })
    await clock.advance(1_000)
    await closing
    expect(handed.settled).toEqual([{ verdict: 'retry', options: { reason: 'CALL_FAILED: the socket was cut' } }])
  })

  test('one that does not heed even that keeps nobody: it closes within its bound', async () => {
    const { broker, consumer, settle, clock } = await bench({ handlers: { placed: never } })
    const handed = broker.deliver({})
    await settle()
    let closed = false
    void consumer.close({ withinMs: 10_000 }).then(() => {
      closed = true
    })
    await clock.advance(9_999)
    expect(closed).toBe(false)
    await clock.advance(1)
    expect(closed).toBe(true)
    expect(handed.verdict).toBe('retry')
    expect(clock.pending).toBe(0)
  })

  test('a broker that does not answer keeps nobody either', async () => {
    const { broker, consumer, settle, clock } = await bench()
    broker.deliver({ settleAfter: never() })
    await settle()
    let closed = false
    void consumer.close({ withinMs: 2_000 }).then(() => {
      closed = true
    })
    await clock.advance(3_000)
    expect(closed).toBe(true)
    expect(consumer.health().held).toBe(0)
    expect(clock.pending).toBe(0)
  })

  test('what is held back goes back with the rest of its time', async () => {
    const { broker, consumer, settle, clock } = await bench({
      retries: { immediate: 0 },
      handlers: {
        placed: () => {
          throw new Error('broken')
        },
      },
    })
    const head = broker.deliver({ id: 'a1', key: 'a' })
    broker.deliver({ id: 'a2', key: 'a' })
    await settle()
    await clock.advance(4_000)
    await consumer.close()
    expect(broker.log).toEqual(['stop', 'retry a1', 'retry a2', 'close'])
    expect(head.settled[0]?.options?.delayMs).toBe(6_000)
    expect(clock.pending).toBe(0)
  })

  test('twice is once, also by dispose; before the start it is nothing; afterwards nothing starts', async () => {
    const { broker, consumer } = await bench()
    await Promise.all([consumer.close(), consumer.close(), consumer[Symbol.asyncDispose]()])
    expect(broker.closed()).toBe(1)
    await expect(consumer.start()).rejects.toMatchObject({ code: 'SHUTDOWN' })
    const idle = createConsumer({
      transport: played().transport,
      channel: Orders,
      group: 'g',
      clock: fakeClock(),
      handlers: { placed: () => {} },
    })
    await idle.close()
    expect(idle.health().state).toBe('closed')
  })

  test('while it starts', async () => {
    const broker = played()
    const wait = gate()
    const slow = {
      ...broker.transport,
      receive: async (...args: Parameters<typeof broker.transport.receive>) => {
        await wait.promise
        return broker.transport.receive(...args)
      },
    }
    const consumer = createConsumer({
      transport: slow,
      channel: Orders,
      group: 'g',
      prepare: false,
      clock: fakeClock(),
      handlers: { placed: () => {} },
    })
    const starting = consumer.start()
    await consumer.close()
    wait.resolve()
    await starting
    expect(broker.closed()).toBe(1)
    expect(broker.requests).toEqual([])
    expect(consumer.health().state).toBe('closed')
  })

  test('while it prepares: it does not even subscribe', async () => {
    const broker = played()
    const wait = gate()
    const slow = {
      ...broker.transport,
      prepare: async () => {
        await wait.promise
      },
    }
    const consumer = createConsumer({
      transport: slow,
      channel: Orders,
      group: 'g',
      clock: fakeClock(),
      handlers: { placed: () => {} },
    })
    const starting = consumer.start()
    await consumer.close()
    wait.resolve()
    await starting
    expect(broker.receivers()).toBe(0)
    expect(broker.requests).toEqual([])
    expect(consumer.health().state).toBe('closed')
  })

  test('where nothing can be given back, what has not begun is left unsettled', async () => {
    const { broker, consumer, settle } = await bench({ concurrency: 1, handlers: { placed: never } }, { nack: 'none' })
    broker.deliver({})
    const waiting = broker.deliver({})
    await settle()
    void consumer.close({ withinMs: 0 })
    await settle()
    expect(waiting.verdict).toBe('open')
    expect(consumer.health()).toMatchObject({ state: 'closed', held: 0 })
  })
})

describe('pausing', () => {
  test('begins nothing, gives back what waits and what still comes, and goes on afterwards', async () => {
    const one = gate()
    const { broker, consumer, settle } = await bench({
      concurrency: 1,
      prefetch: 4,
      handlers: { placed: () => one.promise },
    })
    const running = broker.deliver({ id: 'a' })
    const waiting = broker.deliver({ id: 'b' })
    await settle()
    consumer.pause()
    consumer.pause()
    const late = broker.deliver({ id: 'c' })
    await settle()
    expect([running.verdict, waiting.verdict, late.verdict]).toEqual(['open', 'retry', 'retry'])
    expect(consumer.health().state).toBe('paused')
    one.resolve()
    await settle()
    expect(running.verdict).toBe('ack')
    expect(broker.credit()).toBe(1)
    consumer.resume()
    await settle()
    expect(broker.credit()).toBe(4)
    const after = broker.deliver({})
    await settle()
    expect(after.verdict).toBe('ack')
  })

  test('where nothing can be given back, it is kept', async () => {
    const { broker, consumer, settle } = await bench({}, { nack: 'none' })
    consumer.pause()
    const handed = broker.deliver({})
    await settle()
    expect(handed.verdict).toBe('open')
    consumer.resume()
    await settle()
    expect(handed.verdict).toBe('ack')
  })
})

describe('a subscription that ends on its own', () => {
  test('begins anew after growing waits; its messages are lost, their handlers aborted', async () => {
    const aborted: unknown[] = []
    const { broker, consumer, settle, clock, of } = await bench({
      handlers: {
        placed: (_, context) => {
          context.onAbort((reason) => aborted.push((reason as { code: string }).code))
          return never()
        },
      },
    })
    broker.deliver({})
    await settle()
    broker.failReceive(lost(), lost())
    broker.end(lost())
    await settle()
    expect(aborted).toEqual(['LEASE_LOST'])
    expect(consumer.health()).toMatchObject({ state: 'restarting', lastError: { code: 'CONNECTION_LOST' } })
    // Half of 100, 200 and 400 ms, without jitter.
    await clock.advance(50 + 100)
    expect(broker.froms).toHaveLength(3)
    expect(consumer.health().state).toBe('restarting')
    await clock.advance(200)
    expect(consumer.health().state).toBe('running')
    expect(broker.credit()).toBe(20)
    expect(of('consumer-restarted')).toMatchObject([{ tries: 3, elapsedMs: 350 }])
  })

  test('its rights are over, whether the transport says so or not', async () => {
    const aborted: unknown[] = []
    const { broker, settle } = await bench({
      handlers: {
        placed: (_, context) => {
          context.onAbort((reason) => aborted.push((reason as { code: string }).code))
          return never()
        },
      },
    })
    broker.deliver({})
    await settle()
    broker.end(lost(), 'quietly')
    await settle()
    expect(aborted).toEqual(['LEASE_LOST'])
  })

  test('not after a close, and not where the transport was closed', async () => {
    const { broker, consumer, settle, clock } = await bench()
    broker.end(undefined)
    await settle()
    await clock.advance(60_000)
    expect(consumer.health()).toMatchObject({ state: 'closed', lastError: { code: 'SHUTDOWN' } })
    expect(broker.receivers()).toBe(1)
  })

  test('a close while it waits to begin anew', async () => {
    const { broker, consumer, settle, clock } = await bench()
    broker.end(lost())
    await settle()
    await consumer.close()
    await clock.advance(60_000)
    expect(broker.receivers()).toBe(1)
    expect(clock.pending).toBe(0)
  })
})

describe('telling', () => {
  test('a listener that throws breaks nothing', async () => {
    const { broker, settle } = await bench({
      onEvent: () => {
        throw new Error('listener')
      },
    })
    const handed = broker.deliver({})
    await settle()
    expect(handed.verdict).toBe('ack')
  })

  test('says what came, and what became of it', async () => {
    const { broker, settle, events, clock } = await bench({
      handlers: { placed: () => new Promise((resolve) => void clockOf().setTimer(resolve, 40, undefined)) },
    })
    function clockOf(): typeof clock {
      return clock
    }
    broker.deliver({ id: 'a', key: 'k', redeliveries: 1 })
    await clock.advance(40)
    await settle()
    const facts = { channel: 'orders', group: 'billing', id: 'a', key: 'k', messageType: 'placed' }
    expect(events.filter(({ type }) => type.startsWith('message-'))).toEqual([
      { ...facts, type: 'message-received', redeliveries: 1 },
      { ...facts, type: 'message-handled', outcome: 'ack', attempts: 1, elapsedMs: 40 },
    ])
  })
})
