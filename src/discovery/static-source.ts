// A list of endpoints that is known beforehand: for tests, small set-ups, and addresses that are given in the environment.
import type { Endpoint, Source } from '../core/contracts/source.ts'
import { invalidOption } from '../core/options.ts'
import { ADDRESS_TEXT, readAddressText } from './address-text.ts'
import { equalEndpoints } from './endpoint-changes.ts'
import { quietSink } from './quiet-sink.ts'
import { readEndpoint } from './read-endpoint.ts'

/** Who serves what: endpoints, or their `host:port` (also `http://host:port`, `https://host:port`, `[::1]:80`). */
export type StaticServices = Readonly<Record<string, readonly (Endpoint | string)[]>>

/** A source whose list can be replaced: for tests, and for those who learn of changes by themselves. */
export interface StaticSource extends Source {
  /** Replaces the endpoints of one service and tells the watchers. Undefined makes the service absent. */
  set(service: string, endpoints: readonly (Endpoint | string)[] | undefined): void
}

/**
 * A source that gives a fixed list.
 * @throws FairleadError INVALID_OPTIONS for an address that is none, and for an endpoint without id or address, with a bad weight or state, and for two of one id
 * @example staticSource({ inventory: ['127.0.0.1:8081', '127.0.0.1:8082'] })
 */
export function staticSource(services: StaticServices): StaticSource {
  const known = new Map<string, readonly Endpoint[]>()
  for (const [service, endpoints] of Object.entries(services)) known.set(service, endpointsOf(service, endpoints))
  const watchers = new Map<string, Set<() => void>>()
  return {
    name: 'static',
    watch(service, listener) {
      const sink = quietSink(listener)
      const tell = (): void => {
        if (!watchers.get(service)?.has(tell)) return
        const endpoints = known.get(service)
        sink(endpoints === undefined ? { type: 'absent' } : { type: 'snapshot', endpoints })
      }
      let watching = watchers.get(service)
      if (watching === undefined) watchers.set(service, (watching = new Set()))
      watching.add(tell)
      tell()
      return {
        refresh: tell,
        async close() {
          const all = watchers.get(service)
          all?.delete(tell)
          if (all?.size === 0) watchers.delete(service)
        },
      }
    },
    set(service, endpoints) {
      if (endpoints === undefined) known.delete(service)
      else known.set(service, endpointsOf(service, endpoints))
      for (const tell of watchers.get(service) ?? []) tell()
    },
  }
}

function endpointsOf(service: string, given: readonly (Endpoint | string)[]): readonly Endpoint[] {
  if (!Array.isArray(given)) throw invalidOption(`staticSource.${service}`, given, 'give a list of addresses')
  const endpoints = new Map<string, Endpoint>()
  for (const each of given) {
    const endpoint = endpointOf(service, each)
    const same = endpoints.get(endpoint.id)
    if (same === undefined) endpoints.set(endpoint.id, endpoint)
    else if (!equalEndpoints(same, endpoint))
      throw invalidOption(`staticSource.${service}`, endpoint.id, 'two endpoints have this id')
  }
  return [...endpoints.values()]
}

function endpointOf(service: string, given: Endpoint | string): Endpoint {
  const option = `staticSource.${service}`
  if (typeof given === 'string') {
    const endpoint = readAddressText(given)
    if (endpoint === undefined) throw invalidOption(option, given, ADDRESS_TEXT)
    return endpoint
  }
  // Written by hand: what a registry would be forgiven is a mistake here.
  const read = readEndpoint(given, (flaw) => {
    throw invalidOption(option, given, `it has a ${flaw.split(',')[0]}`)
  })
  if ('refused' in read) throw invalidOption(option, given, `it has ${read.refused}`)
  return read.endpoint
}
