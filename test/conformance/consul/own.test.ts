// What only Consul does, against a real agent: health and maintenance, lost signs of life, tokens, a restored snapshot, both our halves together.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { consulRegistrar, consulSource } from '../../../src/adapters/consul/index.ts'
import { systemClock } from '../../../src/core/clock.ts'
import type { Endpoint, Source, SourceUpdate, SourceWatch } from '../../../src/core/contracts/source.ts'
import { mortalClock } from '../../../src/testing/registrar-suite/mortal-clock.ts'
import { type ConsulInstance, startConsul } from '../../services/consul-instance.ts'
import { proxyTo } from '../../services/toxiproxy.ts'
import { consulHand } from './labs.ts'

let instance: ConsulInstance
const ends: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  instance = await startConsul()
})
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})
afterAll(() => instance.remove())

let names = 0
const serviceName = (): string => `own-${process.pid}-${++names}`
const endpointOf = (service: string, index = 0, more: Partial<Endpoint> = {}): Endpoint => ({
  id: `${service}-${index}`,
  addresses: [{ host: `10.3.0.${index + 1}`, port: 8080 }],
  ...more,
})

interface Watched {
  readonly updates: readonly SourceUpdate[]
  /** Ids with their state where it is not `ready`. */
  last(): readonly string[] | undefined
  sees(expected: readonly string[]): Promise<void>
  readonly watch: SourceWatch
}

