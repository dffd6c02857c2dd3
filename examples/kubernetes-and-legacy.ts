// Recipe: a service moves into Kubernetes while some of it still runs on machines of old. Callers see one service, and need no deploy when the last machine goes.
import { createDiscovery, createProxy, defineContract, httpTransport } from 'fairlead'
import { prioritySources, unionSources } from 'fairlead/discovery'
import { fileSource } from 'fairlead/file'
import { type KubernetesSourceOptions, kubernetesSource } from 'fairlead/kubernetes'
import { z } from 'zod'

export const Inventory = defineContract('inventory', {
  stock: {
    http: 'GET /stock/:sku',
    idempotent: true,
    input: z.object({ sku: z.string() }),
    output: z.object({ level: z.number() }),
  },
})

/** `shared`: pods and machines take the calls together. `pods first`: machines are called only while no pod can be. */
export type Stage = 'shared' | 'pods first'

/** A caller in a pod. The machines are in a file (Eureka, Consul and DNS are sources like it); `cluster` is for callers elsewhere. */
export function inventoryClient(stage: Stage, machines: string, cluster: KubernetesSourceOptions = {}) {
  const pods = kubernetesSource({ port: 'http', ...cluster })
  const legacy = fileSource({ path: machines })
  const discovery = createDiscovery({
    // One that is down takes nothing away: what it said stays in force, and the other goes on.
    source: stage === 'shared' ? unionSources(pods, legacy) : prioritySources(pods, legacy),
    startup: 'wait',
    services: ['inventory'],
  })
  const transport = httpTransport({ discovery })
  const inventory = createProxy(Inventory, { transport })
  return { inventory, discovery, close: () => transport.close().then(() => discovery.close()) }
}
