import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import {
  type MemoryTx,
  memoryBroker,
  memoryDatabase,
  memoryStore,
  memoryTransport,
} from '../../../src/adapters/memory/index.ts'
import { detached, inherited } from '../../../src/core/async-context.ts'
import { describe as describeBuilt } from '../../../src/core/describe.ts'
import { createError } from '../../../src/errors/classes.ts'
import { type Consumer, createConsumer, createPublisher, dead, queue, retry } from '../../../src/messaging/index.ts'
import { fakeClock } from '../../../src/testing/fake-clock.ts'
import { gate, Orders } from '../consumer/kit.ts'
import { count, inboxBench } from './kit.ts'

describe('one transaction', () => {
  test('the broker hears of a message after its commit, and not before', async () => {
    const commit = gate()
    const { broker, settle, applied, store } = await inboxBench({
      before: (operation) => (operation === 'commit' ? commit.promise : undefined),
      handlers: { placed: ({ id }, { tx }) => count(tx, id) },
    })
    const handed = broker.deliver({ id: 'a' })
    await settle()
    expect([handed.verdict, applied('a')]).toEqual(['open', 0])
    commit.resolve()
    await settle()
    expect([handed.verdict, applied('a')]).toEqual(['ack', 1])
    expect(store.entries()).toHaveLength(1)
  })

  test('a duplicate is acknowledged without its handler, and told of', async () => {
    const { broker, settle, applied, of } = await inboxBench({
      handlers: { placed: ({ id }, { tx }) => count(tx, id) },
    })
    const first = broker.deliver({ id: 'a' })
    await settle()
    const second = broker.deliver({ id: 'a', redeliveries: 1 })
    await settle()
    expect([first.verdict, second.verdict, applied('a')]).toEqual(['ack', 'ack', 1])
    expect(of('message-handled').map(({ outcome, attempts }) => [outcome, attempts])).toEqual([
      ['ack', 1],
      ['duplicate', 0],
    ])
  })

  test('a message is named by source and id; each consumer of the database has its own entries', async () => {
    const { broker, settle, applied, store } = await inboxBench({
      handlers: { placed: (_, { tx }) => count(tx, 'n') },
    })
    broker.deliver({ id: 'a' })
    broker.deliver({ id: 'a', attributes: { source: 'another' } })
    await settle()
    expect(applied('n')).toBe(2)
    const claims = await store.transaction((tx) =>
      Promise.all(
        ['billing', 'shipping'].map((consumer) => store.inbox.claim(tx, consumer, [{ source: 'test', id: 'a' }])),
      ),
    )
    expect(claims).toEqual([['duplicate'], ['first']])
  })

  test('what a handler throws undoes it all; the next attempt has another transaction', async () => {
    const txs: MemoryTx[] = []
    const { broker, settle, applied } = await inboxBench({
      handlers: {
        placed: ({ id }, { tx, attempt }) => {
          txs.push(tx)
          count(tx, id)
          if (attempt < 3) throw new Error('no')
        },
      },
    })
    const handed = broker.deliver({ id: 'a' })
    await settle()
    expect([handed.verdict, applied('a'), new Set(txs).size]).toEqual(['ack', 1, 3])
  })

  test.each([
    ['retry()', () => retry({ afterMs: 5_000 }), 'retry'],
    ['dead()', () => dead('no good'), 'dead'],
    ['an error for good', () => Promise.reject(createError({ code: 'INVALID_INPUT' })), 'dead'],
  ])(
    '%s undoes it, and leaves no entry that would swallow the message when it comes again',
    async (_, answer, verdict) => {
      let first = true
      const { broker, settle, applied } = await inboxBench({
        handlers: {
          placed: ({ id }, { tx }) => {
            count(tx, id)
            return first ? answer() : undefined
          },
        },
      })
      const handed = broker.deliver({ id: 'a' })
      await settle()
      expect([handed.verdict, applied('a')]).toEqual([verdict, 0])
      first = false
      const again = broker.deliver({ id: 'a' })
      await settle()
      expect([again.verdict, applied('a')]).toEqual(['ack', 1])
    },
  )

  test('what comes too late, or cannot be read, is no entry', async () => {
    const { broker, settle, asked } = await inboxBench({ handlers: { placed: () => {} } })
    broker.deliver({ body: 'no JSON' })
    broker.deliver({ expiresAt: 1 })
    await settle()
    expect(asked('inbox.claim')).toBe(0)
  })

  test('what is published inside is part of it', async () => {
    let fails = true
    const { broker, settle, store } = await inboxBench({
      retries: { immediate: 0 },
      handlers: {
        placed: async ({ id }, { tx }) => {
          const envelope = { id: `of ${id}`, attributes: {}, headers: {}, body: new Uint8Array() }
          await store.outbox.append(tx, [{ channel: { kind: 'queue', name: 'mails' }, envelope }])
          if (fails) throw createError({ code: 'CONNECTION_REFUSED' })
        },
      },
    })
    broker.deliver({ id: 'a' })
    await settle()
    expect((await store.outbox.stats()).backlog).toBe(0)
    fails = false
    broker.deliver({ id: 'a' })
    broker.deliver({ id: 'a' })
    await settle()
    expect((await store.outbox.stats()).backlog).toBe(1)
  })

  test('layers stand inside it; what the handler calls inherits deadline and cause', async () => {
    const seen: unknown[] = []
    const { broker, settle } = await inboxBench({
      layers: [
        (next) => (request, context) => {
          seen.push('layer')
          return next(request, context)
        },
      ],
      handlers: {
        placed: async (_, { tx }) => {
          await Promise.resolve()
          seen.push(typeof tx.get, inherited()?.deadline?.remainingMs(), inherited()?.cause)
        },
      },
    })
    broker.deliver({ id: 'a', attributes: { correlationid: 'c' } })
    await settle()
    broker.deliver({ id: 'a' })
    await settle()
    expect(seen).toEqual(['layer', 'function', 30_000, { id: 'a', correlationId: 'c' }])
  })

  test('also where a driver calls back out of its own context', async () => {
    const clock = fakeClock()
    const store = memoryStore({ clock })
    const seen: unknown[] = []
    const { broker, settle } = await inboxBench({
      clock,
      store: { ...store, transaction: (work) => store.transaction((tx) => detached(() => work(tx))) },
      handlers: { placed: () => void seen.push(inherited()?.deadline?.remainingMs()) },
    })
    broker.deliver({})
    await settle()
    expect(seen).toEqual([30_000])
  })

  test('a handler that does not wait for itself finds its transaction over', async () => {
    const later = gate()
    const errors: unknown[] = []
    const { broker, settle } = await inboxBench({
      handlers: {
        placed: (_, { tx }) => {
          void later.promise.then(() => {
            try {
              tx.set('a', 1)
            } catch (error) {
              errors.push(error)
            }
          })
        },
      },
    })
    broker.deliver({})
    await settle()
    later.resolve()
    await settle()
    expect(errors).toMatchObject([{ code: 'TRANSACTION_REQUIRED' }])
  })
})

