// Endpoints as the suites make and compare them: by what the registry can express, and nothing else.
import type { Endpoint } from '../../core/contracts/source.ts'
import type { RegistryTraits } from './types.ts'

/** What is looked at when endpoints are compared. */
export interface Looks extends RegistryTraits {
  readonly ids: boolean
  readonly ports: boolean
}

/** The n-th address of a case, private and no loopback: registries refuse those. */
export function addressOf(index: number): { readonly host: string; readonly port: number } {
  return {
    host: `10.${20 + Math.floor(index / 62_500)}.${Math.floor(index / 250) % 250}.${1 + (index % 250)}`,
    port: 8_080,
  }
}

/** One line for an endpoint: equal lines, equal endpoints as far as this registry can tell. Metadata and named ports: those that `as` has. */
export function lineOf(endpoint: Endpoint, looks: Looks, as: Endpoint = endpoint): string {
  const first = endpoint.addresses[0]
  const parts = [
    looks.ids ? endpoint.id : '',
    looks.ports ? `${first?.host}:${first?.port}` : `${first?.host}`,
    endpoint.state ?? 'ready',
  ]
  if (looks.weights === true) parts.push(`weight ${endpoint.weight ?? 1}`)
  if (looks.priorities === true) parts.push(`priority ${endpoint.priority ?? 0}`)
  if (looks.zones === true) parts.push(`zone ${endpoint.zone ?? '-'}`)
  if (looks.metadata === true) parts.push(chosen(endpoint.metadata, as.metadata))
  if (looks.namedPorts === true) parts.push(chosen(endpoint.ports, as.ports))
  return parts.join(' ')
}

// Registries add names of their own; those are no business of the suite.
function chosen(all: Readonly<Record<string, unknown>> = {}, names: Readonly<Record<string, unknown>> = {}): string {
  return JSON.stringify(
    Object.keys(names)
      .sort()
      .map((name) => [name, Object.hasOwn(all, name) ? all[name] : null]),
  )
}

/** Whether two sets are the same; the order does not count. */
export function sameSet(told: readonly Endpoint[], expected: readonly Endpoint[], looks: Looks): boolean {
  if (told.length !== expected.length) return false
  const key = (endpoint: Endpoint): string =>
    lineOf(endpoint, { ids: looks.ids, ports: looks.ports }).split(' ', 2).join(' ')
  const byKey = new Map(told.map((endpoint) => [key(endpoint), endpoint]))
  return (
    byKey.size === expected.length &&
    expected.every((endpoint) => {
      const found = byKey.get(key(endpoint))
      return found !== undefined && lineOf(found, looks, endpoint) === lineOf(endpoint, looks)
    })
  )
}

/** What is wrong with an endpoint by itself; undefined: nothing. */
export function faultOf({ id, addresses, ports, weight, priority, state }: Endpoint): string | undefined {
  if (typeof id !== 'string' || id === '') return `an id that is none: ${String(id)}`
  if (addresses.length === 0) return `${id} has no address`
  for (const { host, port } of addresses) {
    if (typeof host !== 'string' || host === '' || /[\s/@]/.test(host)) return `${id} has a host that is none: ${host}`
    if (!isPort(port)) return `${id} has a port that is none: ${String(port)}`
  }
  for (const [name, port] of Object.entries(ports ?? {}))
    if (!isPort(port)) return `${id} has a port ${name} that is none: ${String(port)}`
  if (weight !== undefined && !(Number.isFinite(weight) && weight >= 0)) return `${id} has a weight of ${weight}`
  if (priority !== undefined && !(Number.isInteger(priority) && priority >= 0))
    return `${id} has a priority of ${priority}`
  if (state !== undefined && !['ready', 'starting', 'draining', 'down'].includes(state))
    return `${id} has a state that is none: ${String(state)}`
  return undefined
}

const isPort = (port: unknown): boolean =>
  typeof port === 'number' && Number.isInteger(port) && port >= 1 && port <= 65_535

/** A few endpoints in words. */
export function some(endpoints: readonly Endpoint[], looks: Looks): string {
  const shown = endpoints.slice(0, 5).map((each) => lineOf(each, looks).trim())
  return `${endpoints.length} [${shown.join(' | ')}${endpoints.length > 5 ? ' | ...' : ''}]`
}
