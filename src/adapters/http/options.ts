// Options of the HTTP transport, checked once.
import { type Clock, systemClock } from '../../core/clock.ts'
import type { CallContext } from '../../core/context.ts'
import type { Resolver } from '../../core/contracts/balancer.ts'
import type { OperationDescriptor } from '../../core/contracts/rpi.ts'
import { createEvents, type EventListener, type Events } from '../../core/events.ts'
import { checkHeader, DEADLINE_HEADER } from '../../core/http-wire.ts'
import { countOption, durationOption, invalidOption, knownOptions } from '../../core/options.ts'
import type { HttpDispatcher } from './undici.ts'

/** Headers for every call, or a function that gives them for each: for credentials that change. */
export type HttpHeaders =
  | Readonly<Record<string, string>>
  | ((operation: OperationDescriptor, context: CallContext) => Readonly<Record<string, string>>)

/** TLS of the client side; given on to `tls.connect` of Node. */
export interface HttpTls {
  /** Authorities to trust instead of the well-known ones, PEM. */
  readonly ca?: string | Uint8Array | readonly (string | Uint8Array)[] | undefined
  /** Certificate of this client, PEM. */
  readonly cert?: string | Uint8Array | undefined
  /** Key of that certificate, PEM. */
  readonly key?: string | Uint8Array | undefined
  readonly passphrase?: string | undefined
  /** The name to ask for and to check, where it is not the host of the URL or the `hostname` of the endpoint. */
  readonly servername?: string | undefined
  readonly minVersion?: 'TLSv1.2' | 'TLSv1.3' | undefined
}

/** Who finds endpoints: what `createDiscovery` gives, by its shape. */
export interface ResolverSource {
  resolver(service: string): Resolver
}

/** Where the transport calls: one place, or wherever discovery says. */
export type HttpTarget =
  | {
      /** `http:` or `https:`; a path in it is put before the path of each operation. */
      readonly baseUrl: string | URL
      readonly discovery?: undefined
      readonly stickyKey?: undefined
    }
  | {
      /** What `createDiscovery` gives. */
      readonly discovery: ResolverSource
      readonly baseUrl?: undefined
      /** Calls with the same key go to the same endpoint, where the balancer is one that sticks. Asked with the input of each call; undefined: it may go anywhere. */
      readonly stickyKey?: ((input: any, context: CallContext) => string | undefined) | undefined
    }

/** Options of `httpTransport` besides its target. */
export interface HttpOptions {
  /** Put before the path of each operation. Default: the path of `baseUrl`. */
  readonly basePath?: string | undefined
  /** Sent with every call. */
  readonly headers?: HttpHeaders | undefined
  /** Header that carries the time left, in whole milliseconds. Default `x-request-timeout-ms`; 'none' sends none. */
  readonly deadlineHeader?: string | undefined
  /** The largest reply, decoded; of a stream the largest item. Default 10 MiB. What is larger is cut at once: `REPLY_TOO_LARGE`. */
  readonly maxResponseBytes?: number | undefined
  /** The largest request body; of a stream the largest item. Default 10 MiB. What is larger is not sent: `PAYLOAD_TOO_LARGE`. */
  readonly maxRequestBytes?: number | undefined
  /** Asks for compressed replies (br, gzip, deflate). They are understood in any case. Default false. */
  readonly compression?: boolean | undefined
  /** Speaks HTTP/2 where the server does (TLS with ALPN). Default false. */
  readonly allowH2?: boolean | undefined
  /** For TCP and TLS to be set up, milliseconds; undici measures it to about a second. Default 5000. Attempt timeout and deadline hold besides. */
  readonly connectTimeoutMs?: number | undefined
  /** Authorities to trust instead of the well-known ones, PEM: short for `tls.ca`. */
  readonly ca?: HttpTls['ca']
  readonly tls?: HttpTls | undefined
  /** Your own undici dispatcher (a ProxyAgent, say). It opens the connections, so `allowH2`, `tls` and `connectTimeoutMs` are its own affair; it is never closed here. */
  readonly dispatcher?: HttpDispatcher | undefined
  /** Time. Default: the system's. */
  readonly clock?: Clock | undefined
  /** Hears of each exchange: event `bytes`. */
  readonly onEvent?: EventListener | undefined
}

