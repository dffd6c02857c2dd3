// Recipe: calls to the pods themselves. Kubernetes knows them, so nobody registers; a pod that is not ready leaves at once.
// The service account needs `list` and `watch` of `endpointslices` (API group discovery.k8s.io), and nothing else.
import { createDiscovery, createProxy, createServerAdapter, defineContract, httpTransport } from 'fairlead'
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

/** A pod. At SIGTERM it finishes what it has begun; `preStop: { sleep: { seconds: 5 } }` gives callers the time to see it leave. */
export function startInventory(port: number, levelOf: (sku: string) => number) {
  const adapter = createServerAdapter(Inventory, { stock: ({ sku }) => ({ level: levelOf(sku) }) })
  return adapter.listen({ port, signals: ['SIGTERM'] })
}

/** A caller in a pod: address, token, authority and namespace are those of its service account. Outside give `cluster`. */
export function inventoryClient(cluster: KubernetesSourceOptions = {}) {
  const discovery = createDiscovery({
    source: kubernetesSource({ port: 'http', ...cluster }), // the port by its name in the service
    startup: 'wait', // known before the first call: await discovery.ready() in the start of the pod
    services: ['inventory'],
  })
  const transport = httpTransport({ discovery })
  const inventory = createProxy(Inventory, { transport })
  return { inventory, discovery, close: () => transport.close().then(() => discovery.close()) }
}
