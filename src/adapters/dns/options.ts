// What a DNS source is told: which names, which servers, how much of what they say is believed. Checked once, when it is made.
import { isIP } from 'node:net'
import { type Clock, type Random, systemClock, systemRandom } from '../../core/clock.ts'
import { countOption, durationOption, invalidOption, knownOptions } from '../../core/options.ts'
import { readHost, readPort } from '../../discovery/entry.ts'

/** One A or AAAA record. `ttl` is in seconds. */
export interface DnsAddress {
  readonly address: string
  readonly ttl: number
}

/** One SRV record (RFC 2782), as Node gives it: without a TTL, and a target of `.` as an empty name. */
export interface DnsService {
  readonly name: string
  readonly port: number
  readonly priority: number
  readonly weight: number
}

/** What is used of a resolver: `new dns.promises.Resolver()` is one. Rejects with an error whose `code` is `ENOTFOUND` for NXDOMAIN and `ENODATA` for no such record. */
export interface DnsResolver {
  resolve4(name: string, options: { readonly ttl: true }): Promise<readonly DnsAddress[]>
  resolve6(name: string, options: { readonly ttl: true }): Promise<readonly DnsAddress[]>
  resolveSrv(name: string): Promise<readonly DnsService[]>
}

/** What is used of `dns.promises.lookup`. */
export type DnsLookup = (
  name: string,
  options: { readonly all: true },
) => Promise<readonly { readonly address: string; readonly family: number }[]>

/** Options of `dnsSource`. Durations are milliseconds. */
export interface DnsSourceOptions {
  /**
   * The DNS name of a service: a template (`'{service}.prod.svc.cluster.local'`), a table, or a function; each may end in `:port`.
   * Default: the service's own name. A name that ends in a dot is absolute; an IP address is taken as it is.
   */
  readonly names?: string | Readonly<Record<string, string>> | ((service: string) => string) | undefined
  /**
   * Which records. `auto`: SRV for `_port._proto` names and for names without a port, else A and AAAA. Default `auto`.
   */
  readonly type?: 'auto' | 'address' | 'srv' | undefined
  /** The port behind A and AAAA records, unless the name says one. SRV records have their own. */
  readonly port?: number | undefined
  /** The endpoints speak TLS. Default false. */
  readonly secure?: boolean | undefined
  /**
   * Which addresses. `auto`: both are asked for, and a family that this machine has no address of is left out where the other
   * one is there (as AI_ADDRCONFIG of getaddrinfo). Default `auto`.
   */
  readonly family?: 'auto' | 'both' | 4 | 6 | undefined
  /** The servers to ask, `ip` or `ip:port`. Default: the system's. */
  readonly servers?: readonly string[] | undefined
  /** A resolver to ask, in place of one of our own. It is never closed, and what is asked of it cannot be broken off. */
  readonly resolver?: DnsResolver | undefined
  /** Suffixes to try. Default: those of `/etc/resolv.conf`; none where `servers` or `resolver` are given. */
  readonly search?: readonly string[] | undefined
  /** A name with so many dots is tried as it stands before the suffixes are. Default: as `/etc/resolv.conf` says, or 1. */
  readonly ndots?: number | undefined
  /**
   * The system's own look-up (hosts file, mDNS), asked when DNS knows no such name; false: never.
   * Default: `dns.promises.lookup`, and false where `servers` or `resolver` are given.
   */
  readonly lookup?: DnsLookup | false | undefined
  /** An answer is used for at least so long, whatever its TTL: a TTL of 0 must not become a hot loop. Default 1000. */
  readonly minTtlMs?: number | undefined
  /** An answer is asked for again after so long, whatever its TTL (Docker says 600 s). Default 30000. */
  readonly maxTtlMs?: number | undefined
  /** How long one question may take, with all tries and servers. Default 3000. */
  readonly timeoutMs?: number | undefined
  /** That a known name is gone (NXDOMAIN) or empty is believed after so many such answers in a row. Default 3. */
  readonly absentAfter?: number | undefined
  /** Time. Default: the system's. */
  readonly clock?: Clock | undefined
  /** Chance. Default: the system's. */
  readonly random?: Random | undefined
}

/** Options, checked and with their defaults. */
export interface DnsSettings {
  readonly names: (service: string) => unknown
  readonly type: 'auto' | 'address' | 'srv'
  readonly port: number | undefined
  readonly secure: boolean
  readonly family: 'auto' | 'both' | 4 | 6
  readonly servers: readonly string[] | undefined
  readonly resolver: DnsResolver | undefined
  readonly search: readonly string[] | undefined
  readonly ndots: number | undefined
  readonly lookup: DnsLookup | boolean
  readonly minTtlMs: number
  readonly maxTtlMs: number
  readonly timeoutMs: number
  readonly absentAfter: number
  readonly clock: Clock
  readonly random: Random
}