describe('a message that is being handled elsewhere', () => {
  test('waits here, is not held against itself, and is a duplicate once the other one has ended', async () => {
    const one = gate()
    const { broker, settle, clock, applied, of, consumer } = await inboxBench({
      throttle: { failures: 1 },
      maxDeliveries: 3,
      handlerTimeoutMs: 600_000,
      handlers: {
        placed: async ({ id }, { tx }) => {
          await one.promise
          count(tx, id)
        },
      },
    })
    const first = broker.deliver({ id: 'a' })
    const second = broker.deliver({ id: 'a' })
    await settle()
    await clock.advance(30_000)
    expect([first.verdict, second.verdict]).toEqual(['open', 'open'])
    expect(of('message-retried').length).toBeGreaterThan(20)
    expect(of('message-retried')[0]).toMatchObject({
      where: 'here',
      delayMs: 500,
      reason: 'IN_PROGRESS: another delivery of it is being handled now',
    })
    expect(consumer.health().state).toBe('running')
    expect(consumer.health().lastError).toBeUndefined()
    one.resolve()
    await clock.advance(1_000)
    expect([first.verdict, second.verdict, applied('a')]).toEqual(['ack', 'ack', 1])
    expect(of('message-dead')).toEqual([])
  })

  test('is handled after all if the other one fails', async () => {
    const one = gate()
    let calls = 0
    const { broker, settle, clock, applied } = await inboxBench({
      retries: { immediate: 0 },
      handlers: {
        placed: async ({ id }, { tx }) => {
          count(tx, id)
          if (++calls === 1) await one.promise
        },
      },
    })
    const first = broker.deliver({ id: 'a' })
    const second = broker.deliver({ id: 'a' })
    await settle()
    one.reject(createError({ code: 'CONNECTION_REFUSED' }))
    await clock.advance(1_000)
    expect([first.verdict, second.verdict, applied('a')]).toEqual(['retry', 'ack', 1])
  })

  test('keeps its key waiting behind it', async () => {
    const one = gate()
    const order: string[] = []
    const { broker, settle, clock, store } = await inboxBench({
      handlers: { placed: ({ id }) => void order.push(id) },
    })
    const elsewhere = store.transaction(async (tx) => {
      await store.inbox.claim(tx, 'billing', [{ source: 'test', id: 'a' }])
      await one.promise
      order.push('a elsewhere')
    })
    await settle()
    broker.deliver({ id: 'a', key: 'k' })
    const behind = broker.deliver({ id: 'b', key: 'k' })
    const other = broker.deliver({ id: 'c', key: 'l' })
    await clock.advance(3_000)
    expect([behind.verdict, other.verdict]).toEqual(['open', 'ack'])
    one.resolve()
    await elsewhere
    await clock.advance(1_000)
    expect(order).toEqual(['c', 'a elsewhere', 'b'])
  })

  test('is given back where its lease would not last', async () => {
    const one = gate()
    const { broker, settle } = await inboxBench({ handlers: { placed: () => one.promise } })
    broker.deliver({ id: 'a' })
    const second = broker.deliver({ id: 'a', leaseMs: 600, noExtend: true })
    await settle()
    expect(second.settled).toMatchObject([{ verdict: 'retry', options: { delayMs: 500 } }])
    one.resolve()
  })
})

