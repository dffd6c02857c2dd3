// The recipes for Kubernetes with a real API server. No kubelet is there: the tests write the slices as a cluster would.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { networkInterfaces, tmpdir } from 'node:os'
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

// Kubernetes takes no loopback address in a slice.
const address = Object.values(networkInterfaces())
  .flatMap((each) => each ?? [])
  .find(({ internal, family }) => !internal && family === 'IPv4')?.address

const pods = async (...levels: readonly (() => number)[]): Promise<readonly Listening[]> => {
  const servers = await Promise.all(levels.map((levelOf) => startInventory(0, levelOf)))
  ends.push(() => Promise.all(servers.map((server) => server.close())))
  return servers
}

// All of them have one address here, so each has a slice of its own.
const slice = (name: string, pod: Listening, ready: boolean): Promise<void> =>
  cluster.writer.put(
    'shop',
    name,
    sliceOf('inventory', name, ready ? [{ addresses: [address], conditions: { ready } }] : [], [
      { name: 'metrics', port: 9, protocol: 'TCP' },
      { name: 'http', port: pod.port, protocol: 'TCP' },
    ]),
  )

test('pods are found, share the calls, and leave', async () => {
  const { levelOf, of, spread } = tally(2)
  const [first, second] = (await pods(levelOf(0), levelOf(1))) as [Listening, Listening]
  await slice('one', first, true)
  await slice('two', second, true)
  const { inventory, discovery, close } = inventoryClient(access)
  ends.push(close)
  await discovery.ready()
  const call = () => inventory.stock({ sku: 'A-1' })
  await spread(call)

  await slice('two', second, false)
  await knows(discovery, 1)
  expect(await of(10, call)).toEqual([10, 0])
})

test('pods and machines are one service: side by side, or machines only without pods', async () => {
  const { levelOf, of, spread } = tally(2)
  const [pod, machine] = (await pods(levelOf(0), levelOf(1))) as [Listening, Listening]
  await slice('one', pod, true)
  const machines = join(folder, 'machines.json')
  writeFileSync(machines, JSON.stringify({ services: { inventory: [`127.0.0.1:${machine.port}`] } }))

  const shared = movingClient('shared', machines, access)
  ends.push(shared.close)
  await shared.discovery.ready()
  await knows(shared.discovery, 2)
  await spread(() => shared.inventory.stock({ sku: 'A-1' }))

  const podsFirst = movingClient('pods first', machines, access)
  ends.push(podsFirst.close)
  await podsFirst.discovery.ready()
  await knows(podsFirst.discovery, 2)
  const call = () => podsFirst.inventory.stock({ sku: 'A-1' })
  expect(await of(10, call)).toEqual([10, 0])
  await pod.close()
  expect(await of(10, call)).toEqual([0, 10])
})
