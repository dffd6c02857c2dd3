// Flow 4, finish after the response: the order is written as PENDING, with the event that begins its process, and answered. The process asks the others in its own time.
import { createServerAdapter } from 'fairlead'
import { createProcessRunner, defineProcess } from 'fairlead/messaging'
import { z } from 'zod'
import { Answers, ConsumerRequests, OrderEvents, Orders, RestaurantRequests } from './contracts.ts'
import type { Flow } from './flow.ts'

const Status = z.enum(['PENDING', 'CONSUMER_VALIDATED', 'ORDER_DETAILS_VALIDATED', 'VALIDATED'])

interface Validating {
  readonly id: string
  state: { orderId: string; status: z.infer<typeof Status> }
  publish(channel: typeof Answers, message: { type: 'order.validated'; key: string; data: { orderId: string } }): void
  complete(): void
}

// Whichever answer comes second ends it.
function validated(process: Validating, first: 'CONSUMER_VALIDATED' | 'ORDER_DETAILS_VALIDATED'): void {
  if (process.state.status === 'PENDING') {
    process.state.status = first
    return
  }
  process.state.status = 'VALIDATED'
  process.publish(Answers, { type: 'order.validated', key: process.id, data: { orderId: process.id } })
  process.complete()
}

export const CreateOrder = defineProcess('create-order', { state: z.object({ orderId: z.string(), status: Status }) })
  .step('consumer', ConsumerRequests, 'consumer.validate')
  .step('restaurant', RestaurantRequests, 'restaurant.validate')
  .starts(OrderEvents, 'order.created', {
    id: ({ data }) => data.orderId,
    state: ({ data }) => ({ orderId: data.orderId, status: 'PENDING' as const }),
    handle: ({ data }, process) => {
      process.send('consumer', { id: data.consumerId })
      process.send('restaurant', { id: data.restaurantId })
    },
  })
  .onReply('consumer', { reply: (_, process) => validated(process, 'CONSUMER_VALIDATED') })
  .onReply('restaurant', { reply: (_, process) => validated(process, 'ORDER_DETAILS_VALIDATED') })

export const finish: Flow = {
  name: 'finish after the response',
  needs: ['order'],
  waitsFor: ['consumer', 'restaurant'],
  offer: 'requests',
  orderService: () => async (life) => {
    const { seams, store, transport } = life
    const outbox = await life.outbox()
    const runner = createProcessRunner({
      ...{ ...seams, process: CreateOrder, store, outbox, transport, redriveWithinMs: 0, scanEveryMs: 600_000 },
    })
    await life.owns(runner).start()
    const place = async (order: { orderId: string; consumerId: string; restaurantId: string }) => {
      await life.work()
      await store.transaction(async (tx) => {
        tx.set(order.orderId, order)
        await outbox.publish(tx, OrderEvents, { type: 'order.created', key: order.orderId, data: order })
      })
      return { orderId: order.orderId, status: 'PENDING' as const }
    }
    return createServerAdapter(Orders, { place }, { clock: seams.clock })
  },
}
