// One service, written once, for every transport: it publishes orders and ships them, in order per order, through a failure and past a poison message.
import type { MessageTransport } from 'fairlead/core'
import { memoryTransport } from 'fairlead/memory'
import { createConsumer, createPublisher, topic } from 'fairlead/messaging'
import { expect } from 'vitest'
import { z } from 'zod'

const order = z.object({ orderId: z.string(), step: z.int() })
const Orders = topic('orders', { 'order.placed': order, 'order.paid': order, 'order.shipped': order })
const Graves = { kind: 'queue', name: 'graves' } as const
const TYPES = ['order.placed', 'order.paid', 'order.shipped'] as const
const ORDERS = 8

/** Runs the shop: what it publishes by one transport it receives by the other, as two processes would. */
export async function sameShop(selling: MessageTransport, shipping: MessageTransport): Promise<void> {
  const graves = memoryTransport()
  const steps: string[] = []
  const failed = new Set<string>()
  const step = async ({ data: { orderId, step } }: { data: { orderId: string; step: number } }): Promise<void> => {
    const name = `${orderId} ${step}`
    // The first attempt at every third one fails, with something that may go well later.
    if (step === 1 && !failed.has(name)) {
      failed.add(name)
      throw new Error('the shelf is locked')
    }
    if (orderId === 'o-7' && step === 2) throw new TypeError('this will never go well')
    steps.push(name)
  }
  const warehouse = createConsumer({
    transport: shipping,
    channel: Orders,
    group: 'warehouse',
    handlers: { 'order.placed': step, 'order.paid': step, 'order.shipped': step },
    deadLetter: { transport: graves, channel: Graves },
  })
  await warehouse.start()
  const publisher = createPublisher({ transport: selling, source: '/shop/orders', deadlineMs: 30_000 })
  const messages = Array.from({ length: ORDERS }, (_, n) => `o-${n}`).flatMap((orderId) =>
    TYPES.map((type, step) => ({ type, key: orderId, data: { orderId, step } })),
  )
  const receipts = await publisher.publish(Orders, messages)
  expect(receipts.map(({ status }) => status)).toEqual(messages.map(() => 'accepted'))
  const wanted = messages.map(({ data }) => `${data.orderId} ${data.step}`).filter((name) => name !== 'o-7 2')
  while (new Set(steps).size < wanted.length || ((await graves.inspect?.({ channel: Graves }))?.waiting ?? 0) < 1)
    await new Promise((resolve) => setTimeout(resolve, 5))
  // At least once: a message may come twice, but never before one that was sent before it.
  for (let n = 0; n < ORDERS; n++) {
    const own = steps.filter((name) => name.startsWith(`o-${n} `))
    expect([...new Set(own)]).toEqual(wanted.filter((name) => name.startsWith(`o-${n} `)))
  }
  await publisher.close()
  await warehouse.close()
  for (const transport of [selling, shipping, graves]) await transport.close()
}