describe('conflicts', () => {
  test('the whole transaction is run again: of concurrent handlers that change the same, none is lost', async () => {
    const { broker, settle, applied, of } = await inboxBench({
      concurrency: 4,
      handlers: {
        placed: async (_, { tx }) => {
          const n = Number(tx.get('n') ?? 0)
          await Promise.resolve()
          tx.set('n', n + 1)
        },
      },
    })
    const handed = Array.from({ length: 4 }, () => broker.deliver({}))
    await settle()
    expect(handed.map(({ verdict }) => verdict)).toEqual(['ack', 'ack', 'ack', 'ack'])
    expect(applied('n')).toBe(4)
    expect(of('message-retried')[0]).toMatchObject({
      where: 'now',
      reason: expect.stringMatching(/^TRANSACTION_CONFLICT: /),
    })
    expect(of('message-handled').every(({ attempts }) => attempts === 1)).toBe(true)
  })

  test.each([{ code: '40001' }, { code: '40P01' }, { errno: 1213 }, { code: 'P2034' }])(
    'what a raw driver throws for one is one, wrapped too: %o',
    async (facts) => {
      let calls = 0
      const { broker, settle, applied } = await inboxBench({
        retries: { immediate: 0 },
        handlers: {
          placed: ({ id }, { tx }) => {
            count(tx, id)
            if (++calls === 1) throw new Error('query failed', { cause: Object.assign(new Error('conflict'), facts) })
          },
        },
      })
      const handed = broker.deliver({ id: 'a' })
      await settle()
      expect([handed.verdict, calls, applied('a')]).toEqual(['ack', 2, 1])
    },
  )

  test('it waits longer each time, gives up after eight, and then the message has failed once', async () => {
    let calls = 0
    const { broker, settle, clock, of } = await inboxBench({
      retries: { immediate: 0 },
      random: () => 0.5,
      handlers: {
        placed: () => {
          calls++
          throw createError({ code: 'TRANSACTION_CONFLICT' })
        },
      },
    })
    const handed = broker.deliver({})
    await settle()
    await clock.advance(10_000)
    expect(calls).toBe(8)
    expect(of('message-retried').map(({ where, delayMs }) => [where, delayMs])).toEqual([
      ...[10, 20, 40, 80, 160, 320, 500].map((ms) => ['now', ms]),
      ['broker', 11_000],
    ])
    expect(handed.verdict).toBe('retry')
  })

  test('that of another service, which the handler called, does not run it again', async () => {
    let calls = 0
    const { broker, settle, clock } = await inboxBench({
      retries: { immediate: 0 },
      handlers: {
        placed: () => {
          calls++
          throw createError({
            code: 'TRANSACTION_CONFLICT',
            service: 'payment',
            operation: 'charge',
            effect: 'unknown',
          })
        },
      },
    })
    const handed = broker.deliver({})
    await settle()
    await clock.advance(5_000)
    expect([handed.verdict, calls]).toEqual(['retry', 1])
  })

  test('not beyond the time of the handler', async () => {
    let calls = 0
    const { broker, settle, clock } = await inboxBench({
      handlerTimeoutMs: 100,
      random: () => 0.5,
      retries: { immediate: 0 },
      handlers: {
        placed: () => {
          calls++
          throw createError({ code: 'TRANSACTION_CONFLICT' })
        },
      },
    })
    broker.deliver({})
    await settle()
    await clock.advance(10_000)
    expect(calls).toBe(4)
  })
})

