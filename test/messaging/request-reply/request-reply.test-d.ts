import { expectTypeOf, test } from 'vitest'
import { z } from 'zod'
import type { Store } from '../../../src/core/contracts/store.ts'
import type { MessageTransport } from '../../../src/core/contracts/transport.ts'
import {
  createRequester,
  createResponder,
  dead,
  type Gathered,
  isRequestFailure,
  type Outbox,
  queue,
  type RequestHandlers,
  type RequestResult,
  retry,
  topic,
} from '../../../src/messaging/index.ts'

interface Client {
  query(text: string): Promise<void>
}
const Pricing = queue('pricing', {
  'price.quote': {
    schema: z.object({ sku: z.string(), at: z.coerce.date() }),
    reply: z.object({ cents: z.number(), until: z.iso.datetime().transform((text) => new Date(text)) }),
    failures: { UNKNOWN_SKU: z.object({ sku: z.string() }), CLOSED: z.object({ opens: z.number() }) },
    version: 2,
    upcasters: { 1: (data) => data },
  },
  'price.ping': { schema: z.string(), reply: z.string() },
  'price.note': z.object({ text: z.string() }),
})
type Types = NonNullable<(typeof Pricing)['definitions']>
const Orders = topic('orders', { 'order.placed': z.object({ orderId: z.string() }) })
declare const transport: MessageTransport
declare const store: Store<Client>
declare const outbox: Outbox<Client>
const requester = createRequester({ transport, source: '/shop' })

test('a request takes the data of its type, and gives what its reply becomes', () => {
  const asking = requester.request(Pricing, 'price.quote', { sku: 'A', at: '2026-01-01' }, { timeoutMs: 5 })
  expectTypeOf(asking).toEqualTypeOf<Promise<{ cents: number; until: Date }>>()
  expectTypeOf(requester.request(Pricing, 'price.ping', 'x')).toEqualTypeOf<Promise<string>>()
  expectTypeOf(requester.result(Pricing, 'price.ping', 'x')).toEqualTypeOf<Promise<RequestResult<string>>>()
  const gathering = requester.gather(Pricing, 'price.ping', 'x', {
    enough: (replies, failures) => replies.some(({ data }) => data.startsWith('a')) || failures.length > 3,
  })
  expectTypeOf<Awaited<typeof gathering>['replies'][number]['data']>().toEqualTypeOf<string>()
  expectTypeOf(gathering).toExtend<Promise<Gathered<{ readonly schema: any; readonly reply: z.ZodString }>>>()
  // @ts-expect-error data of another type
  requester.request(Pricing, 'price.quote', { sku: 7, at: '2026-01-01' })
  // @ts-expect-error no request: nothing answers it
  requester.request(Pricing, 'price.note', { text: 'x' })
  // @ts-expect-error the channel has no such type
  requester.request(Pricing, 'price.other', {})
  // @ts-expect-error a channel without any request
  requester.request(Orders, 'order.placed', { orderId: '1' })
  // @ts-expect-error it has to be said how many are enough
  requester.gather(Pricing, 'price.ping', 'x', {})
  // @ts-expect-error misspelt
  requester.request(Pricing, 'price.ping', 'x', { timeOutMs: 5 })
})

test('a failure has its name and its data', () => {
  const error: unknown = undefined
  if (isRequestFailure(error, Pricing, 'price.quote', 'CLOSED')) {
    expectTypeOf(error.details).toEqualTypeOf<{ opens: number }>()
    expectTypeOf(error.failure).toEqualTypeOf<'CLOSED'>()
  }
  // @ts-expect-error not declared
  isRequestFailure(error, Pricing, 'price.quote', 'OTHER')
  // @ts-expect-error it declares none
  isRequestFailure(error, Pricing, 'price.ping', 'CLOSED')
  // @ts-expect-error no request
  isRequestFailure(error, Pricing, 'price.note', 'CLOSED')
})

test('a handler returns the reply, fails as declared, or says again or never', () => {
  createResponder({
    transport,
    channel: Pricing,
    source: '/pricing',
    handlers: {
      'price.quote': async ({ data, type }, context) => {
        expectTypeOf(data).toEqualTypeOf<{ sku: string; at: Date }>()
        expectTypeOf(type).toEqualTypeOf<'price.quote'>()
        if (data.sku === '') return context.fail('UNKNOWN_SKU', { sku: data.sku })
        if (data.sku === 'x') return retry()
        if (data.sku === 'y') return dead('never')
        // @ts-expect-error an undeclared failure
        if (data.sku === 'z') context.fail('OTHER', {})
        // @ts-expect-error data of another failure
        if (data.sku === 'q') context.fail('CLOSED', { sku: data.sku })
        // @ts-expect-error there is no inbox
        context.tx
        return { cents: 7, until: '2026-01-01T00:00:00Z' }
      },
      'price.ping': ({ data }) => data,
      'price.note': ({ data }) => {
        expectTypeOf(data).toEqualTypeOf<{ text: string }>()
      },
    },
  })
  const wrong: RequestHandlers<Types> = {
    // @ts-expect-error a wrong reply
    'price.quote': () => ({ cents: 'seven', until: '2026-01-01T00:00:00Z' }),
    // @ts-expect-error a reply is missing
    'price.ping': () => undefined,
  }
  // @ts-expect-error no such type
  const other: RequestHandlers<Types> = { 'price.other': () => 1 }
  expectTypeOf(other).not.toBeAny()
  // @ts-expect-error a wrong reply
  createResponder({ transport, channel: Pricing, source: '/x', handlers: { 'price.ping': () => 7 } })
  expectTypeOf(wrong).not.toBeAny()
})

test('with an inbox it has the transaction, and the outbox is of the same store', () => {
  createResponder({
    transport,
    channel: Pricing,
    inbox: store,
    outbox,
    handlers: {
      'price.ping': async ({ data }, { tx, fail }) => {
        expectTypeOf(tx).toEqualTypeOf<Client>()
        expectTypeOf(fail).parameter(0).toEqualTypeOf<never>()
        await tx.query('select 1')
        return data
      },
      'price.quote': (_, { fail }) => fail('CLOSED', { opens: 9 }),
    },
  })
  // @ts-expect-error an inbox without an outbox
  createResponder({ transport, channel: Pricing, source: '/x', inbox: store, handlers: { 'price.ping': () => 'x' } })
  const another: Outbox<{ readonly other: true }> = undefined as never
  // @ts-expect-error of another store
  createResponder({ transport, channel: Pricing, inbox: store, outbox: another, handlers: { 'price.ping': () => 'x' } })
  // @ts-expect-error nobody says who answers
  createResponder({ transport, channel: Pricing, handlers: { 'price.ping': () => 'x' } })
})
