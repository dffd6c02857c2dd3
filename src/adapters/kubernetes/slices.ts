// One EndpointSlice as the API server writes it, read with care, and made into endpoints as far as that goes without its siblings.
import { isIP } from 'node:net'
import type { Endpoint } from '../../core/contracts/source.ts'
import { readHost, readPort } from '../../discovery/entry.ts'
import { fields, list, text } from './answers.ts'

/** A TCP port of a slice. */
export interface SlicePort {
  /** Empty for the only port of a service, which needs no name. */
  readonly name: string
  readonly number: number
  readonly secure: boolean
}

/** One address of a slice. */
export interface SliceEntry {
  readonly host: string
  readonly family: Family
  readonly ports: readonly SlicePort[]
  /** Of the pod: one that is there again under the same address is another one. */
  readonly uid: string | undefined
  readonly state: NonNullable<Endpoint['state']>
  readonly zone: string | undefined
  readonly metadata: Readonly<Record<string, string>>
  /** For whom the cluster wants it to be used; empty without a hint. */
  readonly forZones: readonly string[]
  readonly forNodes: readonly string[]
}

/** `name` for slices of names, which are outside the cluster. */
export type Family = 4 | 6 | 'name'

/** One slice. */
export interface Slice {
  readonly name: string
  readonly uid: string | undefined
  /** Changes with every change; only ever compared for equality. */
  readonly version: string
  readonly entries: readonly SliceEntry[]
  /** Entries that are no endpoints. */
  readonly unreadable: number
}

const FAMILIES: Readonly<Record<string, Family>> = { IPv4: 4, IPv6: 6, FQDN: 'name' }

/** Reads a slice; undefined for what is none. */
export function readSlice(object: unknown): Slice | undefined {
  const slice = fields(object)
  const metadata = fields(slice.metadata)
  const name = text(metadata.name)
  if (name === undefined) return undefined
  const family = FAMILIES[String(slice.addressType)]
  const ports = readPorts(slice.ports)
  const all = list(slice.endpoints)
  const entries: SliceEntry[] = []
  if (family !== undefined)
    for (const each of all) {
      const entry = readEntry(fields(each), family, ports, text(metadata.namespace))
      if (entry !== undefined) entries.push(entry)
    }
  return {
    name,
    uid: text(metadata.uid),
    version: text(metadata.resourceVersion) ?? '',
    entries,
    unreadable: all.length - entries.length,
  }
}

function readPorts(value: unknown): readonly SlicePort[] {
  const ports: SlicePort[] = []
  for (const each of list(value)) {
    const port = fields(each)
    const number = readPort(port.port)
    if (number === undefined || (port.protocol ?? 'TCP') !== 'TCP') continue
    const name = text(port.name) ?? ''
    const secure = port.appProtocol === 'https' || name === 'https' || name.startsWith('https-')
    ports.push({ name, number, secure })
  }
  return ports
}

function readEntry(
  entry: Readonly<Record<string, unknown>>,
  family: Family,
  ports: readonly SlicePort[],
  namespace: string | undefined,
): SliceEntry | undefined {
  // Only the first one means anything; the others are there for older writers.
  const host = readHost(list(entry.addresses)[0])
  if (host === undefined || (family === 'name' ? isIP(host) !== 0 : isIP(host) !== family)) return undefined
  const target = fields(entry.targetRef)
  const hints = fields(entry.hints)
  const metadata: Record<string, string> = {}
  const facts = { namespace, pod: target.kind === 'Pod' ? target.name : undefined, node: entry.nodeName }
  for (const [key, value] of Object.entries(facts)) {
    const known = text(value)
    if (known !== undefined) metadata[key] = known
  }
  return {
    host,
    family,
    ports,
    uid: text(target.uid),
    state: stateOf(fields(entry.conditions)),
    zone: text(entry.zone),
    metadata,
    forZones: names(hints.forZones),
    forNodes: names(hints.forNodes),
  }
}

// Who is not ready gets no calls, as kube-proxy has it; who is leaving and still serves is for when nobody else is left.
function stateOf(conditions: Readonly<Record<string, unknown>>): SliceEntry['state'] {
  // Null is "not known", to be taken for ready. A service that publishes those that are not ready has true here for all.
  if (conditions.ready !== false) return 'ready'
  return conditions.terminating === true && conditions.serving === true ? 'draining' : 'down'
}

function names(value: unknown): readonly string[] {
  const found: string[] = []
  for (const each of list(value)) {
    const name = text(fields(each).name)
    if (name !== undefined) found.push(name)
  }
  return found
}
