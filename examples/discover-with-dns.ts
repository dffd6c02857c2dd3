// Recipe: no registry but DNS, as with headless services of Kubernetes, Docker Swarm or Consul's DNS: one address for each instance.
import { createDiscovery, createProxy, createServerAdapter, defineContract, httpTransport } from 'fairlead'
import type { Allow } from 'fairlead/discovery'
import { dnsSource } from 'fairlead/dns'
import { z } from 'zod'

export const Inventory = defineContract('inventory', {
  stock: {
    http: 'GET /stock/:sku',
    idempotent: true,
    input: z.object({ sku: z.string() }),
    output: z.object({ level: z.number() }),
  },
})

/** One instance. Who lists its address takes it off the list first; it finishes what it has begun at SIGTERM. */
export function startInventory(port: number, host: string, levelOf: (sku: string) => number) {
  const adapter = createServerAdapter(Inventory, { stock: ({ sku }) => ({ level: levelOf(sku) }) })
  return adapter.listen({ port, host, signals: ['SIGTERM'] })
}

/**
 * A caller. `names`: `{service}.prod.svc.cluster.local:8080`, or `_http._tcp.{service}.prod.svc.cluster.local` where SRV records say the port.
 * `servers`: those to ask, where they are not the machine's. `allow` only where instances run on the caller's own machine.
 */
export function inventoryClient(names: string, servers?: readonly string[], allow?: Allow) {
  // A change is seen when the TTL is over, 1 to 30 s whatever it says; a failed call asks at once.
  const discovery = createDiscovery({ source: dnsSource({ names, servers }), allow })
  const transport = httpTransport({ discovery })
  const inventory = createProxy(Inventory, { transport })
  return { inventory, discovery, close: () => transport.close().then(() => discovery.close()) }
}
