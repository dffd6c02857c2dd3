// Recipe: a deploy without one failed call. At SIGTERM: say that you leave, answer until callers have seen it, deregister, finish, end.
// Give the supervisor more time than `drainMs` and the longest call: terminationGracePeriodSeconds, TimeoutStopSec.
import { createServerAdapter, defineContract } from 'fairlead'
import type { Registrar } from 'fairlead/discovery'
import { z } from 'zod'

export const Inventory = defineContract('inventory', {
  stock: {
    http: 'GET /stock/:sku',
    idempotent: true,
    input: z.object({ sku: z.string() }),
    output: z.object({ level: z.number(), version: z.string() }),
  },
})

/** What an instance stands on. */
export interface Warehouse {
  connect(): Promise<void>
  levelOf(sku: string): Promise<number>
  reachable(): Promise<boolean>
}

/** One instance; the process ends by itself at SIGTERM, once nobody needs it. `registrar`: eurekaRegistrar, consulRegistrar or fileRegistrar. */
export function serve(registrar: Registrar, warehouse: Warehouse, version: string, host?: string) {
  const adapter = createServerAdapter(Inventory, {
    stock: async ({ sku }) => ({ level: await warehouse.levelOf(sku), version }),
  })
  return adapter.listen({
    host,
    register: {
      registrar, // it says how long callers may lag behind: `drainMs`, unless you give one
      warmUp: () => warehouse.connect(), // nobody calls it before
      health: () => warehouse.reachable(), // false: nobody calls it until it is well
      metadata: { version }, // createDiscovery({ metadata: { version: '2' } }) would see the new ones only
    },
  })
}
