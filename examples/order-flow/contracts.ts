// What the services promise one another. Both sides of every call, and of every message, are typed by these.
import { defineContract, topic } from 'fairlead'
import { z } from 'zod'

const order = { orderId: z.string(), sku: z.string(), quantity: z.number().int().positive() }

export const Inventory = defineContract('inventory', {
  stock: {
    http: 'GET /stock/:sku',
    idempotent: true,
    input: z.object({ sku: z.string() }),
    output: z.object({ level: z.number() }),
  },
  reserve: {
    http: 'POST /reservations',
    idempotent: true, // by orderId
    input: z.object(order),
    output: z.object({ reservationId: z.string() }),
    failures: { outOfStock: z.object({ left: z.number() }) },
  },
  release: {
    http: 'DELETE /reservations/:reservationId',
    idempotent: true,
    input: z.object({ reservationId: z.string() }),
    output: z.object({}),
  },
})

export const Payment = defineContract('payment', {
  charge: {
    http: 'POST /charges',
    idempotent: true, // by orderId: the ledger takes each order once
    input: z.object({ orderId: z.string(), amount: z.number().positive(), card: z.string() }),
    output: z.object({ chargeId: z.string() }),
    failures: { declined: z.object({ reason: z.string() }) },
  },
})

export const Orders = defineContract('orders', {
  place: {
    http: 'POST /orders',
    idempotent: true,
    input: z.object({ ...order, card: z.string() }),
    output: z.object({ orderId: z.string(), chargeId: z.string() }),
    failures: { outOfStock: z.object({ left: z.number() }), declined: z.object({ reason: z.string() }) },
  },
  quote: {
    http: 'GET /quotes/:sku',
    idempotent: true,
    input: z.object({ sku: z.string() }),
    output: z.object({ level: z.number(), from: z.string(), ageMs: z.number() }),
  },
})

/** What the order service tells whoever wants to know. */
export const OrderEvents = topic('order-events', {
  'order.placed': z.object(order),
})
