// Mistake: ack before commit. The handler does not wait for its transaction, so the message is acknowledged first: a crash between the two loses it.
// Mended: the handler answers with the promise, and the message is acknowledged when it has been kept.
import assert from 'node:assert/strict'
import { createConsumer, createPublisher, queue } from 'fairlead/messaging'
import type { CrashWorld } from 'fairlead/testing'
import { z } from 'zod'

const Orders = queue('orders', { placed: z.object({ orderId: z.string() }) })

export const system = (mended: boolean) => (world: CrashWorld) => {
  const billing = world.database('billing')
  world.service('billing', async (own) => {
    const store = own.store(billing)
    const consumer = createConsumer({
      ...{ transport: own.transport, channel: Orders, ...own.options },
      handlers: {
        placed: ({ data }) => {
          const saved = store.transaction(async (tx) => tx.set(data.orderId, 'invoiced'))
          return mended ? saved : void saved.catch(() => undefined) // "it will be done in a moment"
        },
      },
    })
    await consumer.start()
  })
  world.client('shop', async ({ transport, clock, sleep }) => {
    const publisher = createPublisher({ transport, source: '/shop', clock })
    const message = { id: 'm-1', type: 'placed', data: { orderId: 'A-1' } } as const
    while ((await publisher.result(Orders, message)).status === 'failed') await sleep(1_000)
  })
  return billing
}

export const invariant = (billing: ReturnType<ReturnType<typeof system>>): void =>
  assert.deepEqual(billing.entries(), [['A-1', 'invoiced']], 'the order that was placed is invoiced')
