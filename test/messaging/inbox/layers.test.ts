// Layers stand inside the transaction of an inbox: none of them may have a half-done handler committed.
import { expect, test } from 'vitest'
import { memoryStore, memoryTransport } from '../../../src/adapters/memory/index.ts'
import type { Layer } from '../../../src/core/handler.ts'
import { createError } from '../../../src/errors/classes.ts'
import { createConsumer, dead, windowDedupe } from '../../../src/messaging/index.ts'
import { fallback, retry as retryLayer } from '../../../src/policies/index.ts'
import { fakeClock } from '../../../src/testing/fake-clock.ts'
import { gate, Orders } from '../consumer/kit.ts'
import { count, inboxBench } from './kit.ts'

const once = { retries: { immediate: 0, delayedMs: [] } }

/** A layer of plain async functions. */
function layer(around: (next: () => Promise<unknown>) => Promise<unknown>): Layer {
  return ((next: (request: unknown, context: unknown) => Promise<unknown>) => (request: unknown, context: unknown) =>
    around(async () => next(request, context))) as unknown as Layer
}

test('windowDedupe is refused: it would remember what was never committed', () => {
  const options = { transport: memoryTransport(), channel: Orders, group: 'billing', handlers: { placed: () => {} } }
  const layers = [windowDedupe()]
  expect(() => createConsumer({ ...options, layers })).not.toThrow()
  expect(() => createConsumer({ ...options, layers, inbox: memoryStore() })).toThrow(
    expect.objectContaining({ code: 'INVALID_OPTIONS', message: expect.stringMatching(/layers.*windowDedupe/s) }),
  )
})

test('a retry layer does not have a handler called twice in one transaction', async () => {
  const clock = fakeClock()
  let calls = 0
  const { broker, settle, applied, consumer } = await inboxBench({
    ...once,
    clock,
    layers: [retryLayer({ attempts: 3, clock })],
    handlers: {
      placed: ({ id }, { tx }) => {
        count(tx, id)
        if (calls++ === 0) throw createError({ code: 'UNAVAILABLE', effect: 'none' })
      },
    },
  })
  const handed = broker.deliver({ id: 'a' })
  await settle()
  await clock.advance(3_000)
  expect([handed.verdict, calls, applied('a')]).toEqual(['dead', 1, 0])
  expect(consumer.health().lastError).toMatchObject({
    code: 'PROGRAMMING_ERROR',
    message: expect.stringContaining('retries'),
    cause: { code: 'UNAVAILABLE' },
  })
})

test('nor where the layer hides the refusal; the next transaction begins anew', async () => {
  let calls = 0
  const { broker, settle, applied } = await inboxBench({
    retries: { immediate: 1 },
    layers: [
      layer(async (next) => {
        await next()
        if (calls < 2) await next().catch(() => {})
      }),
    ],
    handlers: {
      placed: ({ id }, { tx }) => {
        count(tx, id)
        if (++calls === 1) throw createError({ code: 'TRANSACTION_CONFLICT' })
      },
    },
  })
  const handed = broker.deliver({ id: 'a' })
  await settle()
  expect([handed.verdict, calls, applied('a')]).toEqual(['ack', 2, 1])
  calls = 0
  const twice = layer(async (next) => {
    await next()
    await next().catch(() => {})
  })
  const hidden = await inboxBench({ ...once, layers: [twice], handlers: { placed: ({ id }, { tx }) => count(tx, id) } })
  const refused = hidden.broker.deliver({ id: 'a' })
  await hidden.settle()
  expect([refused.verdict, hidden.applied('a')]).toEqual(['dead', 0])
})

test('what a handler throws undoes its transaction, whatever a layer answers', async () => {
  const { broker, settle, applied, consumer } = await inboxBench({
    ...once,
    layers: [fallback([{ from: 'value', value: 'well' }])],
    handlers: {
      placed: ({ id }, { tx }) => {
        count(tx, id)
        throw createError({ code: 'UNAVAILABLE', message: 'half way' })
      },
    },
  })
  const handed = broker.deliver({ id: 'a' })
  await settle()
  expect([handed.verdict, applied('a')]).toEqual(['dead', 0])
  expect(consumer.health().lastError).toMatchObject({
    code: 'UNAVAILABLE',
    message: expect.stringContaining('half way'),
  })
})

test('but a layer may say what becomes of the message', async () => {
  const { broker, settle, applied } = await inboxBench({
    layers: [layer((next) => next().catch(() => dead('the layer says so')))],
    handlers: {
      placed: ({ id }, { tx }) => {
        count(tx, id)
        throw createError({ code: 'UNAVAILABLE' })
      },
    },
  })
  const handed = broker.deliver({ id: 'a' })
  await settle()
  expect([handed.settled[0]?.options?.reason, applied('a')]).toEqual(['the layer says so', 0])
})

test.each([true, undefined] as const)(
  'a layer that answers before its handler has ended commits nothing of a half (handlesEnd: %s)',
  async (handlesEnd) => {
    const clock = fakeClock()
    const one = gate()
    const { broker, settle, applied } = await inboxBench({
      ...once,
      clock,
      store: { ...memoryStore({ clock }), handlesEnd } as never,
      layers: [
        layer(async (next) => {
          next().catch(() => {})
        }),
      ],
      handlers: {
        placed: async ({ id }, { tx }) => {
          count(tx, id)
          await one.promise
          count(tx, id)
        },
      },
    })
    const handed = broker.deliver({ id: 'a' })
    await settle()
    expect([handed.verdict, applied('a')]).toEqual(['open', 0])
    one.resolve()
    await settle()
    expect([handed.verdict, applied('a')]).toEqual(['ack', 2])
  },
)

test('where handles do not end, a layer that gives up does not give the connection back under a running handler', async () => {
  const clock = fakeClock()
  const one = gate()
  const store = memoryStore({ clock })
  let open = 0
  const { broker, settle, applied } = await inboxBench({
    ...once,
    clock,
    store: {
      ...store,
      handlesEnd: undefined,
      transaction: async (work: never) => {
        open++
        try {
          return await store.transaction(work)
        } finally {
          open--
        }
      },
    } as never,
    layers: [
      layer(async (next) => {
        next().catch(() => {})
        throw createError({ code: 'ATTEMPT_TIMEOUT' })
      }),
    ],
    handlers: {
      placed: async ({ id }, { tx }) => {
        await one.promise
        count(tx, id)
      },
    },
  })
  const handed = broker.deliver({ id: 'a' })
  await settle()
  expect([handed.verdict, open]).toEqual(['open', 1])
  one.resolve()
  await settle()
  expect([handed.verdict, open, applied('a')]).toEqual(['dead', 0, 0])
})
