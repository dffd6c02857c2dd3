// Mistake: a timeout taken for a failure. No answer came, so the order is rejected, and the customer has paid: the bank did it, and only its answer was lost.
// Mended: what is refused (effect `none`) is rejected; where nobody knows (effect `unknown`) the bank is asked what became of it.
import assert from 'node:assert/strict'
import { isFairleadError } from 'fairlead'
import type { CrashService, CrashWorld } from 'fairlead/testing'

export const system = (mended: boolean) => (world: CrashWorld) => {
  const shop = world.database('shop')
  const bank = new Set<string>() // orders that are paid
  const pay = async (own: CrashService, orderId: string): Promise<'PAID' | 'REJECTED'> => {
    try {
      await own.step('bank.charge', () => void bank.add(orderId))
      return 'PAID'
    } catch (error) {
      if (!mended || (isFairleadError(error) && error.effect === 'none')) return 'REJECTED'
    }
    for (;;)
      try {
        return (await own.step('bank.find', () => bank.has(orderId))) ? 'PAID' : 'REJECTED'
      } catch {
        await own.sleep(1_000)
      }
  }
  world.service('shop', (own) => {
    const store = own.store(shop)
    const note = (orderId: string, state: string) => store.transaction(async (tx) => tx.set(orderId, state))
    own.serve('place', async (orderId: string) => {
      await note(orderId, 'PENDING')
      await note(orderId, await pay(own, orderId))
    })
  })
  world.client('customer', (own) => own.call('shop', 'place', 'A-1').catch(() => undefined))
  return { shop, bank }
}

export const invariant = ({ shop, bank }: ReturnType<ReturnType<typeof system>>): void =>
  assert.ok(!(shop.get('A-1') === 'REJECTED' && bank.has('A-1')), 'nobody pays for what was rejected')
