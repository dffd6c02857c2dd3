// Takes orders: checks what it can by itself, writes the order and what is to be done about it in one commit, and answers. Nobody else has to be up for that.
import { randomUUID } from 'node:crypto'
import type { RequestListener } from 'node:http'
import { createServerAdapter } from 'fairlead'
import { createProcessRunner } from 'fairlead/messaging'
import { OrderApi, Orders } from './channels.ts'
import { createOrder } from './create-order.ts'
import { openGround, type Place } from './ground.ts'
import { createNotifier } from './notify.ts'
import { moving, reading, STATES } from './order-states.ts'
import { answerProblem, answerStatus } from './status.ts'

const ORDERS = `orders (id text primary key, consumer_id text, restaurant_id text, dish text, portions integer, cents integer)`

export async function orderService(place: Place, heartbeatMs?: number) {
  const { transport } = place
  const ground = await openGround('orders', place, ORDERS, STATES)
  const { file, store, outbox } = ground
  const move = moving(outbox)
  const statesOf = reading(file)
  const runner = createProcessRunner({ process: createOrder(move), store, outbox, transport })
  const notifier = await createNotifier(transport, statesOf, heartbeatMs)
  await runner.start()

  const adapter = createServerAdapter(
    OrderApi,
    {
      create: async (order, { tx, setHeader }) => {
        const orderId = randomUUID()
        const { consumerId, restaurantId, dish, portions, cents } = order
        const insert = tx.prepare('insert into orders values (?, ?, ?, ?, ?, ?)')
        insert.run(orderId, consumerId, restaurantId, dish, portions, cents)
        await move(tx, orderId, 'PENDING')
        await outbox.publish(tx, Orders, { type: 'order.create', key: orderId, data: { orderId, ...order } })
        setHeader('location', `/orders/${orderId}`)
        return { orderId, status: 'PENDING' as const }
      },
    },
    // The answer is part of the same commit: whoever lost it asks again with the same key, and gets this one.
    { idempotency: store, requireIdempotencyKey: true },
  )
  const create = adapter.node()

  const listener: RequestListener = (request, response) => {
    const [, orderId, events] = /^\/orders\/([\w-]+)(\/events)?$/.exec(request.url ?? '') ?? []
    if (request.method !== 'GET' || orderId === undefined) return create(request, response)
    const answer =
      events === undefined
        ? answerStatus(orderId, statesOf, request, response)
        : notifier.answerEvents(orderId, request, response)
    answer.catch((error) => answerProblem(response, error))
  }
  const close = async (): Promise<void> => {
    await adapter.close()
    await notifier.close()
    await runner.close()
    await ground.close()
  }
  return { file, listener, runner, watched: notifier.watched, close }
}
