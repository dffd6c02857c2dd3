// Mistake: compensation that is not idempotent. The message that undoes a payment comes twice, as messages do, and the customer gets twice what was paid.
// Mended: an inbox remembers in the same transaction that this message was handled.
import assert from 'node:assert/strict'
import type { MemoryTx } from 'fairlead/memory'
import { createConsumer, createPublisher, queue } from 'fairlead/messaging'
import type { CrashWorld } from 'fairlead/testing'
import { z } from 'zod'

const Undoing = queue('undoing', { refund: z.object({ cents: z.int() }) })
const refund = (tx: MemoryTx, cents: number): void => tx.set('refunded', Number(tx.get('refunded') ?? 0) + cents)

export const system = (mended: boolean) => (world: CrashWorld) => {
  const payments = world.database('payments')
  world.service('payments', async (own) => {
    const store = own.store(payments)
    const common = { transport: own.transport, channel: Undoing, ...own.options }
    const consumer = mended
      ? createConsumer({ ...common, inbox: store, handlers: { refund: ({ data }, { tx }) => refund(tx, data.cents) } })
      : createConsumer({
          ...common,
          handlers: { refund: ({ data }) => store.transaction(async (tx) => refund(tx, data.cents)) },
        })
    await consumer.start()
  })
  world.client('orders', async ({ transport, clock, sleep }) => {
    const publisher = createPublisher({ transport, source: '/orders', clock })
    const message = { id: 'm-1', type: 'refund', data: { cents: 500 } } as const
    while ((await publisher.result(Undoing, message)).status === 'failed') await sleep(1_000)
  })
  return payments
}

export const invariant = (payments: ReturnType<ReturnType<typeof system>>): void =>
  assert.equal(payments.get('refunded'), 500, 'what was paid is given back once')
