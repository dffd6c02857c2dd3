// An endpoint as anybody may have written it, read with care: what cannot be called is refused, what is merely odd is mended and said.
import type { Endpoint } from '../core/contracts/source.ts'
import { fitsUrl, readHost, readName, readPort, readWeight } from './entry.ts'
import { readAddress } from './ip-address.ts'

/** An endpoint, or why it is none. */
export type EndpointReading = { readonly endpoint: Endpoint } | { readonly refused: string }

/** Hears what was mended. */
export type FlawListener = (flaw: string) => void

const STATES = ['ready', 'starting', 'draining', 'down']
// Sums of weights must stay numbers; no registry has more.
const MOST_WEIGHT = 1_000_000
const MOST_ADDRESSES = 64
const LONGEST_ID = 1_024

/**
 * Reads one endpoint. The result is a copy with the fields of `Endpoint` and no others.
 * Mended, and told to `onFlaw`: a weight or priority that is none (as if not given), single addresses that are none and a hostname that is an
 * address (left out).
 */
export function readEndpoint(given: unknown, onFlaw: FlawListener = ignore): EndpointReading {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) return { refused: 'no endpoint' }
  const { id, addresses, hostname, secure, weight, priority, zone, state, ports, metadata } = given as Record<
    string,
    unknown
  >
  if (typeof id !== 'string' || id === '' || id.length > LONGEST_ID) return { refused: 'no id' }
  const read = readAddresses(addresses, onFlaw)
  if (read.length === 0) return { refused: 'no address' }
  if (state !== undefined && !STATES.includes(state as string)) return { refused: 'no such state' }
  // It goes into Host and SNI: another name would be another server.
  const name = hostname === undefined ? undefined : readName(hostname)
  if (hostname !== undefined && name === undefined) {
    // An address names nobody, and whoever connects by it goes there, whatever was said of `addresses`.
    if (!isAddress(hostname)) return { refused: 'bad hostname' }
    onFlaw('the hostname is an address, left out')
  }
  const share = weight === undefined ? undefined : readWeight(weight)
  if (weight !== undefined && share === undefined) onFlaw('bad weight, taken as 1')
  const rank = typeof priority === 'number' && Number.isFinite(priority) ? priority : undefined
  if (priority !== undefined && rank === undefined) onFlaw('bad priority, taken as 0')
  const named = readPorts(ports)
  const facts = readMetadata(metadata)
  // Field by field: there may be thousands, many times a minute.
  const endpoint: { -readonly [Field in keyof Endpoint]: Endpoint[Field] } = { id, addresses: read }
  if (named !== undefined) endpoint.ports = named
  if (name !== undefined) endpoint.hostname = name
  if (typeof secure === 'boolean') endpoint.secure = secure
  if (share !== undefined) endpoint.weight = Math.min(share, MOST_WEIGHT)
  if (rank !== undefined) endpoint.priority = rank
  if (typeof zone === 'string' && zone !== '') endpoint.zone = zone
  if (state !== undefined) endpoint.state = state as NonNullable<Endpoint['state']>
  if (facts !== undefined) endpoint.metadata = facts
  return { endpoint }
}

function readAddresses(given: unknown, onFlaw: FlawListener): Endpoint['addresses'] {
  if (!Array.isArray(given)) return []
  const read: { host: string; port: number }[] = []
  for (const each of given.slice(0, MOST_ADDRESSES) as unknown[]) {
    const { host, port } = (typeof each === 'object' && each !== null ? each : {}) as Record<string, unknown>
    const at = { host: readHost(host), port: readPort(port) }
    if (at.host === undefined || !fitsUrl(at.host)) onFlaw('bad host, address left out')
    else if (at.port === undefined) onFlaw('bad port, address left out')
    else read.push({ host: at.host, port: at.port })
  }
  return read
}

function isAddress(hostname: unknown): boolean {
  const host = readHost(hostname)
  return host !== undefined && Array.isArray(readAddress(host))
}

function readPorts(given: unknown): Readonly<Record<string, number>> | undefined {
  if (typeof given !== 'object' || given === null) return undefined
  const read = Object.entries(given)
    .map(([name, port]) => [name, readPort(port)] as const)
    .filter((each): each is readonly [string, number] => each[1] !== undefined)
  return read.length === 0 ? undefined : Object.fromEntries(read)
}

function readMetadata(given: unknown): Readonly<Record<string, string>> | undefined {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) return undefined
  const read = Object.entries(given).filter((each): each is [string, string] => typeof each[1] === 'string')
  return read.length === 0 ? undefined : Object.fromEntries(read)
}

function ignore(): void {}
