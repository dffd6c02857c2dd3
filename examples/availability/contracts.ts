// What the three services of the availability demo say to one another: calls for the synchronous flow, messages for the others.
import { defineContract, queue, topic } from 'fairlead'
import { z } from 'zod'

/** What a customer orders. */
export const Order = z.object({ orderId: z.string(), consumerId: z.string(), restaurantId: z.string() })
const Placed = z.object({ orderId: z.string(), status: z.enum(['VALIDATED', 'PENDING']) })

/** The door of the order service, the same in all four flows. */
export const Orders = defineContract('order', { place: { http: 'POST /orders', input: Order, output: Placed } })

const Who = z.object({ id: z.string() })
/** Whether a consumer may order; whether one may order from a restaurant. */
const Valid = z.object({ valid: z.boolean() })
export type Valid = z.infer<typeof Valid>

/** A page of all that a service knows, for those who begin to keep a copy. */
const Page = z.object({
  entries: z.array(z.object({ key: z.string(), version: z.string(), value: Valid })).readonly(),
  more: z.boolean(),
  cursor: z.string().optional(),
  position: z.object({ time: z.number() }).optional(),
})
const After = z.object({ after: z.string().optional() })

/** The two that are asked: calls, for the synchronous flow. */
export const Consumers = defineContract('consumer', {
  validate: { http: 'GET /consumers/:id', idempotent: true, input: Who, output: Valid },
  snapshot: { http: 'GET /consumers?after', idempotent: true, input: After, output: Page },
})
export const Restaurants = defineContract('restaurant', {
  validate: { http: 'GET /restaurants/:id', idempotent: true, input: Who, output: Valid },
  snapshot: { http: 'GET /restaurants?after', idempotent: true, input: After, output: Page },
})

/** The same as requests over messages. */
export const ConsumerRequests = queue('consumer-requests', { 'consumer.validate': { schema: Who, reply: Valid } })
export const RestaurantRequests = queue('restaurant-requests', { 'restaurant.validate': { schema: Who, reply: Valid } })

/** What a replica is fed with. */
const Changed = z.object({ id: z.string(), version: z.int(), valid: z.boolean() })
export const ConsumerEvents = topic('consumer-events', { 'consumer.changed': Changed })
export const RestaurantEvents = topic('restaurant-events', { 'restaurant.changed': Changed })

/** The order service to itself: what is left to do after the answer. */
export const OrderEvents = topic('order-events', { 'order.created': Order })
/** What customers hear of their orders in the end. */
export const Answers = queue('customer-answers', { 'order.validated': z.object({ orderId: z.string() }) })
