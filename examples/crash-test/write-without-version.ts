// Mistake: read, modify, write without a version. What was read in one transaction is written by another: of two at once the second undoes the first.
// Mended: nothing is written if the version is no longer the one that was read; the customer is told, and may ask again.
import assert from 'node:assert/strict'
import type { CrashWorld } from 'fairlead/testing'

type Stock = { readonly version: number; readonly left: number }
const FULL: Stock = { version: 0, left: 10 }

export const system = (mended: boolean) => (world: CrashWorld) => {
  const stock = world.database('stock')
  for (const name of ['stock-1', 'stock-2'])
    world.service(name, (own) => {
      const store = own.store(stock)
      own.serve('take', async (orderId: string) => {
        const { version, left } = await store.transaction(async (tx) => (tx.get('screws') ?? FULL) as Stock)
        await store.transaction(async (tx) => {
          const now = (tx.get('screws') ?? FULL) as Stock
          if (mended && now.version !== version) throw new Error('somebody else was first')
          tx.set('screws', { version: version + 1, left: left - 1 })
          tx.set(`taken ${orderId}`, 1)
        })
      })
    })
  world.client('Ada', (own) => own.call('stock-1', 'take', 'A-1').catch(() => undefined))
  world.client('Bob', async (own) => {
    await own.sleep(700)
    await own.call('stock-2', 'take', 'B-1').catch(() => undefined)
  })
  return stock
}

export const invariant = (stock: ReturnType<ReturnType<typeof system>>): void => {
  const taken = stock.entries().filter(([key]) => key.startsWith('taken ')).length
  const { left } = (stock.get('screws') ?? FULL) as Stock
  assert.equal(left + taken, 10, 'what is left and what was taken is all there was')
}
