// A list of endpoints that is known beforehand: for tests, small set-ups, and addresses that are given in the environment.
import type { Endpoint, Source } from '../core/contracts/source.ts'
import { invalidOption } from '../core/options.ts'

/** Who serves what: endpoints, or their `host:port` (also `http://host:port`, `https://host:port`, `[::1]:80`). */
export type StaticServices = Readonly<Record<string, readonly (Endpoint | string)[]>>

/** A source whose list can be replaced: for tests, and for those who learn of changes by themselves. */
export interface StaticSource extends Source {
  /** Replaces the endpoints of one service and tells the watchers. Undefined makes the service absent. */
  set(service: string, endpoints: readonly (Endpoint | string)[] | undefined): void
}

/**
 * A source that gives a fixed list.
 * @throws FairleadError INVALID_OPTIONS for an address that is none
 * @example staticSource({ inventory: ['127.0.0.1:8081', '127.0.0.1:8082'] })
 */
export function staticSource(services: StaticServices): StaticSource {
  const known = new Map<string, readonly Endpoint[]>()
  for (const [service, endpoints] of Object.entries(services)) known.set(service, endpointsOf(service, endpoints))
  const watchers = new Map<string, Set<() => void>>()
  return {
    name: 'static',
    watch(service, sink) {
      const tell = (): void => {
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
  return given.map((each) => endpointOf(service, each))
}

function endpointOf(service: string, given: Endpoint | string): Endpoint {
  if (typeof given !== 'string') return given
  const fix = 'give host:port, or http://host:port, or https://host:port'
  let url: URL
  try {
    url = new URL(given.includes('://') ? given : `http://${given}`)
  } catch {
    throw invalidOption(`staticSource.${service}`, given, fix)
  }
  const secure = url.protocol === 'https:'
  const port = url.port === '' ? (given.includes('://') ? (secure ? 443 : 80) : portOf(given)) : Number(url.port)
  if (
    (!secure && url.protocol !== 'http:') ||
    port === undefined ||
    url.pathname !== '/' ||
    url.username !== '' ||
    url.search !== ''
  )
    throw invalidOption(`staticSource.${service}`, given, fix)
  const host = url.hostname.startsWith('[') ? url.hostname.slice(1, -1) : url.hostname
  return { id: `${url.hostname}:${port}`, addresses: [{ host, port }], ...(secure ? { secure } : {}) }
}

// A URL drops the port that its scheme implies, so `host:80` has to be looked at as text.
function portOf(given: string): number | undefined {
  return given.endsWith(':80') ? 80 : undefined
}
