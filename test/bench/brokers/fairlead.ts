// Our side of every comparison: publisher and consumer as a user has them, over any transport.
import type { MessageTransport } from 'fairlead/core'
import { type Channel, createConsumer, createPublisher, queue } from 'fairlead/messaging'
import { type Passing, passing } from '../messaging/passing.ts'
import { CONCURRENCY, type Order, type Way } from './serving.ts'

/** The queue that a way is measured with. */
export type Orders = Channel<{ 'order.placed': Passing<Order> }>

/** By its name at the broker. */
export function ordersOf(name: string): Orders {
  return queue(name, { 'order.placed': passing<Order>() })
}

/**
 * Makes the queue, publisher and consumer.
 * @param first whether to make the queue
 * @param prefetch messages that the consumer holds at most
 */
export async function overTransport(
  transport: MessageTransport,
  name: string,
  first: boolean,
  prefetch: number,
  left: Way['left'],
): Promise<Way> {
  const channel = ordersOf(name)
  if (first) await transport.prepare([channel], 'create')
  const publisher = createPublisher({ transport, source: '/bench', deadlineMs: 60_000 })
  const message = (data: Order) => ({ type: 'order.placed' as const, key: data.key, data })
  return {
    async publish(orders) {
      await publisher.publish(channel, orders.map(message))
    },
    async take(handle) {
      const consumer = createConsumer({
        transport,
        channel,
        concurrency: CONCURRENCY,
        prefetch,
        handlers: { 'order.placed': ({ data }) => handle(data) },
      })
      await consumer.start()
      return () => consumer.close()
    },
    left,
  }
}
