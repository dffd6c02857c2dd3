// The recipe for Eureka with a real server: found, spread, left, and gone on without it.
import { afterEach, expect, test } from 'vitest'
import { inventoryClient, startInventory } from '../../../examples/discover-with-eureka.ts'
import { knows, tally } from '../../examples/discovered.ts'
import { startEureka } from '../../services/eureka-instance.ts'

const ends: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

test('instances are found, share the calls, and leave; calls go on without Eureka', { timeout: 180_000 }, async () => {
  const eureka = await startEureka()
  ends.push(() => eureka.remove())
  // The first of them refuses: the next is asked.
  const urls = ['http://127.0.0.1:1/eureka', eureka.url]
  const { levelOf, of, spread } = tally(2)
  const first = await startInventory({ urls }, '127.0.0.1', levelOf(0))
  ends.push(() => first.close())
  const second = await startInventory({ urls }, '127.0.0.1', levelOf(1))
  const { applications } = (await (
    await fetch(`${eureka.url}/apps`, { headers: { accept: 'application/json' } })
  ).json()) as { applications: { application: { name: string; instance: { vipAddress: string }[] }[] } }
  expect(applications.application.map(({ name }) => name)).toEqual(['INVENTORY'])
  expect(applications.application[0]?.instance[0]?.vipAddress).toBe('inventory')

  const { inventory, discovery, close } = inventoryClient({ urls }, 200, ['127.0.0.0/8'])
  ends.push(close)
  const call = () => inventory.stock({ sku: 'A-1' })
  await call()
  await knows(discovery, 2)
  await spread(call)

  await second.close()
  await knows(discovery, 1)
  expect(await of(10, call)).toEqual([10, 0])

  await eureka.kill()
  expect(await of(10, call)).toEqual([10, 0])
})
