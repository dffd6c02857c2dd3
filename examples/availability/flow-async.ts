// Flow 3, request/asynchronous response: the order service takes the order and asks both others over messages, in one commit; the customer's answer comes as a message when both have answered.
import { createServerAdapter } from 'fairlead'
import type { MemoryTx } from 'fairlead/memory'
import { createStoredRequester } from 'fairlead/messaging'
import { z } from 'zod'
import { Answers, ConsumerRequests, Orders, RestaurantRequests } from './contracts.ts'
import type { Flow } from './flow.ts'

// Requests are not lost, and who is down only delays: nobody gives up within a day.
const DAY_MS = 86_400_000

export const asynchronous: Flow = {
  name: 'request/async response',
  needs: ['order'],
  waitsFor: ['consumer', 'restaurant'],
  offer: 'requests',
  orderService: () => async (life) => {
    const { seams, store, transport } = life
    const outbox = await life.outbox()
    const asking = {
      ...{ ...seams, store, outbox, transport, redriveWithinMs: 0, timeoutMs: DAY_MS, scanEveryMs: 600_000 },
      state: z.object({ orderId: z.string() }),
    }
    const answered = async (tx: MemoryTx, orderId: string): Promise<void> => {
      const answers = ((tx.get(orderId) as number | undefined) ?? 0) + 1
      tx.set(orderId, answers)
      if (answers === 2) await outbox.publish(tx, Answers, { type: 'order.validated', key: orderId, data: { orderId } })
    }
    const timeout = (): never => {
      throw new Error('no answer for a day')
    }
    const consumers = createStoredRequester({
      ...{ ...asking, name: 'consumers', channel: ConsumerRequests, replies: 'order-consumer-replies' },
      handlers: { 'consumer.validate': { reply: (_, { tx, state }) => answered(tx, state.orderId), timeout } },
    })
    const restaurants = createStoredRequester({
      ...{ ...asking, name: 'restaurants', channel: RestaurantRequests, replies: 'order-restaurant-replies' },
      handlers: { 'restaurant.validate': { reply: (_, { tx, state }) => answered(tx, state.orderId), timeout } },
    })
    for (const requester of [consumers, restaurants]) await life.owns(requester).start()
    const place = async ({ orderId, ...of }: { orderId: string; consumerId: string; restaurantId: string }) => {
      await life.work()
      await store.transaction(async (tx) => {
        tx.set(orderId, 0)
        await consumers.request(tx, 'consumer.validate', { id: of.consumerId }, { key: orderId, state: { orderId } })
        await restaurants.request(
          tx,
          'restaurant.validate',
          { id: of.restaurantId },
          { key: orderId, state: { orderId } },
        )
      })
      return { orderId, status: 'PENDING' as const }
    }
    return createServerAdapter(Orders, { place }, { clock: seams.clock })
  },
}
