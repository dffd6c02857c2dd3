// Mistake: publish before commit. The broker has the message whatever becomes of the transaction: there are invoices of orders that do not exist.
// Mended: the outbox writes it in the transaction, and a relay sends it after the commit.
import assert from 'node:assert/strict'
import { createConsumer, createOutbox, createPublisher, createRelay, queue } from 'fairlead/messaging'
import type { CrashWorld } from 'fairlead/testing'
import { z } from 'zod'

const Orders = queue('orders', { placed: z.object({ orderId: z.string() }) })

export const system = (mended: boolean) => (world: CrashWorld) => {
  const shop = world.database('shop')
  const invoices = new Set<string>()
  world.service('shop', async ({ store: storeOf, transport, options, clock, newId, serve }) => {
    const store = storeOf(shop)
    const outbox = createOutbox(store, options)
    const publisher = createPublisher({ transport, source: '/shop', clock, newId })
    await createRelay({ outbox, transport, ...options }).start()
    serve('place', (orderId: string) =>
      store.transaction(async (tx) => {
        tx.set(orderId, 'placed')
        const message = { type: 'placed', data: { orderId } } as const
        if (mended) await outbox.publish(tx, Orders, message)
        else await publisher.publish(Orders, message)
      }),
    )
  })
  world.service('billing', async ({ transport, options, step }) => {
    const placed = ({ data }: { data: { orderId: string } }) => step('invoice', () => void invoices.add(data.orderId))
    await createConsumer({ transport, channel: Orders, handlers: { placed }, ...options }).start()
  })
  world.client('customer', (own) => own.call('shop', 'place', 'A-1').catch(() => undefined))
  return { shop, invoices }
}

export const invariant = ({ shop, invoices }: ReturnType<ReturnType<typeof system>>): void =>
  assert.deepEqual(
    [...invoices],
    shop.entries().map(([key]) => key),
    'an invoice for each order, and no other',
  )
