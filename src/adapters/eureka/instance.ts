// An instance of Eureka as an endpoint.
import type { Endpoint } from '../../core/contracts/source.ts'
import { readHost, readName, readPort, readWeight } from '../../discovery/entry.ts'
import { createError } from '../../errors/classes.ts'
import { datacenterOf, type EurekaInstance, idOf, metadataOf, objectOf, statusOf, textOf } from './wire.ts'

/** How instances become endpoints. */
export interface InstanceChoices {
  /** True: the secure port, and nobody without one. False: the plain port, and nobody without one. Undefined: plain, else secure. */
  readonly secure: boolean | undefined
  /** Which of the two ways to an instance is tried first. */
  readonly prefer: 'host' | 'ip'
}

/** An endpoint, or why an instance is none. */
export type Reading = { readonly endpoint: Endpoint } | { readonly refused: string }

/** Metadata of our registrar that is for ourselves; it is not shown to users. */
export const OWN_METADATA = 'fairlead-'
export const TOKEN_METADATA = 'fairlead-token'
export const HOSTNAME_METADATA = 'fairlead-hostname'

/** A named port in the metadata: `management.port`, as Spring Boot writes it. */
export const PORT_METADATA = '.port'

// OUT_OF_SERVICE is how Eureka takes an instance out of traffic while it runs on: before it is stopped, or as the old half of a
// deployment, kept for the way back. Where nobody else is ready it is better than nobody; for "never" Eureka has DOWN.
const STATES: Readonly<Record<string, NonNullable<Endpoint['state']>>> = {
  UP: 'ready',
  STARTING: 'starting',
  OUT_OF_SERVICE: 'draining',
  DOWN: 'down',
}

const NO_HOST = 'no host'

/** What an instance says of itself. `id` is given by the caller: it is unique within an application only. */
export function readEndpoint(instance: EurekaInstance, id: string, choices: InstanceChoices): Reading {
  const way = portOf(instance, choices.secure)
  if (typeof way === 'string') return { refused: way }
  const hostName = readHost(instance['hostName'])
  const ip = readHost(instance['ipAddr'])
  const hosts = (choices.prefer === 'ip' ? [ip, hostName] : [hostName, ip]).filter((host) => host !== undefined)
  if (hosts.length === 0) return { refused: NO_HOST }
  const metadata = metadataOf(instance)
  const shown = Object.entries(metadata).filter(([name]) => !name.startsWith(OWN_METADATA))
  const ports = shown.flatMap(([name, value]) => {
    const port = name.endsWith(PORT_METADATA) && name !== PORT_METADATA ? readPort(value) : undefined
    return port === undefined ? [] : [[name.slice(0, -PORT_METADATA.length), port] as const]
  })
  const hostname = readName(metadata[HOSTNAME_METADATA]) ?? readName(hostName)
  const weight = readWeight(metadata['weight'])
  const zone = textOf(metadata['zone']) ?? textOf(datacenterOf(instance)['availability-zone'])
  return {
    endpoint: {
      id,
      addresses: [...new Set(hosts)].map((host) => ({ host, port: way.port })),
      ...(ports.length === 0 ? {} : { ports: Object.fromEntries(ports) }),
      ...(hostname === undefined ? {} : { hostname }),
      ...(way.secure ? { secure: true } : {}),
      ...(weight === undefined ? {} : { weight }),
      ...(zone === undefined ? {} : { zone }),
      state: STATES[statusOf(instance).toUpperCase()] ?? 'down',
      ...(shown.length === 0 ? {} : { metadata: Object.fromEntries(shown) }),
    },
  }
}

/**
 * All instances of one service; those that are no endpoints are left out and told.
 * @throws FairleadError REPLY_INVALID when there are instances and none that can be read
 */
export function readEndpoints(
  instances: readonly { readonly instance: EurekaInstance; readonly prefix: string }[],
  choices: InstanceChoices,
): { readonly endpoints: readonly Endpoint[]; readonly note: string | undefined } {
  const endpoints = new Map<string, Endpoint>()
  const refused: string[] = []
  let unreadable = false
  for (const { instance, prefix } of instances) {
    const own = idOf(instance)
    if (own === undefined) {
      refused.push('no id')
      unreadable = true
      continue
    }
    const id = `${prefix}${own}`
    const reading = readEndpoint(instance, id, choices)
    if ('refused' in reading) {
      refused.push(`${reading.refused}: ${id.slice(0, 80)}`)
      unreadable ||= reading.refused === NO_HOST
    } else if (endpoints.has(id)) refused.push(`twice there: ${id.slice(0, 80)}`)
    else endpoints.set(id, reading.endpoint)
  }
  // Without a port it is only not for us; but where nothing can be read at all, nobody has said that nobody is there.
  if (unreadable && endpoints.size === 0)
    throw createError({
      code: 'REPLY_INVALID',
      message: `not one instance that Eureka answered can be read; ${noteOf(refused)}`,
      stack: false,
    })
  return { endpoints: [...endpoints.values()], note: noteOf(refused) }
}

function noteOf(refused: readonly string[]): string | undefined {
  if (refused.length === 0) return undefined
  const some = refused.slice(0, 3).join(', ')
  return `left out, as no endpoints: ${some}${refused.length > 3 ? ` and ${refused.length - 3} more` : ''}`
}

function portOf(
  instance: EurekaInstance,
  secure: boolean | undefined,
): { readonly port: number; readonly secure: boolean } | string {
  const plain = enabledPort(instance['port'], true)
  const safe = enabledPort(instance['securePort'], false)
  if (secure !== true && plain !== undefined) return { port: plain, secure: false }
  if (secure !== false && safe !== undefined) return { port: safe, secure: true }
  return secure === undefined ? 'no port' : secure ? 'no secure port' : 'no plain port'
}

// `{ "$": 8080, "@enabled": "true" }`, both as texts or not, or a bare number. Without a word the plain port is on and the secure one off.
function enabledPort(value: unknown, byDefault: boolean): number | undefined {
  const told = objectOf(value)
  const enabled = told?.['@enabled']
  const on = enabled === undefined ? byDefault : enabled === true || String(enabled).toLowerCase() === 'true'
  return on ? readPort(told === undefined ? value : told['$']) : undefined
}
