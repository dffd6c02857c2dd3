// Recipe: instances announce themselves to the Consul agent of their machine; callers hear of every change within milliseconds.
import { createDiscovery, createProxy, createServerAdapter, defineContract, httpTransport } from 'fairlead'
import { consulRegistrar, consulSource } from 'fairlead/consul'
import type { Allow } from 'fairlead/discovery'
import { z } from 'zod'

export const Inventory = defineContract('inventory', {
  stock: {
    http: 'GET /stock/:sku',
    idempotent: true,
    input: z.object({ sku: z.string() }),
    output: z.object({ level: z.number() }),
  },
})

/** One instance. Consul takes it out when it is critical, and 15 s after the last sign of life when the process was killed. */
export function startInventory(agent: string, host: string, levelOf: (sku: string) => number, health?: () => boolean) {
  const adapter = createServerAdapter(Inventory, { stock: ({ sku }) => ({ level: levelOf(sku) }) })
  return adapter.listen({ host, register: { registrar: consulRegistrar({ url: agent, tags: ['v2'] }), health } })
}

/** A caller. `allow` only where instances run on the caller's own machine: a remote registry may not send calls there by itself. */
export function inventoryClient(agent: string, allow?: Allow) {
  // With a token: consulSource({ url, token: () => readFile('/run/secrets/consul', 'utf8') }), read anew for each request.
  const discovery = createDiscovery({ source: consulSource({ url: agent, tags: ['v2'] }), allow })
  const transport = httpTransport({ discovery })
  const inventory = createProxy(Inventory, { transport })
  return { inventory, discovery, close: () => transport.close().then(() => discovery.close()) }
}
