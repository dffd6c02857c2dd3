// Who can write to a registry could send our calls, with our credentials, to this machine or to the metadata service of its cloud: not by default.
import type { Endpoint } from '../core/contracts/source.ts'
import { invalidOption } from '../core/options.ts'
import { readHost } from './entry.ts'
import { type AddressBytes, type AddressRange, inRange, packedIpv4, readAddress, readRange } from './ip-address.ts'

/**
 * Which addresses may be called.
 *
 * - not given: all that a local source says (static, file). Of a remote one (`Source.remote`) all but loopback, unspecified, link-local,
 *   multicast and the metadata addresses of clouds, in every spelling, packed in IPv6 too, and the names that mean them (`localhost`);
 * - `'any'`: all, of every source;
 * - a list: addresses, ranges (`127.0.0.0/8`) and names (`localhost`, `.example.org` for all below) that are allowed besides;
 * - a function: decides alone, for every address of every source. One that throws refuses.
 *
 * Names are judged as names: what they resolve to later is not known here. Where a registry of names cannot be trusted, take a function or a list of networks, or let the network refuse.
 */
export type Allow = 'any' | readonly string[] | ((host: string, endpoint: Endpoint) => boolean)

/** Why a host may not be called; undefined when it may. `strict`: a remote source says so, and nobody vouches for it. */
export type AddressRule = (host: string, strict: boolean, endpoint: Endpoint) => string | undefined

const REFUSED: readonly (readonly [string, readonly string[]])[] = [
  ['an address of this machine', ['127.0.0.0/8', '::1', '0.0.0.0/8', '::']],
  [
    'a metadata service',
    ['169.254.169.254', '100.100.100.200', '192.0.0.192', '168.63.129.16', 'fd00:ec2::254', 'fd20:ce::254'],
  ],
  ['a link-local address', ['169.254.0.0/16', 'fe80::/10']],
  ['a multicast or broadcast address', ['224.0.0.0/4', '255.255.255.255', 'ff00::/8']],
]
const RANGES = REFUSED.flatMap(([why, texts]) => texts.map((text) => ({ why, range: readRange(text) as AddressRange })))

// The same hosts are asked about with every answer of a registry.
const MOST_JUDGED = 20_000

const NAMES: readonly (readonly [string, RegExp])[] = [
  [
    'a name of this machine',
    /^(?:(?:.+\.)?localhost|localhost[46]?(?:\.localdomain[46]?)?|ip6-(?:localhost|loopback))$/,
  ],
  [
    'a metadata service',
    /^(?:metadata(?:\.google\.internal|\.goog|\.tencentyun\.com)?|instance-data(?:\.ec2\.internal)?)$/,
  ],
]

/**
 * The rule of an option.
 * @throws FairleadError INVALID_OPTIONS
 */
export function addressRule(allow: Allow | undefined): AddressRule {
  if (allow === 'any') return () => undefined
  if (typeof allow === 'function') return byFunction(allow)
  if (allow !== undefined && !Array.isArray(allow))
    throw invalidOption('allow', allow, "give 'any', a list of addresses, ranges and names, or a function")
  const besides = (allow ?? []).map(readAllowed)
  const judged = new Map<string, string | undefined>()
  return (host, strict) => {
    if (!strict) return undefined
    if (judged.has(host)) return judged.get(host)
    const refused = refusedAddress(host)
    const verdict = refused === undefined || besides.some((each) => each(host)) ? undefined : refused
    if (judged.size >= MOST_JUDGED) judged.clear()
    judged.set(host, verdict)
    return verdict
  }
}

/**
 * Why a host, as written, is not called for a remote registry by default; undefined when it is. Of use where names have been resolved, too.
 * @example refusedAddress('0x7f.1') // 'an address of this machine, not allowed from a remote registry'
 */
export function refusedAddress(host: string): string | undefined {
  const address = readAddress(host)
  if (address === 'odd') return 'an address in an odd spelling, not allowed from a remote registry'
  const why = address === 'name' ? whyName(host) : (whyAddress(address) ?? whyPacked(address))
  return why === undefined ? undefined : `${why}, not allowed from a remote registry`
}

function whyName(host: string): string | undefined {
  const name = plainName(host)
  return NAMES.find(([, pattern]) => pattern.test(name))?.[0]
}

function whyAddress(address: AddressBytes): string | undefined {
  return RANGES.find(({ range }) => inRange(address, range))?.why
}

function whyPacked(address: AddressBytes): string | undefined {
  const packed = packedIpv4(address)
  return packed === undefined ? undefined : whyAddress(packed)
}

function byFunction(allow: (host: string, endpoint: Endpoint) => boolean): AddressRule {
  return (host, _strict, endpoint) => {
    let allowed = false
    try {
      allowed = allow(host, endpoint) === true
    } catch {
      // Refused: a rule that is broken must not let in what it was made against.
    }
    return allowed ? undefined : 'refused by the function allow'
  }
}

function readAllowed(text: unknown): (host: string) => boolean {
  const fix = "give addresses, ranges such as '127.0.0.0/8', and names such as 'localhost' or '.example.org'"
  if (typeof text !== 'string') throw invalidOption('allow', text, fix)
  const range = readRange(text)
  if (range !== undefined)
    return (host) => {
      const address = readAddress(host)
      return typeof address !== 'string' && inRange(address, range)
    }
  const below = text.startsWith('.')
  const name = plainName(below ? text.slice(1) : text)
  if (readHost(name) === undefined || readAddress(name) !== 'name') throw invalidOption('allow', text, fix)
  return below ? (host) => plainName(host).endsWith(`.${name}`) : (host) => plainName(host) === name
}

function plainName(host: string): string {
  const name = host.toLowerCase()
  return name.endsWith('.') ? name.slice(0, -1) : name
}
