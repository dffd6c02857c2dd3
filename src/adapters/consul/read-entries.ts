// Reads the answer of /v1/health/service: one entry an instance, with its node and its checks. Odd entries are left out and counted.
import type { Endpoint } from '../../core/contracts/source.ts'
import { readHost, readName, readPort, readWeight } from '../../discovery/entry.ts'
import {
  ADDRESS_MARK,
  HOSTNAME_MARK,
  ID_MARK,
  isMark,
  PORTS_MARK,
  PRIORITY_MARK,
  PROCESS_MARK,
  SECURE_MARK,
  STATE_MARK,
  WEIGHT_MARK,
} from './marks.ts'

/** How entries are read. */
export interface ReadingRules {
  /** Only those whose checks all pass; else also those with a warning. */
  readonly passing: boolean
  /** The name of a tagged address that is preferred where there is one: `wan`. */
  readonly taggedAddress: string | undefined
  /** The name in the meta of the service, then of the node, that says the zone. */
  readonly zoneMeta: string
}

/** What was read. */
export interface Reading {
  readonly endpoints: readonly Endpoint[]
  /** How many entries are no endpoints, by reason. */
  readonly leftOut: ReadonlyMap<string, number>
  /** Not one could be read, and that was not for their checks or for want of a port: the answer says nothing of who is there. */
  readonly nothing: boolean
}

// Who has no port is there, only not to be called.
const UNREADABLE: readonly string[] = ['no id', 'no address', 'no checks']

type Fields = Readonly<Record<string, unknown>>

const fields = (value: unknown): Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {}
const text = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined)
// Go writes null for none; one thing where a list is due is a list of one, so that a single check is not taken for no check.
const list = (value: unknown): readonly unknown[] =>
  value === undefined || value === null ? [] : Array.isArray(value) ? value : [value]

/** Reads all entries. They come back in the order of their ids, so that equal answers are equal. */
export function readEntries(entries: readonly unknown[], rules: ReadingRules): Reading {
  const endpoints = new Map<string, Endpoint>()
  const leftOut = new Map<string, number>()
  const refuse = (why: string): void => void leftOut.set(why, (leftOut.get(why) ?? 0) + 1)
  for (const entry of entries) {
    const read = readEntry(fields(entry), rules)
    if (read === undefined) continue
    if (typeof read === 'string') refuse(read)
    else if (endpoints.has(read.id)) refuse('an id that is there already')
    else endpoints.set(read.id, read)
  }
  return {
    endpoints: [...endpoints.values()].sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0)),
    leftOut,
    nothing: endpoints.size === 0 && UNREADABLE.some((why) => leftOut.has(why)),
  }
}

// Undefined: it is not to be called, which is nothing to talk about.
function readEntry(entry: Fields, rules: ReadingRules): Endpoint | string | undefined {
  const node = fields(entry['Node'])
  const service = fields(entry['Service'])
  const meta = fields(service['Meta'])
  const serviceId = text(service['ID']) ?? text(service['Service'])
  if (serviceId === undefined) return 'no id'
  const checks = list(entry['Checks'])
  if (checks.some((check) => typeof check !== 'object' || check === null)) return 'no checks'
  const standing = standingOf(checks.map(fields), meta, rules.passing)
  if (standing === undefined) return undefined
  const addresses = readAddresses(service, node, rules.taggedAddress)
  if (typeof addresses === 'string') return addresses
  const weights = fields(service['Weights'])
  const weight = readWeight(meta[WEIGHT_MARK]) ?? readWeight(weights[standing.warned ? 'Warning' : 'Passing'])
  const zone =
    text(fields(service['Locality'])['Zone']) ??
    text(meta[rules.zoneMeta]) ??
    text(fields(node['Locality'])['Zone']) ??
    text(fields(node['Meta'])[rules.zoneMeta])
  const hostname = readName(meta[HOSTNAME_MARK])
  const priority = readWeight(meta[PRIORITY_MARK])
  const ports = readPorts(meta[PORTS_MARK])
  return {
    // Consul's ids are unique on their node only, and many people give the same one everywhere.
    id: text(meta[ID_MARK]) ?? `${text(node['Node']) ?? text(node['ID']) ?? ''}/${serviceId}`,
    addresses,
    ...(ports === undefined ? {} : { ports }),
    ...(hostname === undefined ? {} : { hostname }),
    ...(meta[SECURE_MARK] === undefined ? {} : { secure: meta[SECURE_MARK] === 'true' }),
    ...(weight === undefined || weight === 1 ? {} : { weight }),
    ...(priority === undefined ? {} : { priority }),
    ...(zone === undefined ? {} : { zone }),
    ...(standing.state === 'ready' ? {} : { state: standing.state }),
    metadata: metadataOf(service, node, meta),
  }
}

// ---- health ----

