// Discovery for clients that only let themselves be told where a name is: node:http, axios, got, pg, ioredis, net.connect.
import type { Lease, Resolver } from '../core/contracts/balancer.ts'
import { lazy } from '../core/lazy.ts'
import { invalidOption, knownOptions } from '../core/options.ts'
import { createError } from '../errors/classes.ts'

/** One address, as Node writes it. */
export interface LookupAddress {
  address: string
  family: 4 | 6
}

/** What is used of the options that Node hands to a look-up. */
export interface LookupRequest {
  readonly family?: number | 'IPv4' | 'IPv6' | undefined
  /** The answer is a list. */
  readonly all?: boolean | undefined
}

/** Hears the answer: a list where `all` was asked for, else an address and its family. */
export type LookupCallback = (error: Error | null, address: string | LookupAddress[], family?: 4 | 6) => void

/** A `net.LookupFunction`, of the shape of `dns.lookup`. */
export type LookupFunction = (hostname: string, options: LookupRequest, callback: LookupCallback) => void

/** Options of `discoveryLookup`. */
export interface DiscoveryLookupOptions {
  /** The service, or how to tell it from the host name. Default: the host name, without `.fairlead` at its end. */
  readonly service?: string | ((hostname: string) => string) | undefined
  /** How addresses that are host names are resolved. Default: `dns.lookup`. */
  readonly lookup?: LookupFunction | undefined
}

const SUFFIX = '.fairlead'

/**
 * A `lookup` function that answers with an endpoint of a service: give it to `http.request`, an `http.Agent`, axios (`lookup`), got (`dnsLookup`),
 * or `net.connect`. The host name of the call is the name of the service, or `<service>.fairlead`.
 *
 * What it cannot do, because it is only asked where to connect:
 * - **It picks for new connections only.** Over a connection that is kept alive (Node's global agent does that) all calls go to the one endpoint it
 *   was opened to, also when others have come, until it is closed: bound the life of connections where that matters, or use
 *   `httpTransport({ discovery })`, which picks for each call.
 * - **The port stays the caller's.** Endpoints on other ports than the one that is dialled cannot be reached: take `resolver.acquire()` and connect to `lease.endpoint`.
 * - **It never hears how the call went**, so the endpoint's figures learn nothing from it, and nothing is ejected: each pick is reported at once as neutral.
 *   `acquire` and `report` by hand do better. None of them is the one call that shows whether an ejected endpoint is well again.
 *
 * All addresses of the endpoint are given to a caller that asks for all (Node tries one after the other).
 * Fails, through the callback, with what `acquire` fails with: NO_ENDPOINT, SHUTDOWN; NAME_NOT_FOUND when the endpoint has no address of the family.
 * @throws FairleadError INVALID_OPTIONS
 * @example http.get('http://inventory.fairlead:8080/stock', { lookup: discoveryLookup(discovery) })
 */
export function discoveryLookup(
  discovery: { resolver(service: string): Pick<Resolver, 'acquire'> },
  options: DiscoveryLookupOptions = {},
): LookupFunction {
  knownOptions('discoveryLookup', options, ['service', 'lookup'])
  if (typeof discovery?.resolver !== 'function')
    throw invalidOption('discovery', discovery, 'give what createDiscovery() has made')
  const { service } = options
  if (service !== undefined && typeof service !== 'function' && (typeof service !== 'string' || service === ''))
    throw invalidOption('service', service, 'give the name of a service, or a function from a host name to it')
  const nameOf = typeof service === 'function' ? service : (hostname: string) => service ?? serviceOf(hostname)
  const system = options.lookup ?? systemLookup

  const find = async (hostname: string, family: number): Promise<readonly LookupAddress[]> => {
    const lease: Lease = await discovery.resolver(nameOf(hostname)).acquire({ noProbe: true })
    // Once and now: whoever connects does not tell.
    lease.report({ kind: 'cancelled', latencyMs: 0 })
    const { id, addresses } = lease.endpoint
    const results = await Promise.allSettled(
      addresses.map(async ({ host }): Promise<readonly LookupAddress[]> => {
        const own = isIP(host)
        if (own === 0) return await resolveName(system, host, family)
        return family === 0 || own === family ? [{ address: host, family: own === 6 ? 6 : 4 }] : []
      }),
    )
    // A name that is not known must not hide the addresses beside it.
    const found = results.flatMap((result) => (result.status === 'fulfilled' ? result.value : []))
    if (found.length > 0) return found
    const failed = results.find((result) => result.status === 'rejected')
    if (failed !== undefined) throw failed.reason
    const message = `endpoint ${id} of ${hostname} has no IPv${family} address`
    throw createError({ code: 'NAME_NOT_FOUND', message, stack: false })
  }

  // Some callers leave the options out, or give the family in their place, as `dns.lookup` allows.
  return (hostname: string, request: LookupRequest | number | LookupCallback, last?: LookupCallback): void => {
    const callback = (typeof request === 'function' ? request : last) as LookupCallback
    const { family, all }: LookupRequest =
      typeof request === 'object' ? (request ?? {}) : { family: Number(request) || 0 }
    find(hostname, familyOf(family)).then(
      (found) => {
        const first = found[0] as LookupAddress
        // Out of the promise: what the callback throws is the caller's.
        process.nextTick(() =>
          all === true ? callback(null, [...found]) : callback(null, first.address, first.family),
        )
      },
      (error: Error) => process.nextTick(() => callback(error, '')),
    )
  }
}

function serviceOf(hostname: string): string {
  return hostname.toLowerCase().endsWith(SUFFIX) ? hostname.slice(0, -SUFFIX.length) : hostname
}

function familyOf(family: LookupRequest['family']): 0 | 4 | 6 {
  if (family === 4 || family === 'IPv4') return 4
  return family === 6 || family === 'IPv6' ? 6 : 0
}

function resolveName(lookup: LookupFunction, host: string, family: number): Promise<readonly LookupAddress[]> {
  return new Promise((resolve, reject) => {
    lookup(host, { all: true, family }, (error, found) => {
      if (error !== null && error !== undefined) reject(error)
      else resolve(typeof found === 'string' ? [{ address: found, family: isIP(found) === 6 ? 6 : 4 }] : found)
    })
  })
}

const systemLookup: LookupFunction = (host, options, callback) =>
  lazy<{ readonly lookup: LookupFunction }>('node:dns').lookup(host, options, callback)

// Loaded with the first look-up: importing fairlead must cost next to nothing.
function isIP(text: string): number {
  return process.getBuiltinModule('node:net').isIP(text)
}