describe('a commit of which the outcome is not known', () => {
  test('is asked for: the entry says that it was done', async () => {
    let cut = true
    const { broker, settle, applied, of } = await inboxBench({
      before: async (operation) => {
        if (operation !== 'committed' || !cut) return
        cut = false
        throw createError({ code: 'CONNECTION_LOST', effect: 'unknown' })
      },
      handlers: { placed: ({ id }, { tx }) => count(tx, id) },
    })
    const handed = broker.deliver({ id: 'a' })
    await settle()
    expect([handed.verdict, applied('a')]).toEqual(['ack', 1])
    expect(of('message-handled')).toMatchObject([{ outcome: 'duplicate' }])
  })

  test('or that it was not', async () => {
    let cut = true
    const { broker, settle, applied } = await inboxBench({
      before: async (operation) => {
        if (operation !== 'commit' || !cut) return
        cut = false
        throw createError({ code: 'CONNECTION_LOST', effect: 'unknown' })
      },
      handlers: { placed: ({ id }, { tx }) => count(tx, id) },
    })
    const handed = broker.deliver({ id: 'a' })
    await settle()
    expect([handed.verdict, applied('a')]).toEqual(['ack', 1])
  })

  test('a process that ends between commit and acknowledgement: applied once', async () => {
    const clock = fakeClock()
    const database = memoryDatabase({ clock })
    const first = memoryStore({
      database,
      before: (operation) => {
        if (operation === 'committed') first.crash()
        return undefined
      },
    })
    const handlers = { placed: ({ id }: { id: string }, { tx }: { tx: MemoryTx }) => count(tx, id) }
    const dying = await inboxBench({ clock, store: first, handlers, retries: { immediate: 0 } })
    const handed = dying.broker.deliver({ id: 'a' })
    await dying.settle()
    expect(handed.verdict).not.toBe('ack')
    const next = await inboxBench({ clock, store: memoryStore({ database }), handlers })
    const again = next.broker.deliver({ id: 'a', redeliveries: 1 })
    await next.settle()
    expect([again.verdict, next.applied('a')]).toEqual(['ack', 1])
  })
})

