import { expectTypeOf, test } from 'vitest'
import { z } from 'zod'
import type { MessageTransport } from '../../../src/core/contracts/transport.ts'
import { createConsumer, dead, type HandlerContext, retry, topic } from '../../../src/messaging/index.ts'

const Orders = topic('orders', {
  'order.placed': z.object({ orderId: z.string(), at: z.string().transform((text) => new Date(text)) }),
  'order.paid': { schema: z.object({ amount: z.number() }), version: 1 },
})
declare const transport: MessageTransport

test('handlers get the data of their type, as the schema gives it', () => {
  createConsumer({
    transport,
    channel: Orders,
    group: 'billing',
    handlers: {
      'order.placed': ({ data, type, key }, context) => {
        expectTypeOf(data).toEqualTypeOf<{ orderId: string; at: Date }>()
        expectTypeOf(type).toEqualTypeOf<'order.placed'>()
        expectTypeOf(key).toEqualTypeOf<string | undefined>()
        expectTypeOf(context).toEqualTypeOf<HandlerContext>()
      },
      'order.paid': async ({ data }) => {
        expectTypeOf(data).toEqualTypeOf<{ amount: number }>()
        return data.amount < 0 ? dead('negative') : retry({ afterMs: 5 })
      },
    },
  })
})

test('a handler of one type only is enough; one of no type is an error', () => {
  createConsumer({ transport, channel: Orders, handlers: { 'order.paid': () => undefined } })
  createConsumer({
    transport,
    channel: Orders,
    handlers: {
      // @ts-expect-error the channel has no such type
      'order.vanished': () => undefined,
    },
  })
})

test('a batch is of any type of the channel, told apart by it', () => {
  createConsumer({
    transport,
    channel: Orders,
    batch: (messages) => {
      for (const message of messages) {
        if (message.type === 'order.paid') expectTypeOf(message.data).toEqualTypeOf<{ amount: number }>()
        else expectTypeOf(message.data.at).toEqualTypeOf<Date>()
      }
    },
  })
})

test('either handlers or a batch', () => {
  // @ts-expect-error neither
  createConsumer({ transport, channel: Orders })
  // @ts-expect-error both
  createConsumer({ transport, channel: Orders, handlers: { 'order.paid': () => undefined }, batch: () => undefined })
})

test('options are checked', () => {
  // @ts-expect-error no such policy
  createConsumer({ transport, channel: Orders, handlers: {}, onFailure: 'explode' })
})
