// Recipe: discovery without any server, for processes of one machine or a shared folder. A file that your deployment writes will do as well.
import { createDiscovery, createProxy, createServerAdapter, defineContract, httpTransport } from 'fairlead'
import { fileRegistrar, fileSource } from 'fairlead/file'
import { z } from 'zod'

export const Inventory = defineContract('inventory', {
  stock: {
    http: 'GET /stock/:sku',
    idempotent: true,
    input: z.object({ sku: z.string() }),
    output: z.object({ level: z.number() }),
  },
})

/** One instance that announces itself in the file. A process that was killed is gone from it after 15 s, and passed over at once. */
export function startInventory(path: string, levelOf: (sku: string) => number) {
  const adapter = createServerAdapter(Inventory, { stock: ({ sku }) => ({ level: levelOf(sku) }) })
  return adapter.listen({ host: '127.0.0.1', register: { registrar: fileRegistrar({ path }) } })
}

/** A caller. Or write the file by hand: { "services": { "inventory": ["10.0.0.1:80", "10.0.0.2:80"] } }; Prometheus' file_sd is read too. */
export function inventoryClient(path: string) {
  const discovery = createDiscovery({ source: fileSource({ path }) })
  const transport = httpTransport({ discovery })
  const inventory = createProxy(Inventory, { transport })
  return { inventory, discovery, close: () => transport.close().then(() => discovery.close()) }
}