describe('an inbox that cannot be asked', () => {
  test.each([
    ['begin', 'CONNECTION_REFUSED'],
    ['begin', 'SHUTDOWN'],
    ['inbox.claim', 'CHANNEL_NOT_FOUND'],
    ['inbox.claim', 'FORBIDDEN'],
  ] as const)('is no fault of the message: it waits here for as long as it takes (%s: %s)', async (at, code) => {
    let away = true
    let calls = 0
    const { broker, settle, clock, applied, of, consumer } = await inboxBench({
      maxDeliveries: 3,
      retries: { immediate: 0, delayedMs: [] },
      before: async (operation) => {
        if (operation === at && away) throw createError({ code })
      },
      handlers: {
        placed: ({ id }, { tx }) => {
          calls++
          count(tx, id)
        },
      },
    })
    const handed = broker.deliver({ id: 'a', key: 'k' })
    await settle()
    await clock.advance(60_000)
    expect([handed.verdict, calls]).toEqual(['open', 0])
    expect(consumer.health().lastError).toMatchObject({ code })
    expect(of('message-retried')[0]).toMatchObject({
      where: 'here',
      reason: expect.stringContaining(`no inbox: ${code}`),
    })
    away = false
    await clock.advance(1_000)
    expect([handed.verdict, applied('a'), calls]).toEqual(['ack', 1, 1])
    expect(consumer.health().lastError).toBeUndefined()
  })

  test('is an outage: one message at a time is tried, and nothing is held against any', async () => {
    let away = true
    const { broker, settle, clock, consumer, of } = await inboxBench({
      concurrency: 5,
      throttle: { failures: 5, probeMs: 1_000, maxProbeMs: 1_000 },
      retries: { immediate: 0, delayedMs: [] },
      before: async (operation) => {
        if (operation === 'begin' && away) throw createError({ code: 'CONNECTION_REFUSED' })
      },
      handlers: { placed: () => {} },
    })
    const handed = Array.from({ length: 5 }, () => broker.deliver({}))
    await settle()
    expect(consumer.health().state).toBe('throttled')
    await clock.advance(20_000)
    expect(of('message-dead')).toEqual([])
    away = false
    await clock.advance(5_000)
    expect(handed.map(({ verdict }) => verdict)).toEqual(['ack', 'ack', 'ack', 'ack', 'ack'])
    expect(consumer.health().state).toBe('running')
  })

  test('where no broker counts, the count included', async () => {
    let away = true
    const { broker, settle, clock } = await inboxBench(
      {
        retries: { immediate: 0, delayedMs: [] },
        before: async (operation) => {
          if (operation === 'inbox.started' && away) throw createError({ code: 'FORBIDDEN' })
        },
        batch: () => {},
      },
      { redeliveryCount: 'none' },
    )
    const handed = [broker.deliver({}), broker.deliver({})]
    await settle()
    expect(handed.map(({ verdict }) => verdict)).toEqual(['open', 'open'])
    away = false
    await clock.advance(1_000)
    expect(handed.map(({ verdict }) => verdict)).toEqual(['ack', 'ack'])
  })

  test.each([
    ['the answer of a count was lost, though it counted', 'inbox.started', 'after'],
    ['the end of a count could not be written', 'inbox.finished', 'before'],
  ] as const)('no poison is made of that: %s', async (_, at, when) => {
    const clock = fakeClock()
    const made = memoryStore({ clock })
    let away = 4
    const fail = (): void => {
      if (away-- > 0) throw createError({ code: 'CONNECTION_LOST' })
    }
    const started: typeof made.inbox.started = async (...given) => {
      const begun = await made.inbox.started(...given)
      if (at === 'inbox.started' && when === 'after') fail()
      return begun
    }
    const finished: typeof made.inbox.finished = async (...given) => {
      if (at === 'inbox.finished') fail()
      await made.inbox.finished(...given)
    }
    const { broker, settle, applied } = await inboxBench(
      {
        clock,
        maxDeliveries: 3,
        throttle: false,
        store: {
          ...made,
          inbox: { ...made.inbox, started, finished },
          transaction: (work) => {
            if (away > 0) throw createError({ code: 'CONNECTION_REFUSED' })
            return made.transaction(work)
          },
        },
        handlers: { placed: ({ id }, { tx }) => count(tx, id) },
      },
      { redeliveryCount: 'none' },
    )
    const handed = broker.deliver({ id: 'a' })
    await settle()
    for (let n = 0; n < 10; n++) await clock.advance(1_500)
    expect([handed.verdict, applied('a')]).toEqual(['ack', 1])
    expect(await made.inbox.started('billing', { source: 'test', id: 'a' })).toBe(1)
  })

  test('nor where the count of a neighbour could not be written', async () => {
    const clock = fakeClock()
    let away = 1
    const { broker, settle } = await inboxBench(
      {
        clock,
        maxDeliveries: 1,
        throttle: false,
        before: async (operation) => {
          if (operation === 'inbox.started' && away-- > 0) throw createError({ code: 'SELF_EXHAUSTED' })
        },
        batch: () => {},
      },
      { redeliveryCount: 'none' },
    )
    const handed = [broker.deliver({ id: 'a' }), broker.deliver({ id: 'b' })]
    await settle()
    for (let n = 0; n < 10; n++) await clock.advance(1_500)
    expect(handed.map(({ verdict }) => verdict)).toEqual(['ack', 'ack'])
  })

  test('also where it is only the next run of a transaction that cannot be begun', async () => {
    let begun = 0
    let calls = 0
    const { broker, settle, clock, applied } = await inboxBench({
      retries: { immediate: 0, delayedMs: [] },
      before: async (operation) => {
        if (operation === 'begin' && ++begun === 2) throw createError({ code: 'FORBIDDEN' })
      },
      handlers: {
        placed: ({ id }, { tx }) => {
          count(tx, id)
          if (++calls === 1) throw createError({ code: 'TRANSACTION_CONFLICT' })
        },
      },
    })
    const handed = broker.deliver({ id: 'a' })
    await settle()
    expect(handed.verdict).toBe('open')
    await clock.advance(1_000)
    expect([handed.verdict, applied('a')]).toEqual(['ack', 1])
  })

  test('but what its commit refuses is the doing of the handler', async () => {
    const { broker, settle } = await inboxBench({
      before: async (operation) => {
        if (operation === 'commit') throw createError({ code: 'CONFLICT' })
      },
      handlers: { placed: () => {} },
    })
    const handed = broker.deliver({})
    await settle()
    expect(handed.verdict).toBe('dead')
  })
})

