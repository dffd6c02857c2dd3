// Mistake: a reply handled as if it were the first. Two services validate an order in their own time; mostly the customer's reply comes before the restaurant's.
// When it comes second, the order falls back to half validated and stays there. Mended: each handler looks at what has come already.
import assert from 'node:assert/strict'
import { createConsumer, createPublisher, queue } from 'fairlead/messaging'
import type { CrashClient, CrashWorld } from 'fairlead/testing'
import { z } from 'zod'

const Replies = queue('replies', { customerFine: z.object({}), restaurantFine: z.object({}) })

export const system = (mended: boolean) => (world: CrashWorld) => {
  const orders = world.database('orders')
  world.service('orders', async (own) => {
    const consumer = createConsumer({
      ...{ transport: own.transport, channel: Replies, inbox: own.store(orders), ...own.options },
      handlers: {
        customerFine: (_, { tx }) =>
          tx.set('A-1', mended && tx.get('A-1') === 'RESTAURANT_FINE' ? 'VALIDATED' : 'CUSTOMER_FINE'),
        restaurantFine: (_, { tx }) =>
          tx.set('A-1', tx.get('A-1') === 'CUSTOMER_FINE' ? 'VALIDATED' : 'RESTAURANT_FINE'),
      },
    })
    await consumer.start()
  })
  const reply = async (own: CrashClient, type: 'customerFine' | 'restaurantFine', afterMs: number): Promise<void> => {
    await own.sleep(afterMs)
    const publisher = createPublisher({ transport: own.transport, source: `/${own.name}`, clock: own.clock })
    while ((await publisher.result(Replies, { id: 'm-1', type, data: {} })).status === 'failed') await own.sleep(8_000)
  }
  world.client('customers', (own) => reply(own, 'customerFine', 0))
  world.client('restaurants', (own) => reply(own, 'restaurantFine', 3_000))
  return orders
}

export const invariant = (orders: ReturnType<ReturnType<typeof system>>): void =>
  assert.equal(orders.get('A-1'), 'VALIDATED', 'both have said yes')
