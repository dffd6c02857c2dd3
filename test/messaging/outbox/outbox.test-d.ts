// What the compiler says of publishing: only in a transaction of the store's own kind, and only what the channel declares.
import { expectTypeOf, test } from 'vitest'
import { z } from 'zod'
import { queue, topic } from '../../../src/messaging/channel.ts'
import {
  createOutbox,
  type createRelay,
  type Outbox,
  type OutboxPlace,
  type OutboxReceipt,
} from '../../../src/messaging/outbox/index.ts'

interface ClientTx {
  query(text: string): Promise<void>
  release(): void
}
interface OrmTx {
  insert(table: string): Promise<void>
}
declare const place: OutboxPlace<ClientTx>
declare const tx: ClientTx
declare const pool: { query(text: string): Promise<void> }
declare const foreign: OrmTx

const Orders = topic('orders', {
  'order.placed': z.object({ orderId: z.string() }),
  'order.cancelled': z.object({ orderId: z.string(), reason: z.string() }),
})
const Mails = queue('mails', { 'mail.wanted': z.object({ to: z.string() }) })

test('an outbox has the transaction type of its store', () => {
  const outbox = createOutbox(place)
  expectTypeOf(outbox).toEqualTypeOf<Outbox<ClientTx>>()
  expectTypeOf(outbox.publish(tx, Orders, { type: 'order.placed', data: { orderId: '1' } })).toEqualTypeOf<
    Promise<OutboxReceipt>
  >()
  expectTypeOf(outbox.publish(tx, Orders, [{ type: 'order.placed', data: { orderId: '1' } }])).toEqualTypeOf<
    Promise<readonly OutboxReceipt[]>
  >()
})

test('publishing with a pool, another kind of transaction or none does not compile', () => {
  const outbox = createOutbox(place)
  const message = { type: 'order.placed', data: { orderId: '1' } } as const
  // @ts-expect-error a pool is no transaction
  void outbox.publish(pool, Orders, message)
  // @ts-expect-error the transaction of another driver
  void outbox.publish(foreign, Orders, message)
  // @ts-expect-error no transaction
  void outbox.publish(undefined, Orders, message)
  // @ts-expect-error no transaction
  void outbox.publish(Orders, message)
})

test('the type of a message says what its data are', () => {
  const outbox = createOutbox(place)
  void outbox.publish(tx, Orders, { type: 'order.cancelled', key: 'k', data: { orderId: '1', reason: 'late' } })
  // @ts-expect-error data of another type of the channel
  void outbox.publish(tx, Orders, { type: 'order.cancelled', data: { orderId: '1' } })
  // @ts-expect-error a type of another channel
  void outbox.publish(tx, Mails, { type: 'order.placed', data: { orderId: '1' } })
  // @ts-expect-error a bad message in a list (one line: compilers differ in where they say it)
  void outbox.publish(tx, Orders, [{ type: 'order.placed', data: {} }])
  // @ts-expect-error a field that there is not
  void outbox.publish(tx, Orders, { type: 'order.placed', data: { orderId: '1' }, keys: 'k' })
})

test('a relay takes an outbox of any kind of transaction', () => {
  expectTypeOf<Outbox<ClientTx>>().toExtend<Parameters<typeof createRelay>[0]['outbox']>()
  expectTypeOf<Outbox<OrmTx>>().toExtend<Parameters<typeof createRelay>[0]['outbox']>()
})