describe('what was aborted is not committed', () => {
  test('a handler that answers well after its time', async () => {
    const one = gate()
    let calls = 0
    const { broker, settle, clock, applied } = await inboxBench({
      handlerTimeoutMs: 5_000,
      handlers: {
        placed: async ({ id }, { tx }) => {
          count(tx, id)
          if (++calls === 1) await one.promise
        },
      },
    })
    const handed = broker.deliver({ id: 'a' })
    await settle()
    await clock.advance(7_000)
    one.resolve()
    await settle()
    expect([handed.verdict, applied('a')]).toEqual(['retry', 0])
    const again = broker.deliver({ id: 'a' })
    await settle()
    expect([again.verdict, applied('a')]).toEqual(['ack', 1])
  })

  test('one that was left alone: the transaction is over at once, where handles can say so', async () => {
    const one = gate()
    const errors: unknown[] = []
    let calls = 0
    const { broker, settle, clock, applied, consumer, of } = await inboxBench({
      handlerTimeoutMs: 5_000,
      handlers: {
        placed: async ({ id }, { tx }) => {
          count(tx, id)
          if (++calls > 1) return
          await one.promise
          try {
            count(tx, id)
          } catch (error) {
            errors.push(error)
            throw error
          }
        },
      },
    })
    broker.deliver({ id: 'a' })
    await settle()
    await clock.advance(10_000)
    expect(of('handler-abandoned')).toHaveLength(1)
    expect(consumer.health().abandoned).toBe(1)
    const again = broker.deliver({ id: 'a' })
    await settle()
    expect([again.verdict, applied('a'), calls]).toEqual(['ack', 1, 2])
    one.resolve()
    await settle()
    expect(errors).toMatchObject([{ code: 'TRANSACTION_REQUIRED' }])
    expect([applied('a'), consumer.health().abandoned]).toEqual([1, 0])
  })

  test('elsewhere it keeps its transaction until it ends: nothing of it is applied, and its message is busy as long', async () => {
    const one = gate()
    let calls = 0
    const clock = fakeClock()
    const store = { ...memoryStore({ clock }), handlesEnd: undefined }
    const { broker, settle, applied, consumer, of } = await inboxBench({
      clock,
      store,
      handlerTimeoutMs: 5_000,
      handlers: {
        placed: async ({ id }, { tx }) => {
          count(tx, id)
          if (++calls > 1) return
          await one.promise
          count(tx, id)
        },
      },
    })
    const left = broker.deliver({ id: 'a' })
    await settle()
    await clock.advance(10_000)
    expect(of('handler-abandoned')).toHaveLength(1)
    expect([left.verdict, consumer.health().abandoned]).toEqual(['retry', 1])
    const again = broker.deliver({ id: 'a' })
    await clock.advance(60_000)
    expect([again.verdict, applied('a'), calls]).toEqual(['open', 0, 1])
    one.resolve()
    await clock.advance(1_000)
    expect([again.verdict, applied('a'), calls, consumer.health().abandoned]).toEqual(['ack', 1, 2, 0])
  })

  test('one whose right to settle was lost: whoever has the message now applies it', async () => {
    const one = gate()
    let calls = 0
    const { broker, settle, clock, applied } = await inboxBench({
      handlers: {
        placed: async ({ id }, { tx }) => {
          count(tx, id)
          if (++calls === 1) await one.promise
        },
      },
    })
    const lost = broker.deliver({ id: 'a' })
    await settle()
    lost.lose()
    const again = broker.deliver({ id: 'a' })
    await settle()
    expect([again.verdict, applied('a')]).toEqual(['open', 0])
    one.resolve()
    await clock.advance(1_000)
    expect([lost.verdict, again.verdict, applied('a'), calls]).toEqual(['open', 'ack', 1, 2])
  })

  test('also when the right is lost while the handler of it has just answered', async () => {
    const claimed: { lose?: () => void } = {}
    const { broker, settle, applied } = await inboxBench({
      handlers: {
        placed: ({ id }, { tx }) => {
          count(tx, id)
          claimed.lose?.()
        },
      },
    })
    const handed = broker.deliver({ id: 'a' })
    claimed.lose = handed.lose
    await settle()
    expect([handed.verdict, applied('a')]).toEqual(['open', 0])
  })

  test('a close that ends handlers undoes them, and gives their messages back', async () => {
    const { broker, settle, clock, applied, consumer } = await inboxBench({
      handlers: {
        placed: ({ id }, { tx, signal }) => {
          count(tx, id)
          return new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
        },
      },
    })
    const handed = broker.deliver({ id: 'a' })
    await settle()
    const closing = consumer.close({ withinMs: 1_000 })
    await clock.advance(1_000)
    await closing
    expect([handed.verdict, applied('a'), clock.pending]).toEqual(['retry', 0, 0])
  })
})

