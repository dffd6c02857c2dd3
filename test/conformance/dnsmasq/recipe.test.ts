// The recipe for DNS with a real server: addresses behind a name, and SRV records.
import { afterEach, expect, test } from 'vitest'
import { inventoryClient, startInventory } from '../../../examples/discover-with-dns.ts'
import { knows, tally } from '../../examples/discovered.ts'
import { startDnsmasq } from '../../services/dnsmasq-instance.ts'

const LOCAL = ['127.0.0.0/8']
const ends: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

test('instances behind a name share the calls and leave with their address; calls go on without DNS', async () => {
  const { levelOf, of, spread } = tally(2)
  const first = await startInventory(0, '127.0.0.1', levelOf(0))
  const second = await startInventory(first.port, '127.0.0.2', levelOf(1))
  const dns = await startDnsmasq({ hosts: ['127.0.0.1 inventory.fairlead.test', '127.0.0.2 inventory.fairlead.test'] })
  ends.push(() => Promise.all([first.close(), second.close(), dns.remove()]))

  const names = `{service}.fairlead.test:${first.port}`
  const { inventory, discovery, close } = inventoryClient(names, [`127.0.0.1:${dns.port}`], LOCAL)
  ends.push(close)
  const call = () => inventory.stock({ sku: 'A-1' })
  await spread(call)

  await dns.hosts(['127.0.0.1 inventory.fairlead.test'])
  await knows(discovery, 1)
  expect(await of(10, call)).toEqual([10, 0])

  await dns.kill()
  expect(await of(10, call)).toEqual([10, 0])
})

test('SRV records say the ports', async () => {
  const { levelOf, spread } = tally(2)
  const first = await startInventory(0, '127.0.0.1', levelOf(0))
  const second = await startInventory(0, '127.0.0.1', levelOf(1))
  const dns = await startDnsmasq({
    hosts: ['127.0.0.1 node.fairlead.test'],
    config: [first, second].map(({ port }) => `srv-host=_http._tcp.inventory.fairlead.test,node.fairlead.test,${port}`),
  })
  ends.push(() => Promise.all([first.close(), second.close(), dns.remove()]))

  const names = '_http._tcp.{service}.fairlead.test'
  const { inventory, close } = inventoryClient(names, [`127.0.0.1:${dns.port}`], LOCAL)
  ends.push(close)
  await spread(() => inventory.stock({ sku: 'A-1' }))
})
