// A small shop for crash tests: an order is written with its event in one commit, a relay brings it to the broker, and billing writes an invoice for it, once.

import { z } from 'zod'
import { topic } from '../../../src/messaging/channel.ts'
import { createConsumer } from '../../../src/messaging/consumer/index.ts'
import { createOutbox, createRelay } from '../../../src/messaging/outbox/index.ts'
import type { CrashMemoryDatabase, CrashWorld } from '../../../src/testing/crash-test/index.ts'

const Orders = topic('orders', { placed: z.object({ order: z.string() }) })

export interface ShopFacts {
  readonly shop: CrashMemoryDatabase
  readonly billing: CrashMemoryDatabase
}

/** The program as it should be. */
export function rightShop(orders: readonly string[] = ['A-1']): (world: CrashWorld) => ShopFacts {
  return (world) => {
    const shop = world.database('shop')
    const billing = world.database('billing')
    world.service('shop', async (own) => {
      const store = own.store(shop)
      const outbox = createOutbox(store, own.options)
      const relay = createRelay({ outbox, transport: own.transport, ...own.options })
      await relay.start()
      own.serve('place', async (order: string) => {
        await store.transaction(async (tx) => {
          if (tx.get(`order ${order}`) !== undefined) return
          tx.set(`order ${order}`, 'placed')
          await outbox.publish(tx, Orders, { type: 'placed', key: order, data: { order } })
        })
      })
    })
    world.service('billing', async (own) => {
      const consumer = createConsumer({
        transport: own.transport,
        channel: Orders,
        group: 'billing',
        inbox: own.store(billing),
        handlers: {
          placed: ({ data }, { tx }) => {
            tx.set(`invoices ${data.order}`, Number(tx.get(`invoices ${data.order}`) ?? 0) + 1)
          },
        },
        ...own.options,
      })
      await consumer.start()
    })
    world.client('customer', async (own) => {
      for (const order of orders) {
        for (let attempt = 0; attempt < 20; attempt++) {
          try {
            await own.call('shop', 'place', order)
            break
          } catch {
            await own.sleep(100)
          }
        }
      }
    })
    return { shop, billing }
  }
}

/** Each order has one invoice. */
export function oneInvoiceEach({ shop, billing }: ShopFacts): void {
  for (const [name] of shop.entries()) {
    const order = name.replace('order ', '')
    const invoices = billing.get(`invoices ${order}`)
    if (invoices !== 1) throw new Error(`order ${order} has ${invoices ?? 'no'} invoices`)
  }
}
