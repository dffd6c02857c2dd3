// Recipe: an order and its message are one commit; the other side applies it once. On SQLite here; postgresStore and mysqlStore are used alike.
import { createConsumer, createOutbox, createRelay, topic } from 'fairlead'
import type { MessageTransport } from 'fairlead/core'
import { openSqlite, sqliteStore } from 'fairlead/sqlite'
import { z } from 'zod'

export const Orders = topic('orders', { 'order.placed': z.object({ orderId: z.string(), cents: z.int() }) })

export async function orderService(path: string, transport: MessageTransport) {
  const file = await openSqlite(path)
  const store = sqliteStore(file, { owner: 'orders' })
  await store.migrate()
  await file.execute('create table if not exists orders (id text primary key, cents int)', [])
  const outbox = createOutbox(store)
  const relay = createRelay({ outbox, transport })
  await relay.start()
  const place = (orderId: string, cents: number) =>
    store.transaction(async (tx) => {
      tx.prepare('insert into orders (id, cents) values (?, ?)').run(orderId, cents)
      await outbox.publish(tx, Orders, { type: 'order.placed', key: orderId, data: { orderId, cents } })
    })
  return { place, close: () => relay.close().then(() => file.close()) }
}

export async function billingService(path: string, transport: MessageTransport) {
  const file = await openSqlite(path)
  await file.execute('create table if not exists invoices (order_id text, cents int)', [])
  const store = sqliteStore(file, { owner: 'billing' })
  await store.migrate()
  const billing = createConsumer({
    ...{ transport, channel: Orders, group: 'billing' },
    inbox: store, // handlers get `tx`, and the message is handled once
    handlers: {
      'order.placed': ({ data }, { tx }) =>
        void tx.prepare('insert into invoices (order_id, cents) values (?, ?)').run(data.orderId, data.cents),
    },
  })
  await billing.start()
  return { file, close: () => billing.close().then(() => file.close()) }
}
