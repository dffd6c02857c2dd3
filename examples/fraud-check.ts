// Recipe: the fraud check leaves the synchronous chain order > payment > fraud > customer. Before, each held a slot for as long as
// the slowest behind it took; after, an order waits for the payment alone, and a suspected one is held back before it ships.
import { createConsumer, resilient, topic } from 'fairlead'
import type { MessageTransport } from 'fairlead/core'
import { createPublisher } from 'fairlead/messaging'
import { z } from 'zod'

const order = z.object({ orderId: z.string(), customerId: z.string(), cents: z.int() })
type Order = z.infer<typeof order>
export const Payments = topic('payments', { 'payment.taken': order })

export interface Services {
  charge(order: Order): Promise<void>
  customer(id: string): Promise<{ country: string }>
  score(order: Order, customer: { country: string }): Promise<number>
  holdBack(orderId: string): Promise<void>
}

export function before({ charge, customer, score }: Services) {
  const getCustomer = resilient('customer.get', (_, id: string) => customer(id))
  const checkFraud = resilient('fraud.check', async (_, o: Order) => score(o, await getCustomer(o.customerId)))
  const pay = resilient('payment.take', async (_, o: Order) => ((await checkFraud(o)) > 90 ? undefined : charge(o)))
  return resilient('order.place', (_, o: Order) => pay(o))
}

export function after({ charge, customer, score, holdBack }: Services, transport: MessageTransport) {
  const publisher = createPublisher({ transport, source: '/shop/payment' })
  const getCustomer = resilient('customer.get', (_, id: string) => customer(id))
  const pay = resilient('payment.take', async (_, o: Order) => {
    await charge(o) // a crash between these two leaves a charge that nobody checks: the outbox makes them one commit
    await publisher.publish(Payments, { type: 'payment.taken', key: o.customerId, data: o })
  })
  const handlers = {
    'payment.taken': async ({ data }: { data: Order }) => {
      if ((await score(data, await getCustomer(data.customerId))) > 90) await holdBack(data.orderId)
    },
  }
  const fraud = createConsumer({ transport, channel: Payments, group: 'fraud', handlers })
  return { fraud, placeOrder: resilient('order.place', (_, o: Order) => pay(o)) }
}
