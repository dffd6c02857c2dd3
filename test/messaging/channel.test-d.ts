// What does not fit its channel does not compile.
import { expectTypeOf, test } from 'vitest'
import { z } from 'zod'
import {
  type AnyMessageOf,
  type Channel,
  type DataIn,
  type DataOut,
  type decodeMessage,
  type MessageOf,
  type Publishable,
  type Publisher,
  type PublishResult,
  queue,
  type Receipt,
  topic,
} from '../../src/messaging/index.ts'

const Orders = topic('orders', {
  'order.placed': z.object({ orderId: z.string(), at: z.string().transform((text) => new Date(text)) }),
  'order.paid': { schema: z.object({ cents: z.number() }), version: 2, upcasters: { 1: (data) => data } },
})
type Types = typeof Orders extends Channel<infer T> ? T : never
declare const publisher: Publisher

test('names and data are inferred from the schemas', () => {
  expectTypeOf<Publishable<Types>['type']>().toEqualTypeOf<'order.placed' | 'order.paid'>()
  expectTypeOf<DataIn<Types['order.placed']>>().toEqualTypeOf<{ orderId: string; at: string }>()
  expectTypeOf<DataOut<Types['order.placed']>>().toEqualTypeOf<{ orderId: string; at: Date }>()
  expectTypeOf<MessageOf<Types, 'order.paid'>['data']>().toEqualTypeOf<{ cents: number }>()
  expectTypeOf(queue('q', { a: z.string() }).kind).toEqualTypeOf<'queue' | 'topic'>()
  // @ts-expect-error a channel has no such type
  void Orders.types['order.lost']
})

test('the type of a message tells its data', () => {
  const handle = (message: AnyMessageOf<Types>): void => {
    if (message.type === 'order.placed') expectTypeOf(message.data).toEqualTypeOf<{ orderId: string; at: Date }>()
    else expectTypeOf(message.data).toEqualTypeOf<{ cents: number }>()
  }
  void handle
  expectTypeOf<Awaited<ReturnType<typeof decodeMessage<Types>>>>().toEqualTypeOf<AnyMessageOf<Types>>()
  const choose = (message: Publishable<Types>): void => {
    if (message.type === 'order.placed') expectTypeOf(message.data).toEqualTypeOf<{ orderId: string; at: string }>()
  }
  void choose
})

test('one message has one receipt, a list a list', () => {
  const one = { type: 'order.paid', data: { cents: 1 } } as const
  expectTypeOf(publisher.publish<Types>).toBeCallableWith(Orders, one)
  const receipt = (): Promise<Receipt> => publisher.publish(Orders, one)
  const receipts = (): Promise<readonly Receipt[]> => publisher.publish(Orders, [one])
  const result = (): Promise<PublishResult> => publisher.result(Orders, one)
  const results = (): Promise<readonly PublishResult[]> => publisher.result(Orders, [one])
  void [receipt, receipts, result, results]
})

test('what is wrong does not compile', () => {
  const never = async (): Promise<void> => {
    await publisher.publish(Orders, { type: 'order.paid', data: { cents: 1 }, key: 'k', headers: { a: 'b' } })
    await publisher.publish(Orders, [
      { type: 'order.paid', data: { cents: 1 } },
      { type: 'order.placed', data: { orderId: 'o', at: 'now' } },
    ])
    // @ts-expect-error the channel has no such type
    await publisher.publish(Orders, { type: 'order.lost', data: {} })
    // @ts-expect-error these are data of the other type
    await publisher.publish(Orders, { type: 'order.paid', data: { orderId: 'o', at: 'now' } })
    // @ts-expect-error the data are missing
    await publisher.publish(Orders, { type: 'order.paid' })
    // @ts-expect-error a member of the data is missing
    await publisher.publish(Orders, { type: 'order.placed', data: { orderId: 'o' } })
    // @ts-expect-error what goes in is text; the Date comes out
    await publisher.publish(Orders, { type: 'order.placed', data: { orderId: 'o', at: new Date() } })
    // @ts-expect-error there is no such field
    await publisher.publish(Orders, { type: 'order.paid', data: { cents: 1 }, kye: 'k' })
    const wrong = { type: 'order.paid', data: {} } as const
    // @ts-expect-error one of the list is wrong
    await publisher.publish(Orders, [{ type: 'order.paid', data: { cents: 1 } }, wrong])
    // @ts-expect-error the same for result
    await publisher.result(Orders, { type: 'order.lost', data: {} })
    // @ts-expect-error there is no such option
    await publisher.publish(Orders, { type: 'order.paid', data: { cents: 1 } }, { deadlineMS: 5 })
  }
  void never
  // @ts-expect-error a type needs a schema
  void (() => topic('t', { a: { version: 2 } }))
  // @ts-expect-error there is no such option of a channel
  void (() => topic('t', { a: z.string() }, { compress: true }))
})

test('a channel of any types is a Channel', () => {
  const name = (channel: Channel): string => channel.name
  void (() => name(Orders))
})