const until = async (what: () => string, holds: () => boolean | Promise<boolean>): Promise<void> => {
  for (const from = systemClock.now(); !(await holds()); ) {
    if (systemClock.now() - from > 20_000) throw new Error(`waited in vain: ${what()}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

const watchOf = (source: Source, service: string): Watched => {
  const updates: SourceUpdate[] = []
  const watch = source.watch(service, (update) => updates.push(update))
  ends.push(() => watch.close())
  const last = (): readonly string[] | undefined => {
    const update = updates.findLast(({ type }) => type !== 'error')
    return update?.type === 'snapshot'
      ? update.endpoints.map(({ id, state }) => (state === undefined ? id : `${id} ${state}`))
      : undefined
  }
  return {
    updates,
    last,
    watch,
    sees: (expected) =>
      until(
        () => `${expected.join()}; last told ${last()?.join()}; ${JSON.stringify(updates.at(-1))}`,
        () => last()?.join() === [...expected].join(),
      ),
  }
}

describe('an instance that our registrar announces, as our source sees it', () => {
  it('goes through its states, carries all it has, and is gone at the end', async () => {
    const service = serviceName()
    const endpoint = endpointOf(service, 0, {
      addresses: [
        { host: '10.3.0.1', port: 8080 },
        { host: 'fd00::1', port: 8081 },
      ],
      ports: { metrics: 9090 },
      hostname: 'web.example',
      secure: true,
      weight: 0.5,
      priority: 2,
      zone: 'a',
      state: 'starting',
      metadata: { version: '2' },
    })
    const watched = watchOf(consulSource({ url: instance.url }), service)
    const registration = await consulRegistrar({ url: instance.url, tags: ['blue'] }).register(service, endpoint)
    await watched.sees([`${endpoint.id} starting`])
    expect(watched.updates.at(-1)).toMatchObject({
      endpoints: [{ ...endpoint, metadata: { version: '2', tags: 'blue', secure: 'true', zone: 'a' } }],
    })
    await registration.setState('ready')
    await watched.sees([endpoint.id])
    await registration.setState('draining')
    await watched.sees([`${endpoint.id} draining`])
    await registration.deregister()
    await watched.sees([])
    expect(watched.updates.filter(({ type }) => type === 'error')).toEqual([])
  })

  it('never vanishes between one state and the next', async () => {
    const service = serviceName()
    const endpoint = endpointOf(service, 0, { state: 'starting' })
    const registration = await consulRegistrar({ url: instance.url }).register(service, endpoint)
    ends.push(() => registration.deregister())
    const watched = watchOf(consulSource({ url: instance.url }), service)
    await watched.sees([`${endpoint.id} starting`])
    for (const state of ['ready', 'draining', 'ready', 'down', 'starting', 'ready'] as const) {
      const seen = new Set<string | undefined>()
      const before = await consulHand(instance.url).entries(service)
      expect(before.length).toBe(1)
      await registration.setState(state)
      await watched.sees([state === 'ready' ? endpoint.id : `${endpoint.id} ${state}`])
      for (const update of watched.updates) seen.add(update.type === 'snapshot' ? update.endpoints[0]?.id : update.type)
      expect([...seen]).toEqual([endpoint.id])
    }
  })

  it('is left out by clients that know nothing of us while it drains, also by those who take warnings', async () => {
    const service = serviceName()
    const { ask } = consulHand(instance.url)
    const registration = await consulRegistrar({ url: instance.url }).register(service, endpointOf(service))
    ends.push(() => registration.deregister())
    const passing = async (): Promise<number> => (await ask('GET', `/health/service/${service}?passing`)).length
    await until(
      () => 'seen',
      async () => (await passing()) === 1,
    )
    await registration.setState('draining')
    await until(
      () => 'left out',
      async () => (await passing()) === 0,
    )
    const all = await ask('GET', `/health/service/${service}`)
    expect(all[0].Checks.map(({ Status }: { Status: string }) => Status)).toContain('critical')
  })

  it('is left out when its process has died, and an entry of its own stays until the agent clears it away', async () => {
    const service = serviceName()
    const clock = mortalClock(systemClock)
    const watched = watchOf(consulSource({ url: instance.url }), service)
    const registrar = consulRegistrar({ url: instance.url, clock, ttlMs: 1_000 })
    await registrar.register(service, endpointOf(service))
    await watched.sees([`${service}-0`])
    clock.stop()
    await watched.sees([])
    const { ask } = consulHand(instance.url)
    expect((await ask('GET', `/health/service/${service}`)).length).toBe(1)
    await ask('PUT', `/agent/service/deregister/${service}-0`)
  })

  it('is down in maintenance mode, and stays so however much it lives', async () => {
    const service = serviceName()
    const { ask } = consulHand(instance.url)
    const watched = watchOf(consulSource({ url: instance.url }), service)
    const registration = await consulRegistrar({ url: instance.url, ttlMs: 900 }).register(service, endpointOf(service))
    ends.push(() => registration.deregister())
    await watched.sees([`${service}-0`])
    await ask('PUT', `/agent/service/maintenance/${service}-0?enable=true`)
    await watched.sees([`${service}-0 down`])
    await new Promise((resolve) => setTimeout(resolve, 1_000))
    expect(watched.last()).toEqual([`${service}-0 down`])
    await ask('PUT', `/agent/service/maintenance/${service}-0?enable=false`)
    await watched.sees([`${service}-0`])
  })
})

describe('the source', () => {
  it('asks for tags and by filters', async () => {
    const service = serviceName()
    const { ask } = consulHand(instance.url)
    for (const [index, tags] of [['v1'], ['v2'], ['v2', 'blue']].entries())
      await ask('PUT', '/agent/service/register', {
        ID: `${service}-${index}`,
        Name: service,
        Address: `10.3.0.${index + 1}`,
        Port: 80,
        Tags: tags,
      })
    ends.push(async () => {
      for (const index of [0, 1, 2]) await ask('PUT', `/agent/service/deregister/${service}-${index}`)
    })
    const [{ Node: self }] = await ask('GET', '/catalog/nodes')
    await watchOf(consulSource({ url: instance.url, tags: ['v2', 'blue'] }), service).sees([`${self}/${service}-2`])
    await watchOf(consulSource({ url: instance.url, filter: '"v1" in Service.Tags' }), service).sees([
      `${self}/${service}-0`,
    ])
    await watchOf(
      consulSource({ url: instance.url, near: '_agent', consistency: 'cached', waitMs: 1_000 }),
      service,
    ).sees([0, 1, 2].map((index) => `${self}/${service}-${index}`))
  })

  it('says that a filter or a data center is wrong', async () => {
    const wrongFilter = watchOf(consulSource({ url: instance.url, filter: 'no expression' }), serviceName())
    const wrongPlace = watchOf(consulSource({ url: instance.url, datacenter: 'nowhere' }), serviceName())
    for (const { updates } of [wrongFilter, wrongPlace]) {
      await until(
        () => 'an error',
        () => updates.length > 0,
      )
      expect(updates[0]).toMatchObject({ type: 'error', error: { name: expect.any(String), kind: 'response' } })
    }
  })

  it('follows a registry that is given an old snapshot while it is watched', async () => {
    const service = serviceName()
    const hand = consulHand(instance.url)
    const all = [0, 1, 2].map((index) => endpointOf(service, index))
    await hand.announce(service, all)
    const old = await (await fetch(`${instance.url}/v1/snapshot`)).arrayBuffer()
    const watched = watchOf(consulSource({ url: instance.url, waitMs: 1_000 }), service)
    await watched.sees(all.map(({ id }) => id))
    for (let round = 0; round < 3; round++) await hand.announce(service, all.slice(round))
    await watched.sees([`${service}-2`])
    expect((await fetch(`${instance.url}/v1/snapshot`, { method: 'PUT', body: old })).status).toBe(200)
    await watched.sees(all.map(({ id }) => id))
    await hand.announce(service, all.slice(0, 1))
    await watched.sees([`${service}-0`])
  })

  it('gives up a half-open connection, and is well again', async () => {
    const service = serviceName()
    const hand = consulHand(instance.url)
    const proxy = await proxyTo(instance)
    ends.push(() => proxy.remove())
    await hand.announce(service, [endpointOf(service)])
    const source = consulSource({ url: `http://127.0.0.1:${proxy.port}`, waitMs: 1_000, timeoutMs: 500 })
    const watched = watchOf(source, service)
    await watched.sees([`${service}-0`])
    await proxy.toxic('timeout', { timeout: 0 }, 'downstream')
    await proxy.toxic('timeout', { timeout: 0 }, 'upstream')
    const from = watched.updates.length
    await until(
      () => 'an error',
      () => watched.updates.slice(from).some(({ type }) => type === 'error'),
    )
    expect(watched.updates.at(-1)).toMatchObject({ error: { code: 'ATTEMPT_TIMEOUT' } })
    expect(watched.last()).toEqual([`${service}-0`])
    await hand.announce(service, [endpointOf(service, 1)])
    await proxy.mend()
    await watched.sees([`${service}-1`])
  })
})

