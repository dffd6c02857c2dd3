// Recipe: ask another service and remember that you asked. The answer may take hours, and this process may be another one by then.
import { createOutbox, createRelay, queue } from 'fairlead'
import type { MessageTransport } from 'fairlead/core'
import { createStoredRequester } from 'fairlead/messaging'
import { openSqlite, type SqliteHandle, sqliteStore } from 'fairlead/sqlite'
import { z } from 'zod'

export const Credit = queue('credit', {
  'credit.check': { schema: z.object({ customer: z.string() }), reply: z.object({ limit: z.int() }) },
})

export async function orderService(path: string, transport: MessageTransport) {
  const file = await openSqlite(path)
  await file.execute('create table if not exists orders (id text primary key, state text)', [])
  const set = (tx: SqliteHandle, id: string, to: string) => tx.prepare('replace into orders values (?, ?)').run(id, to)
  const store = sqliteStore(file, { owner: 'orders' })
  await store.migrate()
  const outbox = createOutbox(store)
  const checks = createStoredRequester({
    ...{ name: 'order-checks', store, outbox, transport, channel: Credit, replies: 'order-checks' },
    state: z.object({ orderId: z.string(), cents: z.int() }), // is there for whoever takes the reply
    handlers: {
      'credit.check': {
        reply: ({ limit }, { tx, state }) => set(tx, state.orderId, state.cents <= limit ? 'taken' : 'refused'),
        timeout: ({ tx, state }) => set(tx, state.orderId, 'by hand'),
      },
    },
  })
  const relay = createRelay({ outbox, transport })
  await Promise.all([relay.start(), checks.start()])
  const place = (orderId: string, customer: string, cents: number, timeoutMs = 3_600_000) =>
    store.transaction(async (tx) => {
      set(tx, orderId, 'waits')
      await checks.request(tx, 'credit.check', { customer }, { state: { orderId, cents }, timeoutMs })
    })
  const close = () => checks.close().then(() => relay.close().then(() => file.close()))
  return { place, file, close }
}