/** Options of `httpTransport`. */
export type HttpTransportOptions = HttpTarget & HttpOptions

/** The options with their defaults filled in. */
export interface HttpSettings {
  readonly base: URL | undefined
  readonly basePath: string
  readonly discovery: ResolverSource | undefined
  readonly stickyKey: ((input: any, context: CallContext) => string | undefined) | undefined
  readonly headers: HttpHeaders | undefined
  /** Undefined for none. */
  readonly deadlineHeader: string | undefined
  readonly maxResponseBytes: number
  readonly maxRequestBytes: number
  readonly compression: boolean
  readonly allowH2: boolean
  readonly connectTimeoutMs: number
  readonly tls: HttpTls
  readonly dispatcher: HttpDispatcher | undefined
  readonly clock: Clock
  readonly events: Events
}

const NAMES = [
  'baseUrl',
  'discovery',
  'stickyKey',
  'basePath',
  'headers',
  'deadlineHeader',
  'maxResponseBytes',
  'maxRequestBytes',
  'compression',
  'allowH2',
  'connectTimeoutMs',
  'ca',
  'tls',
  'dispatcher',
  'clock',
  'onEvent',
]

const TEN_MIB = 10 * 2 ** 20

/** Checks the options and fills in the defaults. */
export function httpSettings(options: HttpTransportOptions): HttpSettings {
  knownOptions('httpTransport', options, NAMES)
  const { baseUrl, discovery, dispatcher } = options
  if ((baseUrl === undefined) === (discovery === undefined))
    throw invalidOption('baseUrl', baseUrl, 'give either baseUrl or discovery')
  if (discovery !== undefined && typeof discovery.resolver !== 'function')
    throw invalidOption('discovery', discovery, 'give what createDiscovery() returns')
  if (dispatcher !== undefined && typeof dispatcher.dispatch !== 'function')
    throw invalidOption('dispatcher', dispatcher, 'give a dispatcher of undici')
  const base = baseUrl === undefined ? undefined : baseOf(baseUrl)
  const { headers } = options
  if (headers !== undefined && typeof headers !== 'function')
    for (const [name, value] of Object.entries(headers)) checkHeader(name, value)
  const deadlineHeader = options.deadlineHeader ?? DEADLINE_HEADER
  checkHeader(deadlineHeader, '')
  return {
    base,
    basePath: basePathOf(options.basePath ?? base?.pathname ?? '/'),
    discovery,
    stickyKey: options.stickyKey,
    headers,
    deadlineHeader: deadlineHeader === 'none' ? undefined : deadlineHeader.toLowerCase(),
    maxResponseBytes: countOption('maxResponseBytes', options.maxResponseBytes, TEN_MIB),
    maxRequestBytes: countOption('maxRequestBytes', options.maxRequestBytes, TEN_MIB),
    compression: options.compression ?? false,
    allowH2: options.allowH2 ?? false,
    connectTimeoutMs: durationOption('connectTimeoutMs', options.connectTimeoutMs, 5_000),
    tls: { ...(options.ca === undefined ? {} : { ca: options.ca }), ...options.tls },
    dispatcher,
    clock: options.clock ?? systemClock,
    events: createEvents(options.onEvent),
  }
}

function baseOf(given: string | URL): URL {
  let url: URL
  try {
    url = new URL(given)
  } catch {
    throw invalidOption('baseUrl', given, 'give an absolute URL such as http://inventory:8080')
  }
  if (
    (url.protocol !== 'http:' && url.protocol !== 'https:') ||
    url.username !== '' ||
    url.search !== '' ||
    url.hash !== ''
  )
    throw invalidOption('baseUrl', String(given), 'give an http: or https: URL without user, query and fragment')
  return url
}

// Without its last slash, so that the path of an operation, which begins with one, can follow.
function basePathOf(given: string): string {
  if (!/^\/[^?#\s]*$/.test(given))
    throw invalidOption('basePath', given, 'give a path that begins with / and has no query')
  return given.endsWith('/') ? given.slice(0, -1) : given
}
