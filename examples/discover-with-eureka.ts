// Recipe: services among Spring ones. Instances announce themselves to Eureka; callers ask it, and go on when it is down.
import { createDiscovery, createProxy, createServerAdapter, defineContract, httpTransport } from 'fairlead'
import type { Allow } from 'fairlead/discovery'
import { type EurekaServersOptions, eurekaRegistrar, eurekaSource } from 'fairlead/eureka'
import { z } from 'zod'

export const Inventory = defineContract('inventory', {
  stock: {
    http: 'GET /stock/:sku',
    idempotent: true,
    input: z.object({ sku: z.string() }),
    output: z.object({ level: z.number() }),
  },
})

/** `urls`: every server, with the path: `http://eureka-1:8761/eureka`. One is kept to; the next is asked when it does not answer. */
type Servers = Pick<EurekaServersOptions, 'urls'>

/** One instance: application INVENTORY, VIP `inventory`. At SIGTERM it goes on answering for a minute, as long as Eureka's own caches may know it. */
export function startInventory({ urls }: Servers, host: string, levelOf: (sku: string) => number) {
  const adapter = createServerAdapter(Inventory, { stock: ({ sku }) => ({ level: levelOf(sku) }) })
  return adapter.listen({ host, register: { registrar: eurekaRegistrar({ urls }), metadata: { version: '2' } } })
}

/** A caller. `allow` only where instances run on the caller's own machine: a remote registry may not send calls there by itself. */
export function inventoryClient({ urls }: Servers, intervalMs?: number, allow?: Allow) {
  const discovery = createDiscovery({
    source: eurekaSource({ urls, intervalMs }),
    massLoss: { graceMs: 90_000 }, // a Eureka that starts empty hears of everybody within this time
    allow,
  })
  const transport = httpTransport({ discovery })
  const inventory = createProxy(Inventory, { transport })
  return { inventory, discovery, close: () => transport.close().then(() => discovery.close()) }
}
