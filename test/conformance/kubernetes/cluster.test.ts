// What only a real API server shows: its certificate and RBAC, tokens that end, a version that is forgotten, dual stack, hints, a hundred slices.
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../../../src/core/clock.ts'
import type { Endpoint, Source, SourceUpdate, SourceWatch } from '../../../src/core/contracts/source.ts'
import { pod, sliceOf } from '../../adapters/kubernetes/kit/slice-book.ts'
import { type Cluster, startCluster } from './cluster.ts'

const SLICES = '/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices'

// Starting takes seconds, and many of them where others are at work on the machine.
const RESTARTS_MS = 120_000

let cluster: Cluster
const watches: SourceWatch[] = []
const folder = mkdtempSync(join(tmpdir(), 'fairlead-kubernetes-test-'))

beforeAll(async () => {
  cluster = await startCluster('shop')
}, RESTARTS_MS)
afterEach(async () => {
  await Promise.all(watches.splice(0).map((watch) => watch.close()))
})
afterAll(async () => {
  await cluster.close()
  rmSync(folder, { recursive: true, force: true })
})

interface Heard {
  readonly updates: SourceUpdate[]
  readonly watch: SourceWatch
  endpoints(): readonly Endpoint[]
  until(what: string, is: (heard: Heard) => boolean): Promise<void>
}

const hear = (source: Source, service: string): Heard => {
  const updates: SourceUpdate[] = []
  const watch = source.watch(service, (update) => void updates.push(update))
  watches.push(watch)
  const heard: Heard = {
    updates,
    watch,
    endpoints() {
      const last = updates.findLast(({ type }) => type !== 'error')
      return last?.type === 'snapshot' ? last.endpoints : []
    },
    async until(what, is) {
      for (let tries = 0; tries < 2_500; tries++) {
        if (is(heard)) return
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
      throw new Error(`waited in vain: ${what}; last told: ${JSON.stringify(updates.at(-1))?.slice(0, 400)}`)
    },
  }
  return heard
}

const errors = ({ updates }: Heard): readonly string[] =>
  updates.flatMap((update) => (update.type === 'error' ? [String((update.error as { code?: unknown }).code)] : []))
const ids = (heard: Heard): string =>
  heard
    .endpoints()
    .map(({ id }) => id)
    .sort()
    .join()

const post = async (path: string, body: object): Promise<Record<string, unknown>> => {
  const answer = await cluster.server.api('POST', path, body)
  if (answer.status >= 400 && answer.status !== 409) throw new Error(`${path}: ${JSON.stringify(answer)}`)
  return answer.body
}

// As docs/discovery.md has it.
const allow = async (namespace: string, account: string): Promise<void> => {
  const rbac = `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}`
  await post('/api/v1/namespaces', { metadata: { name: namespace } })
  await post(`/api/v1/namespaces/${namespace}/serviceaccounts`, { metadata: { name: account } })
  await post(`${rbac}/roles`, {
    metadata: { name: 'fairlead-discovery' },
    rules: [{ apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['list', 'watch'] }],
  })
  await post(`${rbac}/rolebindings`, {
    metadata: { name: `fairlead-discovery-${account}` },
    subjects: [{ kind: 'ServiceAccount', name: account, namespace }],
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'fairlead-discovery' },
  })
}

