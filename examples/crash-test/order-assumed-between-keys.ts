// Mistake: order assumed between two keys. Messages of one key come in order; that of the order (key A-1) can overtake that of its customer (key C-1).
// Mended: what has to come in order has one key.
import assert from 'node:assert/strict'
import { createConsumer, createPublisher, queue } from 'fairlead/messaging'
import type { CrashWorld } from 'fairlead/testing'
import { z } from 'zod'

const Shop = queue('shop', { opened: z.object({ name: z.string() }), placed: z.object({ orderId: z.string() }) })

export const system = (mended: boolean) => (world: CrashWorld) => {
  const billing = world.database('billing')
  world.service('billing', async (own) => {
    const consumer = createConsumer({
      ...{ transport: own.transport, channel: Shop, inbox: own.store(billing), ...own.options },
      handlers: {
        opened: ({ data }, { tx }) => tx.set('customer C-1', data.name),
        placed: ({ data }, { tx }) => tx.set(`invoice ${data.orderId}`, tx.get('customer C-1') ?? 'nobody'),
      },
    })
    await consumer.start()
  })
  world.client('shop', async ({ transport, clock, sleep }) => {
    const publisher = createPublisher({ transport, source: '/shop', clock })
    const opened = { id: 'm-1', type: 'opened', key: 'C-1', data: { name: 'Ada' } } as const
    while ((await publisher.result(Shop, opened)).status === 'failed') await sleep(1_000)
    await sleep(1_000)
    const placed = { id: 'm-2', type: 'placed', key: mended ? 'C-1' : 'A-1', data: { orderId: 'A-1' } } as const
    while ((await publisher.result(Shop, placed)).status === 'failed') await sleep(1_000)
  })
  return billing
}

export const invariant = (billing: ReturnType<ReturnType<typeof system>>): void =>
  assert.equal(billing.get('invoice A-1'), 'Ada', 'the invoice has the name of the customer')
