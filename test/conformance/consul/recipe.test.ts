// The recipe for Consul with a real agent: found, spread, left, and gone on without it.
import { afterEach, expect, test } from 'vitest'
import { inventoryClient, startInventory } from '../../../examples/discover-with-consul.ts'
import { knows, tally } from '../../examples/discovered.ts'
import { startConsul } from '../../services/consul-instance.ts'

const ends: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

test('instances are found, share the calls, leave by their health and by closing; calls go on without the agent', {
  timeout: 120_000,
}, async () => {
  const agent = await startConsul()
  ends.push(() => agent.remove())
  const { levelOf, of, spread } = tally(3)
  let healthy = true
  for (const [instance, health] of [() => true, () => healthy].entries()) {
    const server = await startInventory(agent.url, '127.0.0.1', levelOf(instance), health)
    expect(server.registered).toBe(true)
    ends.push(() => server.close())
  }
  const third = await startInventory(agent.url, '127.0.0.1', levelOf(2))

  const { inventory, discovery, close } = inventoryClient(agent.url, ['127.0.0.0/8'])
  ends.push(close)
  const call = () => inventory.stock({ sku: 'A-1' })
  await call()
  await knows(discovery, 3)
  await spread(call)

  await third.close()
  await knows(discovery, 2)
  expect((await of(10, call))[2]).toBe(0)

  healthy = false
  await knows(discovery, 1)
  expect(await of(10, call)).toEqual([10, 0, 0])

  await agent.kill()
  expect(await of(10, call)).toEqual([10, 0, 0])
})
