// Mistake: an e-mail sent inside the transaction. It cannot be called back: the transaction is undone, and the customer reads of an order that does not exist.
// Mended: the transaction says by its outbox that a mail is wanted, and a consumer sends it, under the id of the message, which the mail provider sends once.
import assert from 'node:assert/strict'
import { createConsumer, createOutbox, createRelay, queue } from 'fairlead'
import type { CrashWorld } from 'fairlead/testing'
import { z } from 'zod'

const Mails = queue('mails', { wanted: z.object({ orderId: z.string() }) })

export const system = (mended: boolean) => (world: CrashWorld) => {
  const shop = world.database('shop')
  const mails = new Map<string, string>() // sent, by the key of the request
  world.service('shop', async (own) => {
    const store = own.store(shop)
    const outbox = createOutbox(store, own.options)
    const send = (key: string, orderId: string) => own.step('mailer.send', () => void mails.set(key, orderId))
    own.serve('place', (orderId: string) =>
      store.transaction(async (tx) => {
        tx.set(orderId, 'placed')
        if (mended) await outbox.publish(tx, Mails, { type: 'wanted', data: { orderId } })
        else await send(orderId, orderId)
      }),
    )
    await createRelay({ outbox, transport: own.transport, ...own.options }).start()
    const wanted = ({ id, data }: { id: string; data: { orderId: string } }) => send(id, data.orderId)
    await createConsumer({ transport: own.transport, channel: Mails, handlers: { wanted }, ...own.options }).start()
  })
  world.client('customer', (own) => own.call('shop', 'place', 'A-1').catch(() => undefined))
  return { shop, mails }
}

export const invariant = ({ shop, mails }: ReturnType<ReturnType<typeof system>>): void =>
  assert.deepEqual(
    [...mails.values()],
    shop.entries().map(([key]) => key),
    'one mail for each order, and no other',
  )
