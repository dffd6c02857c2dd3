// What happens after the answer: both services are asked at once, and answer in any order. If one refuses, what the other set aside is released.
import { defineProcess, type ProcessContextOf } from 'fairlead/messaging'
import { z } from 'zod'
import { Consumers, Orders, Restaurants, Status } from './channels.ts'
import type { Tx } from './ground.ts'
import type { Move } from './order-states.ts'

// No answer for so long, and an operator hears of it (`process-stuck`). The order goes on waiting: an answer that comes later still counts.
const withinMs = 86_400_000

// What is asked of whom, and what undoes it.
const Steps = defineProcess('create-order', { state: z.object({ status: Status }) })
  .using<Tx>()
  .step('consumer', Consumers, 'consumer.validate', { withinMs })
  .undo('consumer', Consumers, 'consumer.release', ({ id }) => ({ orderId: id }))
  .step('details', Restaurants, 'details.validate', { withinMs })
  .undo('details', Restaurants, 'details.release', ({ id }) => ({ orderId: id }))
type Going = ProcessContextOf<typeof Steps>

export function createOrder(move: Move) {
  const to = async ({ id, tx, state }: Going, status: Status, reason?: string): Promise<void> => {
    state.status = status
    await move(tx, id, status, reason)
  }
  const validated = async (process: Going, alone: Status): Promise<void> => {
    const both = process.is('consumer') === 'done' && process.is('details') === 'done'
    await to(process, both ? 'VALIDATED' : alone)
    if (both) process.complete()
  }
  // The client is told at once. What is to be undone may take as long as it takes.
  const refused = async (process: Going, why: string): Promise<void> => {
    await to(process, 'REJECTED', why)
    process.fail(why)
  }
  return Steps.starts(Orders, 'order.create', {
    id: ({ data }) => data.orderId,
    state: () => ({ status: 'PENDING' as const }),
    sends: ['consumer', 'details'],
    handle: ({ data: { orderId, consumerId, restaurantId, dish, portions, cents } }, process) => {
      process.send('consumer', { orderId, consumerId, cents })
      process.send('details', { orderId, restaurantId, dish, portions, cents })
    },
  })
    .onReply('consumer', {
      sends: [],
      reply: (_, process) => validated(process, 'CONSUMER_VALIDATED'),
      failure: (_, { why }, process) => refused(process, why),
    })
    .onReply('details', {
      sends: [],
      reply: (_, process) => validated(process, 'ORDER_DETAILS_VALIDATED'),
      failure: (_, { why }, process) => refused(process, why),
    })
    .onUndone(async (why, process) => {
      // It failed in another way: an operator cancelled it, or a service answered with an error that will not go away.
      if (process.state.status !== 'REJECTED') await to(process, 'REJECTED', why)
    })
}