const tokenFor = async (namespace: string, account: string): Promise<string> => {
  const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${account}/token`
  const { status } = await post(path, { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} })
  return (status as { token: string }).token
}

describe('in a pod', () => {
  test('needs no options: address, token, authority and namespace are those of the service account, and list and watch are all the rights', async () => {
    await allow('orders-team', 'caller')
    const account = mkdtempSync(join(folder, 'account-'))
    writeFileSync(join(account, 'token'), await tokenFor('orders-team', 'caller'))
    writeFileSync(join(account, 'namespace'), 'orders-team\n')
    copyFileSync(join(cluster.server.folder, 'certs', 'apiserver.crt'), join(account, 'ca.crt'))
    await cluster.writer.put('orders-team', 'orders-a', sliceOf('orders', 'orders-a', [pod('u1', '10.1.0.1')]))
    const { KUBERNETES_SERVICE_HOST, KUBERNETES_SERVICE_PORT } = process.env
    Object.assign(process.env, { KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: cluster.gate.port })
    try {
      const { kubernetesSource } = await import('../../../src/adapters/kubernetes/index.ts')
      const source = kubernetesSource({ serviceAccount: account })
      const heard = hear(source, 'orders')
      await heard.until('the pod', () => ids(heard) === 'u1')
      expect(heard.endpoints()[0]).toMatchObject({
        addresses: [{ host: '10.1.0.1', port: 8_080 }],
        hostname: 'orders.orders-team.svc',
        metadata: { namespace: 'orders-team', pod: 'pod-u1' },
      })
      await cluster.writer.put('orders-team', 'orders-a', sliceOf('orders', 'orders-a', [pod('u2', '10.1.0.1')]))
      await heard.until('the next pod', () => ids(heard) === 'u2')
      // Another namespace is not its business.
      const elsewhere = hear(source, 'orders.shop')
      await elsewhere.until('a refusal', () => errors(elsewhere).includes('FORBIDDEN'))
      expect(String((elsewhere.updates[0] as { error: unknown }).error)).toContain('endpointslices')
      expect(errors(heard)).toEqual([])
    } finally {
      delete process.env.KUBERNETES_SERVICE_HOST
      delete process.env.KUBERNETES_SERVICE_PORT
      if (KUBERNETES_SERVICE_HOST !== undefined) Object.assign(process.env, { KUBERNETES_SERVICE_HOST })
      if (KUBERNETES_SERVICE_PORT !== undefined) Object.assign(process.env, { KUBERNETES_SERVICE_PORT })
    }
  })

  test(
    'goes on with the new token when the old one is no longer let in',
    async () => {
      const tokenFile = join(folder, 'token')
      writeFileSync(tokenFile, 'first')
      const user = (token: string): string => `${token},rotating,rotating,"system:masters"`
      cluster.server.letIn([user('first')])
      await cluster.server.kill()
      await cluster.server.start()
      await cluster.book.announce('rotate', [{ id: 'r1', addresses: [{ host: '10.1.1.1', port: 80 }] }])
      const heard = hear(cluster.source({ tokenFile }), 'rotate')
      await heard.until('the one', () => ids(heard) === 'r1')
      await cluster.server.kill()
      cluster.server.letIn([user('second')])
      await cluster.server.start()
      await heard.until('that the old token is refused', () => errors(heard).includes('UNAUTHENTICATED'))
      expect(ids(heard)).toBe('r1')
      writeFileSync(tokenFile, 'second')
      await cluster.book.announce('rotate', [{ id: 'r2', addresses: [{ host: '10.1.1.2', port: 80 }] }])
      await heard.until('the change', () => ids(heard) === 'r2')
      expect(heard.updates.some(({ type }) => type === 'absent')).toBe(false)
    },
    2 * RESTARTS_MS,
  )

  test('believes no other authority', async () => {
    const { kubernetesSource } = await import('../../../src/adapters/kubernetes/index.ts')
    const source = kubernetesSource({ server: cluster.gate.url, namespace: 'shop', token: 'fairlead-admin' })
    const heard = hear(source, 'rotate')
    await heard.until('an error', () => heard.updates.length > 0)
    expect(errors(heard)[0]).toMatch(/CERTIFICATE_INVALID|TLS_FAILED/)
  })
})

test(
  'begins anew when its version is forgotten, which the server says in the middle of an answer that began with 200',
  async () => {
    await cluster.book.announce('forgotten', [{ id: 'f1', addresses: [{ host: '10.2.0.1', port: 80 }] }])
    // Time for a refresh to make sure of the watch can be had at once.
    let later = 0
    const clock = { ...systemClock, now: () => systemClock.now() + later }
    const heard = hear(cluster.source({ clock, idleMs: 600_000 }), 'forgotten')
    await heard.until('the one', () => ids(heard) === 'f1')
    const { metadata } = (await cluster.server.api('GET', SLICES)).body as { metadata: { resourceVersion: string } }
    const version = metadata.resourceVersion
    // The watch stays open towards the source, so that it knows nothing of the restart.
    cluster.gate.freeze()
    await cluster.book.announce('forgotten', [{ id: 'f2', addresses: [{ host: '10.2.0.2', port: 80 }] }])
    await cluster.server.compact()
    await cluster.server.kill()
    await cluster.server.start()
    const forgotten = await cluster.server.api('GET', `${SLICES}?watch=1&resourceVersion=${version}`)
    expect(forgotten).toMatchObject({ status: 200, body: { type: 'ERROR', object: { code: 410, reason: 'Expired' } } })
    cluster.gate.thaw()
    later = 20_000
    heard.watch.refresh()
    await heard.until('what has changed', () => ids(heard) === 'f2')
    // A server that has just started may hold the first list back for longer than we wait.
    expect(errors(heard).filter((code) => code !== 'ATTEMPT_TIMEOUT')).toEqual([])
  },
  RESTARTS_MS,
)

test('a pod with two address families is one endpoint with two addresses', async () => {
  const six = sliceOf('dual', 'dual-6', [pod('d1', 'fd00::1'), pod('d2', 'fd00::2')], undefined, 'IPv6')
  await cluster.writer.put('shop', 'dual-6', six)
  await cluster.writer.put('shop', 'dual-4', sliceOf('dual', 'dual-4', [pod('d1', '10.3.0.1'), pod('d2', '10.3.0.2')]))
  const heard = hear(cluster.source(), 'dual')
  await heard.until('both', () => heard.endpoints().length === 2)
  expect(heard.endpoints().map(({ id, addresses }) => [id, addresses.map(({ host }) => host)])).toEqual([
    ['d1', ['10.3.0.1', 'fd00::1']],
    ['d2', ['10.3.0.2', 'fd00::2']],
  ])
  const ofSix = hear(cluster.source({ families: [6] }), 'dual')
  await ofSix.until('both', () => ofSix.endpoints().length === 2)
  expect(ofSix.endpoints().flatMap(({ addresses }) => addresses.map(({ host }) => host))).toEqual([
    'fd00::1',
    'fd00::2',
  ])
})

test('those that hints give to our zone come first, and the others stay for an outage of the zone', async () => {
  const hinted = (uid: string, host: string, zone: string): object =>
    pod(uid, host, { zone, hints: { forZones: [{ name: zone }] } })
  const entries = [hinted('z1', '10.4.0.1', 'a'), hinted('z2', '10.4.0.2', 'b')]
  await cluster.writer.put('shop', 'zones-0', sliceOf('zones', 'zones-0', entries as never))
  const heard = hear(cluster.source({ zone: 'a' }), 'zones')
  await heard.until('both', () => heard.endpoints().length === 2)
  expect(heard.endpoints().map(({ id, zone, priority }) => [id, zone, priority ?? 0])).toEqual([
    ['z1', 'a', 0],
    ['z2', 'b', 1],
  ])
})

test('a service that is taken down is absent; one without pods is empty', async () => {
  await cluster.writer.put('shop', 'gone-0', sliceOf('gone', 'gone-0', [pod('g1', '10.5.0.1')]))
  const heard = hear(cluster.source(), 'gone.shop.svc.cluster.local')
  await heard.until('the one', () => ids(heard) === 'g1')
  await cluster.writer.put('shop', 'gone-0', sliceOf('gone', 'gone-0', []))
  await heard.until('nobody', () => heard.updates.at(-1)?.type === 'snapshot' && heard.endpoints().length === 0)
  await cluster.writer.remove('shop', 'gone-0')
  await heard.until('no such service', () => heard.updates.at(-1)?.type === 'absent')
})
