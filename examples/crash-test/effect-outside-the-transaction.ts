// Mistake: an effect outside the transaction. The order is committed, and the stock is changed by a transaction of its own: a crash between the two leaves
// an order without goods, and who asks again is told that the order is there. Mended: both are one commit.
import assert from 'node:assert/strict'
import type { MemoryTx } from 'fairlead/memory'
import type { CrashWorld } from 'fairlead/testing'

const take = (tx: MemoryTx): void => tx.set('taken', Number(tx.get('taken') ?? 0) + 1)

export const system = (mended: boolean) => (world: CrashWorld) => {
  const shop = world.database('shop')
  world.service('shop', (own) => {
    const store = own.store(shop)
    own.serve('place', async (orderId: string) => {
      const isNew = await store.transaction(async (tx) => {
        if (tx.get(`order ${orderId}`) !== undefined) return false
        tx.set(`order ${orderId}`, 'placed')
        if (mended) take(tx)
        return true
      })
      if (isNew && !mended) await store.transaction(async (tx) => take(tx))
    })
  })
  world.client('customer', (own) => own.call('shop', 'place', 'A-1').catch(() => undefined))
  return shop
}

export const invariant = (shop: ReturnType<ReturnType<typeof system>>): void => {
  const orders = shop.entries().filter(([key]) => key.startsWith('order ')).length
  assert.equal(shop.get('taken') ?? 0, orders, 'as many goods are taken as there are orders')
}
