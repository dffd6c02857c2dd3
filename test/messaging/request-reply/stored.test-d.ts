// What the compiler knows of stored requests: replies, failures by name, state, transaction.
import { expectTypeOf, test } from 'vitest'
import { z } from 'zod'
import { type MemoryTx, memoryStore, memoryTransport } from '../../../src/adapters/memory/index.ts'
import type { FairleadError } from '../../../src/errors/index.ts'
import { createOutbox, createStoredRequester, queue } from '../../../src/messaging/index.ts'

const Pricing = queue('pricing', {
  'price.quote': {
    schema: z.object({ sku: z.string() }),
    reply: z.object({ cents: z.number(), at: z.coerce.date() }),
    failures: { UNKNOWN_SKU: z.object({ sku: z.string() }), SOLD_OUT: z.object({ left: z.number() }) },
  },
  'price.changed': z.object({ sku: z.string() }),
})
const store = memoryStore()
const outbox = createOutbox(store)
const transport = memoryTransport()
const common = { name: 'x', store, outbox, transport, channel: Pricing, replies: 'x-replies' }

test('handlers get the reply, the failure by its name, the state and the transaction', async () => {
  const quotes = createStoredRequester({
    ...common,
    state: z.object({ orderId: z.string() }),
    handlers: {
      'price.quote': {
        reply: (reply, { tx, state, request }) => {
          expectTypeOf(reply).toEqualTypeOf<{ cents: number; at: Date }>()
          expectTypeOf(tx).toEqualTypeOf<MemoryTx>()
          expectTypeOf(state).toEqualTypeOf<{ orderId: string }>()
          expectTypeOf(request.deadlineAt).toEqualTypeOf<number>()
        },
        failure: (name, data) => {
          expectTypeOf(name).toEqualTypeOf<'UNKNOWN_SKU' | 'SOLD_OUT'>()
          expectTypeOf(data).toEqualTypeOf<{ sku: string } | { left: number }>()
        },
        timeout: ({ error }) => {
          expectTypeOf(error).toEqualTypeOf<FairleadError>()
        },
      },
    },
  })
  await store.transaction(async (tx) => {
    expectTypeOf(await quotes.request(tx, 'price.quote', { sku: 'A' }, { state: { orderId: 'o' } })).toEqualTypeOf<{
      readonly id: string
    }>()
    // @ts-expect-error of another shape
    await quotes.request(tx, 'price.quote', { sku: 1 })
    // @ts-expect-error the state has a schema
    await quotes.request(tx, 'price.quote', { sku: 'A' }, { state: { orderId: 1 } })
    // @ts-expect-error nobody answers that
    await quotes.request(tx, 'price.changed', { sku: 'A' })
    // @ts-expect-error no transaction of this store
    await quotes.request({}, 'price.quote', { sku: 'A' })
  })
})

test('what is no request has no handlers, and every request needs reply and timeout', () => {
  const none = { reply: () => {}, failure: () => {}, timeout: () => {} }
  // @ts-expect-error price.changed is not answered
  createStoredRequester({ ...common, handlers: { 'price.changed': none } })
  // @ts-expect-error without timeout
  createStoredRequester({ ...common, handlers: { 'price.quote': { reply: () => {}, failure: () => {} } } })
  // @ts-expect-error replies are a name
  createStoredRequester({ ...common, replies: Pricing, handlers: { 'price.quote': none } })
})