interface Standing {
  readonly state: NonNullable<Endpoint['state']>
  readonly warned: boolean
}

// What Consul writes before the last output when no sign of life came in time.
const EXPIRED = 'TTL expired'

// Who is said to be down, by an operator or by itself, is given as such. Who is merely critical is left out: when a part of the network falls
// off Consul, all of it turns critical at once, and only those who are missing are held by the guard against mass loss.
function standingOf(checks: readonly Fields[], meta: Fields, passing: boolean): Standing | undefined {
  const bad = checks.filter((check) => check['Status'] !== 'passing' && check['Status'] !== 'warning')
  const warned = checks.some((check) => check['Status'] === 'warning')
  if (bad.some(({ CheckID: id }) => isMaintenance(id))) return { state: 'down', warned }
  const said = meta[PROCESS_MARK] === undefined ? undefined : meta[STATE_MARK]
  const silent = checks.some(({ Output: output }) => typeof output === 'string' && output.startsWith(EXPIRED))
  if ((said === 'starting' || said === 'draining' || said === 'down') && !silent) {
    // Its own check says the same in Consul's words. Another one that is critical counts, whatever it says of itself.
    const others = bad.filter(({ CheckID: id }) => id !== checkId(meta))
    return others.length > 0 ? undefined : { state: said, warned: false }
  }
  if (bad.length > 0 || (warned && passing)) return undefined
  return { state: 'ready', warned }
}

const isMaintenance = (id: unknown): boolean =>
  id === '_node_maintenance' || (typeof id === 'string' && id.startsWith('_service_maintenance:'))

const checkId = (meta: Fields): string => `service:${String(meta[ID_MARK])}`

// ---- addresses ----

type Addresses = Endpoint['addresses']

function readAddresses(service: Fields, node: Fields, preferred: string | undefined): Addresses | string {
  const tagged = fields(service['TaggedAddresses'])
  const port = service['Port']
  const nodeTagged = fields(node['TaggedAddresses'])
  const first = preferred === undefined ? {} : fields(tagged[preferred])
  const candidates: (readonly [unknown, unknown])[] =
    first['Address'] !== undefined
      ? [[first['Address'], first['Port'] ?? port]]
      : preferred !== undefined && text(service['Address']) === undefined && nodeTagged[preferred] !== undefined
        ? [[nodeTagged[preferred], port]]
        : [[text(service['Address']) ?? node['Address'], port], ...alsoAt(tagged, port)]
  const addresses = new Map<string, Addresses[number]>()
  let why = 'no address'
  for (const [host, number] of candidates) {
    const at = { host: readHost(host), port: readPort(number) }
    if (at.host === undefined) continue
    if (at.port === undefined) why = 'no port'
    else addresses.set(`${at.host} ${at.port}`, { host: at.host, port: at.port })
  }
  return addresses.size === 0 ? why : [...addresses.values()]
}

// The other family of the same instance, and what our registrar wrote.
function alsoAt(tagged: Fields, port: unknown): (readonly [unknown, unknown])[] {
  const names = ['lan_ipv4', 'lan_ipv6']
  for (let index = 1; tagged[`${ADDRESS_MARK}${index}`] !== undefined; index++) names.push(`${ADDRESS_MARK}${index}`)
  return names
    .filter((name) => tagged[name] !== undefined)
    .map((name) => [fields(tagged[name])['Address'], fields(tagged[name])['Port'] ?? port] as const)
}

// ---- the rest ----

function readPorts(value: unknown): Readonly<Record<string, number>> | undefined {
  if (typeof value !== 'string') return undefined
  try {
    const read = Object.entries(fields(JSON.parse(value)))
      .map(([name, port]) => [name, readPort(port)] as const)
      .filter((each): each is readonly [string, number] => each[1] !== undefined)
    return read.length === 0 ? undefined : Object.fromEntries(read)
  } catch {
    return undefined
  }
}

// Tags of the form key=value count as meta as well: many tools write nothing else. What the meta itself says wins.
function metadataOf(service: Fields, node: Fields, meta: Fields): Readonly<Record<string, string>> {
  const tags = list(service['Tags']).filter((tag): tag is string => typeof tag === 'string')
  const pairs: [string, unknown][] = [
    ['node', node['Node']],
    ['datacenter', node['Datacenter']],
    ['tags', tags.length === 0 ? undefined : tags.join(',')],
    ...tags.filter((tag) => tag.indexOf('=') > 0).map((tag): [string, string] => splitAt(tag, tag.indexOf('='))),
    ...Object.entries(meta).filter(([name]) => !isMark(name)),
  ]
  return Object.fromEntries(pairs.filter((pair): pair is [string, string] => typeof pair[1] === 'string'))
}

const splitAt = (tag: string, at: number): [string, string] => [tag.slice(0, at), tag.slice(at + 1)]
