// Mistake: a dedupe key made from the clock or the delivery. When the message comes again it has another one, and the bank charges twice.
// Mended: the key is the message's own, the same whenever it comes.
import assert from 'node:assert/strict'
import { createConsumer, createPublisher, queue } from 'fairlead/messaging'
import type { CrashWorld } from 'fairlead/testing'
import { z } from 'zod'

const Orders = queue('orders', { placed: z.object({ orderId: z.string() }) })

export const system = (mended: boolean) => (world: CrashWorld) => {
  const bank = new Map<string, string>() // what was charged, by the key of the request: the same key is charged once
  world.service('payments', async (own) => {
    const consumer = createConsumer({
      ...{ transport: own.transport, channel: Orders, ...own.options },
      handlers: {
        placed: async ({ id, data }) => {
          const key = mended ? id : `${data.orderId} at ${own.clock.wallNow()}`
          await own.step('bank.charge', () => void bank.set(key, data.orderId))
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
  return bank
}

export const invariant = (bank: ReturnType<ReturnType<typeof system>>): void =>
  assert.deepEqual([...bank.values()], ['A-1'], 'the order is charged once')
