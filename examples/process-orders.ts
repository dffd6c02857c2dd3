// Recipe: orders are processed in order, per order: `placed` before `paid` before `shipped`, and many orders at once.
import { createConsumer, topic } from 'fairlead'
import type { MessageTransport } from 'fairlead/core'
import { requireCapabilities } from 'fairlead/messaging'
import { z } from 'zod'

const orderId = z.string()
export const Orders = topic('orders', {
  'order.placed': z.object({ orderId, sku: z.string() }),
  'order.paid': z.object({ orderId, cents: z.int() }),
  'order.shipped': z.object({ orderId }),
})

/** What the warehouse keeps of an order; each step has to be able to run twice. */
export interface Warehouse {
  pick(orderId: string, sku: string): Promise<void>
  release(orderId: string): Promise<void>
  archive(orderId: string): Promise<void>
}

export function warehouseConsumer(transport: MessageTransport, warehouse: Warehouse) {
  // Published with `key: orderId`. Said at start-up, not found out in production.
  requireCapabilities(transport, { modes: 'topic', order: 'key', durableSubscriptions: true })
  return createConsumer({
    transport,
    channel: Orders,
    group: 'warehouse',
    concurrency: 20,
    onFailure: 'block-key', // a step that fails holds back its own order only
    handlers: {
      'order.placed': ({ data }) => warehouse.pick(data.orderId, data.sku),
      'order.paid': ({ data }) => warehouse.release(data.orderId),
      'order.shipped': ({ data }) => warehouse.archive(data.orderId),
    },
  })
}
