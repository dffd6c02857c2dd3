// The recipes for Kubernetes with a real API server. No kubelet is there: the tests write the slices as a cluster would.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Listening } from 'fairlead/rpi'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { inventoryClient, startInventory } from '../../../examples/discover-with-kubernetes.ts'
import { inventoryClient as movingClient } from '../../../examples/kubernetes-and-legacy.ts'
import type { KubernetesSourceOptions } from '../../../src/adapters/kubernetes/index.ts'
import { sliceOf } from '../../adapters/kubernetes/kit/slice-book.ts'
import { knows, tally } from '../../examples/discovered.ts'
import { ADMIN_TOKEN } from '../../services/kubernetes-instance.ts'
import { type Cluster, startCluster } from './cluster.ts'

const LOCAL = ['127.0.0.0/8']
const folder = mkdtempSync(join(tmpdir(), 'fairlead-recipe-'))
let cluster: Cluster
let access: KubernetesSourceOptions
beforeAll(async () => {
  cluster = await startCluster('shop')
  access = { server: cluster.server.url, namespace: 'shop', token: ADMIN_TOKEN, ca: cluster.server.ca }
}, 60_000)
afterAll(async () => {
  await cluster?.close()
  rmSync(folder, { recursive: true, force: true })
})
const ends: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

/** Pods are one port and an address each. */
const pods = async (levels: readonly (() => number)[]): Promise<readonly Listening[]> => {
  const servers: Listening[] = []
  for (const [n, levelOf] of levels.entries())
    servers.push(await startInventory(servers[0]?.port ?? 0, `127.0.0.${n + 1}`, levelOf))
  ends.push(() => Promise.all(servers.map((server) => server.close())))
  return servers
}

const slice = (port: number, hosts: readonly string[]): Promise<void> =>
  cluster.writer.put(
    'shop',
    'inventory-1',
    sliceOf(
      'inventory',
      'inventory-1',
      hosts.map((host) => ({ addresses: [host], conditions: { ready: true } })),
      [
        { name: 'metrics', port: 9_090, protocol: 'TCP' },
        { name: 'http', port, protocol: 'TCP' },
      ],
    ),
  )

test('pods are found, share the calls, and leave', async () => {
  const { levelOf, of, spread } = tally(2)
  const [first] = await pods([levelOf(0), levelOf(1)])
  await slice(first?.port ?? 0, ['127.0.0.1', '127.0.0.2'])
  const { inventory, discovery, close } = inventoryClient(access, LOCAL)
  ends.push(close)
  await discovery.ready()
  const call = () => inventory.stock({ sku: 'A-1' })
  await spread(call)

  await slice(first?.port ?? 0, ['127.0.0.1'])
  await knows(discovery, 1)
  expect(await of(10, call)).toEqual([10, 0])
})

test('pods and machines are one service: side by side, or machines only without pods', async () => {
  const { levelOf, of, spread } = tally(2)
  const [pod, machine] = await pods([levelOf(0), levelOf(1)])
  await slice(pod?.port ?? 0, ['127.0.0.1'])
  const machines = join(folder, 'machines.json')
  writeFileSync(machines, JSON.stringify({ services: { inventory: [`127.0.0.2:${machine?.port}`] } }))

  const shared = movingClient('shared', machines, access, LOCAL)
  ends.push(shared.close)
  await shared.discovery.ready()
  await knows(shared.discovery, 2)
  await spread(() => shared.inventory.stock({ sku: 'A-1' }))

  const podsFirst = movingClient('pods first', machines, access, LOCAL)
  ends.push(podsFirst.close)
  await podsFirst.discovery.ready()
  await knows(podsFirst.discovery, 2)
  const call = () => podsFirst.inventory.stock({ sku: 'A-1' })
  expect(await of(10, call)).toEqual([10, 0])
  await pod?.close()
  expect(await of(10, call)).toEqual([0, 10])
})