describe('options', () => {
  const make =
    (options: object): (() => unknown) =>
    () =>
      createConsumer({
        transport: memoryTransport(),
        channel: Orders,
        group: 'billing',
        handlers: { placed: () => {} },
        ...options,
      } as never)

  test('the store has to remember for as long as a message can come again', () => {
    const days = (n: number): number => n * 86_400_000
    expect(make({ inbox: memoryStore() })).not.toThrow()
    // 7 days, (10 + 30 + 60) s of delays by 1.2, 4 deliveries of 3 attempts of twice 30 s.
    expect(make({ inbox: memoryStore({ inboxRetentionMs: days(7) }) })).toThrow(
      /inbox\.retentionMs is 604800000: a message may come again after 605640000 ms \(604800000 of redriveWithinMs, 120000 of retries\.delayedMs, 720000 of handlers\)/,
    )
    expect(make({ inbox: memoryStore({ inboxRetentionMs: 605_640_000 }) })).not.toThrow()
    expect(make({ inbox: memoryStore({ inboxRetentionMs: days(1) }), redriveWithinMs: 0 })).not.toThrow()
    expect(make({ inbox: memoryStore({ inboxRetentionMs: days(1) }), deadLetter: 'drop' })).not.toThrow()
    expect(make({ inbox: memoryStore(), redriveWithinMs: days(90) })).toThrow(/redriveWithinMs/)
    expect(
      make({ inbox: memoryStore({ inboxRetentionMs: 1_000 }), redriveWithinMs: 0, handlerTimeoutMs: 1_000 }),
    ).toThrow(/inbox\.retentionMs is 1000/)
  })

  test('who it is: a name, else the group, else the channel; a live subscription has to say', () => {
    const inbox = memoryStore()
    const nameOf = (options: object): unknown =>
      (describeBuilt(make({ inbox, ...options })() as Consumer) as unknown as { options: { inbox: { name: string } } })
        .options.inbox.name
    expect(nameOf({})).toBe('billing')
    expect(nameOf({ name: 'other' })).toBe('other')
    expect(nameOf({ group: undefined, channel: queue('jobs', { placed: z.unknown() }) })).toBe('jobs')
    expect(make({ inbox, group: undefined })).toThrow(/name is undefined: a live subscription of orders/)
  })

  test.each([
    ['name without inbox', { name: 'x' }, /name is "x": it is about the inbox/],
    ['redriveWithinMs without inbox', { redriveWithinMs: 1 }, /redriveWithinMs is 1: it is about the inbox/],
    ['no store', { inbox: {} }, /inbox is an object: give a store/],
    ['empty name', { inbox: memoryStore(), name: '' }, /name is ""/],
    ['NUL in the name', { inbox: memoryStore(), name: 'a\0b' }, /name is /],
    ['redriveWithinMs', { inbox: memoryStore(), redriveWithinMs: -1 }, /redriveWithinMs is -1/],
    ['purgeEveryMs', { inbox: memoryStore(), purgeEveryMs: 0 }, /purgeEveryMs is 0/],
  ])('refused: %s', (_, options, message) => {
    expect(make(options)).toThrow(message)
  })
})

describe('what is old', () => {
  test('is deleted now and then, a batch at a time, until the consumer closes', async () => {
    const clock = fakeClock()
    const store = memoryStore({ clock })
    const purges: [number, number][] = []
    const left = [1_000, 1_000, 7]
    const inbox = {
      ...store.inbox,
      purge: async (olderThanMs: number, limit: number) => {
        purges.push([olderThanMs, limit])
        return left.shift() ?? 0
      },
    }
    const { of, consumer } = await inboxBench({
      clock,
      store: { ...store, inbox },
      purgeEveryMs: 60_000,
      random: () => 0.5,
    })
    await clock.advance(59_999)
    expect(purges).toEqual([])
    await clock.advance(1)
    expect(purges).toEqual(new Array(3).fill([14 * 86_400_000, 1_000]))
    expect(of('inbox-purged')).toMatchObject([{ entries: 2_007, channel: 'orders', group: 'billing' }])
    await clock.advance(60_000)
    expect(purges).toHaveLength(4)
    await consumer.close()
    expect(clock.pending).toBe(0)
    await clock.advance(600_000)
    expect(purges).toHaveLength(4)
  })

  test('a turn is bounded, and goes on soon', async () => {
    const clock = fakeClock()
    const store = memoryStore({ clock })
    let purges = 0
    const inbox = { ...store.inbox, purge: async () => 1_000 + 0 * ++purges }
    await inboxBench({ clock, store: { ...store, inbox }, purgeEveryMs: 60_000, random: () => 0.5 })
    await clock.advance(60_000)
    expect(purges).toBe(20)
    await clock.advance(1_000)
    expect(purges).toBe(40)
  })

  test('a failure is an event, and it is tried again', async () => {
    const clock = fakeClock()
    const store = memoryStore({ clock })
    let purges = 0
    const inbox = {
      ...store.inbox,
      purge: async () => {
        if (++purges === 1) throw createError({ code: 'CONNECTION_REFUSED' })
        return 3
      },
    }
    const { of, consumer } = await inboxBench({
      clock,
      store: { ...store, inbox },
      purgeEveryMs: 60_000,
      random: () => 0.5,
    })
    await clock.advance(120_000)
    expect(of('inbox-failed')).toMatchObject([{ during: 'purge', error: { code: 'CONNECTION_REFUSED' } }])
    expect(of('inbox-purged')).toMatchObject([{ entries: 3 }])
    expect(consumer.health().lastError).toBeUndefined()
  })

  test('not where something else does it', async () => {
    const { clock, asked } = await inboxBench({ purgeEveryMs: false })
    await clock.advance(86_400_000)
    expect(asked('inbox.purge')).toBe(0)
  })
})

