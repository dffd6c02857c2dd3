// Labs over a Consul agent: how the suites write into it by a foreign hand, read it by a foreign eye, and trouble it.
import { consulRegistrar, consulSource } from '../../../src/adapters/consul/index.ts'
import { systemClock } from '../../../src/core/clock.ts'
import type { Endpoint } from '../../../src/core/contracts/source.ts'
import type { RegistrarLab } from '../../../src/testing/registrar-suite/types.ts'
import type { RegistryFaults, RegistryStart, SourceLab } from '../../../src/testing/source-suite/types.ts'
import type { ConsulInstance } from '../../services/consul-instance.ts'
import { troubleProxy } from './proxy.ts'

type Json = Readonly<Record<string, any>>

/** Speaks to an agent past everything that troubles our client. */
export const consulHand = (url: string, headers: Readonly<Record<string, string>> = {}) => {
  const ask = async (method: string, path: string, body?: unknown): Promise<any> => {
    const init = { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) }
    const response = await fetch(`${url}/v1${path}`, init)
    const text = await response.text()
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text.slice(0, 500)}`)
    return text.startsWith('[') || text.startsWith('{') ? JSON.parse(text) : text
  }
  const nodeOf = (service: string): string => `node-of-${service}`
  return {
    ask,
    entries: (service: string): Promise<readonly Json[]> => ask('GET', `/health/service/${service}`),
    /** Makes the catalog say exactly this of a service, on a node that no agent stands behind. */
    async announce(service: string, endpoints: readonly Endpoint[], meta: Json = {}): Promise<void> {
      const node = nodeOf(service)
      await ask('PUT', '/catalog/register', { Node: node, Address: '10.0.0.1', SkipNodeUpdate: true })
      const there: readonly Json[] = await ask('GET', `/health/service/${service}`)
      const wanted = new Set(endpoints.map(({ id }) => id))
      const gone = there.filter(({ Service }) => !wanted.has(Service.ID))
      const kept = new Map(there.map((entry) => [entry['Service'].ID as string, entry]))
      const operations: Json[] = gone.map(({ Node, Service }) => ({
        Service: { Verb: 'delete', Node: Node.Node, Service: { ID: Service.ID, Service: service } },
      }))
      for (const endpoint of endpoints) {
        const { id, addresses, weight = 1, zone, metadata = {}, state = 'ready' } = endpoint
        const [at] = addresses
        operations.push({
          Service: {
            Verb: 'set',
            Node: node,
            Service: {
              ID: id,
              Service: service,
              Address: at?.host,
              Port: at?.port,
              Weights: { Passing: weight, Warning: 1 },
              Meta: { ...metadata, ...(zone === undefined ? {} : { zone }), 'fairlead-id': id, ...meta },
            },
          },
        })
        const check = { Node: node, CheckID: `_service_maintenance:${id}`, ServiceID: id }
        const inMaintenance = kept.get(id)?.['Checks'].some(({ CheckID }: Json) => CheckID === check.CheckID)
        if (state === 'down')
          operations.push({ Check: { Verb: 'set', Check: { ...check, Name: 'Maintenance', Status: 'critical' } } })
        else if (inMaintenance) operations.push({ Check: { Verb: 'delete', Check: check } })
      }
      for (let from = 0; from < operations.length; from += 128)
        await ask('PUT', '/txn', operations.slice(from, from + 128))
    },
  }
}

let names = 0
const serviceName = (purpose: string): string => `fl-${purpose}-${process.pid}-${++names}`

const WAIT_MS = 1_500
const TIMEOUT_MS = 1_500
// Answers that are slow on purpose have to come within it, also from a machine that stands still meanwhile.
const SOURCE_TIMEOUT_MS = 5_000

/** A lab for `testSource` over an agent; what `starts` says can be done to it. */
export const consulSourceLab = async (
  instance: ConsulInstance,
  starts: readonly RegistryStart[] = ['empty'],
): Promise<SourceLab> => {
  const hand = consulHand(instance.url)
  const proxy = await troubleProxy(instance, () => systemClock.now())
  const faults: RegistryFaults = {
    starts,
    async kill() {
      await instance.kill()
      return (as) => instance.start(as)
    },
    ...(starts.includes('saved') ? { save: () => instance.save() } : {}),
    async pause() {
      instance.pause()
      return async () => instance.resume()
    },
    async freeze() {
      proxy.frozen = true
      return async () => {
        proxy.frozen = false
        proxy.cut()
      }
    },
    async cut() {
      proxy.cut()
    },
    async slow(ms) {
      proxy.slowMs = ms
      return async () => {
        proxy.slowMs = 0
      }
    },
    async garble() {
      const texts = ['<!doctype html><h1>Sign in</h1>', '[{"Node":', '', '{"Service":{}}']
      proxy.garbled = texts[names % texts.length]
      return async () => {
        proxy.garbled = undefined
      }
    },
  }
  return {
    traits: {
      states: ['ready', 'down'],
      weights: true,
      zones: true,
      metadata: true,
      unknown: 'empty',
      emptied: 'empty',
      // After a burst of changes one question a second.
      seesChangeWithinMs: 1_500,
      seesSilenceWithinMs: (WAIT_MS * 17) / 16 + SOURCE_TIMEOUT_MS,
      recoversWithinMs: 30_000,
    },
    source: () => consulSource({ url: proxy.url, waitMs: WAIT_MS, timeoutMs: SOURCE_TIMEOUT_MS }),
    announce: (service, endpoints) => hand.announce(service, endpoints),
    async spoil(service) {
      const entry = { ID: 'no-port', Service: service, Address: '10.9.9.9' }
      await hand.ask('PUT', '/catalog/register', { Node: 'spoilt', Address: '10.0.0.2', Service: entry })
    },
    faults,
    openThings: () => proxy.connections,
    questions: () => proxy.questions,
    service: serviceName,
    close: () => proxy.close(),
  }
}

const TTL_MS = 1_500

/** A lab for `testRegistrar` over an agent. */
export const consulRegistrarLab = async (
  instance: ConsulInstance,
  starts: readonly RegistryStart[] = ['empty'],
): Promise<RegistrarLab> => {
  const hand = consulHand(instance.url)
  const proxy = await troubleProxy(instance, () => systemClock.now())
  return {
    traits: {
      states: ['ready', 'starting', 'draining', 'down'],
      weights: true,
      priorities: true,
      zones: true,
      metadata: true,
      namedPorts: true,
      ttlMs: TTL_MS,
      expiresLateByMs: 500,
      // An interval, and the answers of a machine that has much to do.
      noticesWithinMs: TTL_MS / 3 + 300,
      // The agent writes into the catalog at once, but not before it has answered.
      seenWithinMs: 500,
      givesUpWithinMs: 10_000,
    },
    registrar: (clock = systemClock) => consulRegistrar({ url: proxy.url, timeoutMs: TIMEOUT_MS, clock }),
    async read(service) {
      return (await hand.entries(service)).flatMap((entry) => foreignRead(entry))
    },
    async expire(_service, id) {
      await hand.ask('PUT', `/agent/service/deregister/${encodeURIComponent(id)}`)
    },
    faults: {
      starts,
      async kill() {
        await instance.kill()
        return (as) => instance.start(as)
      },
      async pause() {
        instance.pause()
        return async () => instance.resume()
      },
      async freeze() {
        proxy.frozen = true
        return async () => {
          proxy.frozen = false
          proxy.cut()
        }
      },
      async cut() {
        proxy.cut()
      },
      async slow(ms) {
        proxy.slowMs = ms
        return async () => {
          proxy.slowMs = 0
        }
      },
    },
    openThings: () => proxy.connections,
    beats: (_service, id) =>
      proxy.asked
        .filter(({ line }) => line === `PUT /v1/agent/check/update/${encodeURIComponent(`service:${id}`)}`)
        .map(({ at }) => at),
    service: serviceName,
    close: () => proxy.close(),
  }
}

// Written anew and not taken from our source: what any client can make of an entry. One that gives no more signs of life is gone.
const foreignRead = ({ Service, Checks }: Json): readonly Endpoint[] => {
  const expired = Checks.some(({ Output }: Json) => /TTL expired/.test(Output))
  if (expired) return []
  const statuses = new Set<string>(Checks.map(({ Status }: Json) => Status))
  const seen = statuses.has('critical') ? 'critical' : statuses.has('warning') ? 'warning' : 'passing'
  const said = Service.Meta['fairlead-state'] ?? 'ready'
  const expected = { ready: 'passing', starting: 'warning', draining: 'critical', down: 'critical' }[said as 'ready']
  // Service and check reach the catalog one after the other: in between it is neither the one nor the other.
  const state = expected === seen ? said : said === 'down' ? 'starting' : 'down'
  const { Meta: meta } = Service
  return [
    {
      id: Service.ID,
      addresses: [{ host: Service.Address, port: Service.Port }],
      weight: Service.Weights.Passing,
      state,
      metadata: meta,
      ...(meta.zone === undefined ? {} : { zone: meta.zone }),
      ...(meta['fairlead-priority'] === undefined ? {} : { priority: Number(meta['fairlead-priority']) }),
      ...(meta['fairlead-ports'] === undefined ? {} : { ports: JSON.parse(meta['fairlead-ports']) }),
    },
  ]
}
