// What the three services, and their clients, say to one another.
import { defineContract, queue, topic } from 'fairlead'
import { z } from 'zod'

export const Status = z.enum(['PENDING', 'CONSUMER_VALIDATED', 'ORDER_DETAILS_VALIDATED', 'VALIDATED', 'REJECTED'])
export type Status = z.infer<typeof Status>

// All that the order service can check by itself: whether it is an order at all.
const NewOrder = z.object({
  consumerId: z.string().min(1),
  restaurantId: z.string().min(1),
  dish: z.string().min(1),
  portions: z.int().min(1).max(20),
  cents: z.int().min(1).max(100_000),
})
const Id = z.object({ orderId: z.string() })
const REFUSED = z.object({ why: z.string() }) // an answer, not a fault

/** For clients. The answer comes before anybody else was asked. */
export const OrderApi = defineContract('orders', {
  // 202: taken, and not done yet
  create: { http: 'POST /orders', success: 202, input: NewOrder, output: Id.extend({ status: Status }) },
})

/** The order service to itself: what is to be done after the answer. */
export const Orders = queue('create-order', { 'order.create': NewOrder.extend(Id.shape) })

export const Consumers = queue('consumers', {
  'consumer.validate': {
    schema: Id.extend({ consumerId: z.string(), cents: z.int() }),
    reply: z.object({}),
    failures: { REFUSED },
  },
  'consumer.release': Id,
})

export const Restaurants = queue('restaurants', {
  'details.validate': {
    schema: Id.extend({ restaurantId: z.string(), dish: z.string(), portions: z.int(), cents: z.int() }),
    reply: z.object({}),
    failures: { REFUSED },
  },
  'details.release': Id,
})

/** For whoever wants to know. `version` counts the states of one order. */
export const OrderEvents = topic('order-events', {
  'order.moved': Id.extend({ version: z.int(), status: Status, reason: z.string().optional() }),
})