describe('where no broker counts deliveries', () => {
  const none = { redeliveryCount: 'none' } as const
  const a = { source: 'test', id: 'a' }

  test('a message that was begun so often and never ended is dead; redriven it is begun anew', async () => {
    let calls = 0
    const { broker, settle, store } = await inboxBench(
      { maxDeliveries: 3, handlers: { placed: () => void calls++ } },
      none,
    )
    for (let n = 0; n < 3; n++) await store.inbox.started('billing', a)
    const handed = broker.deliver({ id: 'a' })
    await settle()
    expect(handed.settled).toMatchObject([
      { verdict: 'dead', options: { reason: 'POISON: begun 3 times before, and never ended' } },
    ])
    const again = broker.deliver({ id: 'a' })
    await settle()
    expect([again.verdict, calls]).toEqual(['ack', 1])
  })

  test('what ended, well or not, is not held against it', async () => {
    const { broker, settle, store, clock } = await inboxBench(
      {
        maxDeliveries: 30,
        retries: { immediate: 2, delayedMs: [1, 1, 1, 1] },
        handlers: {
          placed: () => {
            throw new Error('no')
          },
        },
      },
      none,
    )
    const handed = broker.deliver({ id: 'a', key: 'k' })
    await settle()
    await clock.advance(1_000)
    expect(handed.verdict).toBe('dead')
    expect(await store.inbox.started('billing', a)).toBe(1)
  })

  test('a count that cannot be written is an event, not a failure', async () => {
    const { broker, settle, of } = await inboxBench(
      {
        before: async (operation) => {
          if (operation === 'inbox.finished') throw createError({ code: 'CONNECTION_REFUSED' })
        },
        handlers: { placed: () => {} },
      },
      none,
    )
    const handed = broker.deliver({ id: 'a' })
    await settle()
    expect(handed.verdict).toBe('ack')
    expect(of('inbox-failed')).toMatchObject([{ during: 'count' }])
  })

  test('brokers that count are believed: no commit more', async () => {
    const { broker, settle, asked } = await inboxBench({ handlers: { placed: () => {} } })
    broker.deliver({ id: 'a' })
    await settle()
    expect([asked('inbox.started'), asked('commit')]).toEqual([0, 1])
  })
})

test('over a whole transport: many consumers, messages sent twice, handlers that fail: each effect once', async () => {
  const Jobs = queue('jobs', { job: z.object({ n: z.number() }) })
  const clock = fakeClock()
  const broker = memoryBroker({ clock })
  const database = memoryDatabase({ clock })
  let turn = 0
  const consumers = Array.from({ length: 3 }, () =>
    createConsumer({
      transport: memoryTransport({ broker }),
      channel: Jobs,
      clock,
      throttle: false,
      retries: { delayedMs: [1_000, 1_000, 1_000] },
      inbox: memoryStore({ database }),
      handlers: {
        job: async ({ data }, { tx }) => {
          count(tx, `job ${data.n}`)
          await new Promise<void>((resolve) => clock.setTimer(resolve, data.n % 5, undefined))
          if (++turn % 7 === 0) throw new Error('now and then')
        },
      },
    }),
  )
  for (const consumer of consumers) await consumer.start()
  const publisher = createPublisher({ transport: memoryTransport({ broker }), source: '/shop', clock })
  const messages = Array.from({ length: 100 }, (_, n) => ({ type: 'job' as const, data: { n }, id: `id ${n}` }))
  await publisher.publish(Jobs, messages)
  await publisher.publish(Jobs, messages)
  await clock.advance(60_000)
  expect(memoryStore({ database }).entries()).toEqual(
    expect.arrayContaining(messages.map(({ data }) => [`job ${data.n}`, 1])),
  )
  expect(memoryStore({ database }).entries()).toHaveLength(100)
  await Promise.all(consumers.map((consumer) => consumer.close()))
})