const OPTIONS: readonly (keyof DnsSourceOptions)[] = [
  'names',
  'type',
  'port',
  'secure',
  'family',
  'servers',
  'resolver',
  'search',
  'ndots',
  'lookup',
  'minTtlMs',
  'maxTtlMs',
  'timeoutMs',
  'absentAfter',
  'clock',
  'random',
]

/** @throws FairleadError INVALID_OPTIONS */
export function dnsSettings(options: DnsSourceOptions): DnsSettings {
  knownOptions('dnsSource', options, OPTIONS)
  const { resolver, servers, lookup } = options
  if (resolver !== undefined && typeof resolver?.resolve4 !== 'function')
    throw invalidOption('resolver', resolver, 'give a resolver such as new dns.promises.Resolver()')
  if (resolver !== undefined && servers !== undefined)
    throw invalidOption('servers', servers, 'the resolver that is given has its own: leave out one of the two')
  if (servers !== undefined && (!Array.isArray(servers) || servers.length === 0 || !servers.every(isServer)))
    throw invalidOption('servers', servers, "give a list of IP addresses, such as ['10.0.0.2', '10.0.0.3:5353']")
  const minTtlMs = durationOption('minTtlMs', options.minTtlMs, 1_000)
  const maxTtlMs = durationOption('maxTtlMs', options.maxTtlMs, Math.max(30_000, minTtlMs))
  if (maxTtlMs < minTtlMs) throw invalidOption('maxTtlMs', maxTtlMs, `give at least minTtlMs, which is ${minTtlMs}`)
  if (lookup !== undefined && lookup !== false && typeof lookup !== 'function')
    throw invalidOption('lookup', lookup, 'give a function such as dns.promises.lookup, or false')
  const ownServers = resolver !== undefined || servers !== undefined
  return {
    names: namesOption(options.names),
    type: oneOf('type', options.type, ['auto', 'address', 'srv']),
    port: options.port === undefined ? undefined : portOption(options.port),
    secure: options.secure === true,
    family: oneOf('family', options.family, ['auto', 'both', 4, 6]),
    servers,
    resolver,
    search: searchOption(options.search) ?? (ownServers ? [] : undefined),
    ndots: options.ndots === undefined ? (ownServers ? 1 : undefined) : countOption('ndots', options.ndots, 1, 0),
    lookup: lookup ?? !ownServers,
    minTtlMs,
    maxTtlMs,
    timeoutMs: durationOption('timeoutMs', options.timeoutMs, 3_000),
    absentAfter: countOption('absentAfter', options.absentAfter, 3),
    clock: options.clock ?? systemClock,
    random: options.random ?? systemRandom,
  }
}

function namesOption(names: DnsSourceOptions['names']): (service: string) => unknown {
  if (names === undefined) return (service) => service
  if (typeof names === 'function') return names
  // Never by `replace`: a `$` in a name of a service would mean something.
  if (typeof names === 'string') return (service) => names.split('{service}').join(service)
  if (typeof names === 'object' && names !== null && !Array.isArray(names))
    return (service) => (Object.hasOwn(names, service) ? names[service] : service)
  throw invalidOption(
    'names',
    names,
    "give a template such as '{service}.prod.svc.cluster.local', a table or a function",
  )
}

function oneOf<T extends string | number>(option: string, value: T | undefined, known: readonly [T, ...T[]]): T {
  if (value === undefined) return known[0]
  if (!known.includes(value)) throw invalidOption(option, value, `give one of ${known.join(', ')}`)
  return value
}

function portOption(value: number): number {
  const port = typeof value === 'number' ? readPort(value) : undefined
  if (port === undefined) throw invalidOption('port', value, 'give a port from 1 to 65535')
  return port
}

function searchOption(search: readonly string[] | undefined): readonly string[] | undefined {
  if (search === undefined) return undefined
  const bad = (each: unknown): boolean => readHost(each) === undefined || isIP(each as string) !== 0
  if (!Array.isArray(search) || search.some(bad))
    throw invalidOption('search', search, "give a list of domains, such as ['prod.svc.cluster.local']")
  return search
}

function isServer(text: unknown): boolean {
  if (typeof text !== 'string') return false
  if (isIP(text) !== 0) return true
  const [, host = '', port] = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(text)?.filter((part) => part !== undefined) ?? []
  return isIP(host) !== 0 && readPort(port) !== undefined
}
