// An endpoint as Consul registers it: a service with one check, which lives as long as its process gives signs of life.
import type { Endpoint } from '../../core/contracts/source.ts'
import { invalidOption } from '../../core/options.ts'
import type { RegisteredState } from '../../discovery/keep-registered.ts'
import {
  ADDRESS_MARK,
  HOSTNAME_MARK,
  ID_MARK,
  PORTS_MARK,
  PRIORITY_MARK,
  PROCESS_MARK,
  SECURE_MARK,
  STATE_MARK,
  WEIGHT_MARK,
} from './marks.ts'

/** What is the same in every registration of one endpoint. */
export interface Definition {
  readonly service: string
  readonly endpoint: Endpoint
  readonly tags: readonly string[]
  readonly zoneMeta: string
  readonly process: string
  readonly ttlMs: number
  readonly deregisterAfterMs: number
}

/**
 * How each state looks to everybody else. `draining` is critical, so that all clients leave, those by DNS as well, which are given what only
 * warns; `starting` only warns, so that DNS may use it where nobody is ready, and it is never cleared away.
 */
export const STATUS: Readonly<Record<RegisteredState, 'passing' | 'warning' | 'critical'>> = {
  ready: 'passing',
  starting: 'warning',
  draining: 'critical',
  down: 'critical',
}

/** The id of the one check of an endpoint. */
export const checkIdOf = (endpoint: Endpoint): string => `service:${endpoint.id}`

/**
 * The body of /v1/agent/service/register.
 * @throws FairleadError INVALID_OPTIONS for metadata that Consul does not take
 */
export function definitionOf(definition: Definition, state: RegisteredState): object {
  const { service, endpoint, tags, ttlMs, deregisterAfterMs } = definition
  const [first, ...more] = endpoint.addresses
  if (first === undefined) throw invalidOption('endpoint.addresses', endpoint.addresses, 'give at least one')
  return {
    ID: endpoint.id,
    Name: service,
    Address: first.host,
    Port: first.port,
    Tags: tags,
    Meta: metaOf(definition, state),
    ...(more.length === 0
      ? {}
      : {
          TaggedAddresses: Object.fromEntries(
            more.map(({ host, port }, index) => [`${ADDRESS_MARK}${index + 1}`, { Address: host, Port: port }]),
          ),
        }),
    Weights: { Passing: fits(endpoint.weight) ? (endpoint.weight ?? 1) : rounded(endpoint.weight), Warning: 1 },
    Check: {
      CheckID: checkIdOf(endpoint),
      Name: 'Signs of life of the process',
      TTL: `${Math.ceil(ttlMs)}ms`,
      Status: STATUS[state],
      DeregisterCriticalServiceAfter: `${Math.ceil(deregisterAfterMs)}ms`,
    },
  }
}

// Consul takes whole numbers from 1 to 65535.
const fits = (weight: number | undefined): boolean =>
  weight === undefined || (Number.isInteger(weight) && weight >= 1 && weight <= 65_535)
const rounded = (weight: number | undefined): number => Math.min(Math.max(Math.round(weight ?? 1), 1), 65_535)

const KEY = /^[\w-]{1,128}$/
const LONGEST_VALUE = 512
const MOST_PAIRS = 64

function metaOf(definition: Definition, state: RegisteredState): Record<string, string> {
  const { endpoint, process, zoneMeta } = definition
  const { metadata = {}, zone, secure, priority, hostname, ports, weight } = endpoint
  const meta: Record<string, string> = {
    ...metadata,
    [ID_MARK]: endpoint.id,
    [PROCESS_MARK]: process,
    ...(state === 'ready' ? {} : { [STATE_MARK]: state }),
    ...(zone === undefined ? {} : { [zoneMeta]: zone }),
    ...(secure === undefined ? {} : { [SECURE_MARK]: String(secure) }),
    ...(priority === undefined ? {} : { [PRIORITY_MARK]: String(priority) }),
    ...(hostname === undefined ? {} : { [HOSTNAME_MARK]: hostname }),
    ...(ports === undefined ? {} : { [PORTS_MARK]: JSON.stringify(ports) }),
    ...(fits(weight) ? {} : { [WEIGHT_MARK]: String(weight) }),
  }
  const pairs = Object.entries(meta)
  if (pairs.length > MOST_PAIRS)
    throw invalidOption('endpoint.metadata', metadata, `Consul takes ${MOST_PAIRS} pairs, those of fairlead among them`)
  for (const [name, value] of pairs) {
    if (!KEY.test(name))
      throw invalidOption(`endpoint.metadata.${name}`, value, 'Consul takes names of letters, digits, - and _')
    if (value.length > LONGEST_VALUE)
      throw invalidOption(
        `endpoint.metadata.${name}`,
        value,
        `Consul takes values of at most ${LONGEST_VALUE} characters`,
      )
  }
  return meta
}