describe('tokens', () => {
  const root = '11111111-2222-3333-4444-555555555555'
  let closed: ConsulInstance
  beforeAll(async () => {
    closed = await startConsul(false, {
      acl: { enabled: true, default_policy: 'deny', tokens: { initial_management: root, agent: root } },
    })
  })
  afterAll(() => closed.remove())

  it('without the right to read, an empty list is no answer; with it, endpoints; and a token may change', async () => {
    const service = serviceName()
    const registrar = consulRegistrar({ url: closed.url, token: root })
    const registration = await registrar.register(service, endpointOf(service))
    ends.push(() => registration.deregister())
    const unseen = watchOf(consulSource({ url: closed.url }), service)
    await until(
      () => 'a word',
      () => unseen.updates.length > 0,
    )
    expect(unseen.updates[0]).toMatchObject({ endpoints: [], note: expect.stringContaining('no token was sent') })
    // One that may read the nodes and no service.
    const { ask } = consulHand(closed.url, { 'x-consul-token': root })
    const Rules = 'node_prefix "" { policy = "read" }'
    await ask('PUT', '/acl/policy', { Name: 'nodes-only', Rules })
    const { SecretID: weak } = await ask('PUT', '/acl/token', { Policies: [{ Name: 'nodes-only' }] })
    let token: string = weak
    const watched = watchOf(consulSource({ url: closed.url, token: () => token }), service)
    await until(
      () => 'an error',
      () => watched.updates.length > 0,
    )
    expect(watched.updates[0]).toMatchObject({ type: 'error', error: { code: 'FORBIDDEN' } })
    token = 'no-such-token'
    await until(
      () => 'another',
      () => watched.updates.length > 1,
    )
    expect(watched.updates[1]).toMatchObject({ type: 'error', error: { code: 'FORBIDDEN' } })
    expect(watched.last()).toBe(undefined)
    token = root
    await watched.sees([`${service}-0`])
  })

  it('without the right to write, registering rejects', async () => {
    const service = serviceName()
    await expect(consulRegistrar({ url: closed.url }).register(service, endpointOf(service))).rejects.toMatchObject({
      code: 'FORBIDDEN',
    })
  })
})
