// Options that source and registrar of Eureka share, checked once: which servers, who asks, over what.
import { type Clock, type Random, systemClock, systemRandom } from '../../core/clock.ts'
import { durationOption, invalidOption } from '../../core/options.ts'
import type { RegistryTls } from '../registry/client.ts'

/** Where the Eureka servers are and how to speak to them. Durations are milliseconds. */
export interface EurekaServersOptions {
  /**
   * One or several base URLs of one cluster: `http://eureka-1:8761/eureka` (Spring), `http://eureka-1:8080/eureka/v2` (Netflix).
   * One is kept to, drawn by chance; the next is asked when it does not answer or answers 5xx. Credentials may stand in the URL.
   */
  readonly urls: string | readonly string[]
  /** Sent with each request; a function is asked for each, for tokens that change. */
  readonly headers?:
    | Readonly<Record<string, string>>
    | (() => Readonly<Record<string, string>> | Promise<Readonly<Record<string, string>>>)
    | undefined
  /** Basic authentication, in place of credentials in the URLs. */
  readonly auth?: { readonly username: string; readonly password: string } | undefined
  readonly tls?: RegistryTls | undefined
  /** How long one server may take for one answer. Default 5000; the next server is asked after that. */
  readonly timeoutMs?: number | undefined
  /** Default: the system's. */
  readonly clock?: Clock | undefined
  /** Default: the system's. */
  readonly random?: Random | undefined
}

/** Names of the options above, for the check of misspelt ones. */
export const SERVER_OPTIONS: readonly string[] = ['urls', 'headers', 'auth', 'tls', 'timeoutMs', 'clock', 'random']

/** One server, ready to be asked. */
export interface EurekaServer {
  readonly baseUrl: string
  readonly headers: () => Promise<Readonly<Record<string, string>>>
}

/** The same, checked and with defaults. */
export interface ServerSettings {
  readonly servers: readonly EurekaServer[]
  readonly tls: RegistryTls | undefined
  readonly timeoutMs: number
  readonly clock: Clock
  readonly random: Random
}

/**
 * Checks the options.
 * @throws FairleadError INVALID_OPTIONS
 */
export function serverSettings(what: string, options: EurekaServersOptions): ServerSettings {
  const { urls, tls, clock = systemClock, random = systemRandom } = options
  const all = typeof urls === 'string' ? [urls] : urls
  if (!Array.isArray(all) || all.length === 0)
    throw invalidOption(`${what}.urls`, urls, 'give the base URL of a Eureka server, or several')
  return {
    servers: all.map((url) => serverOf(`${what}.urls`, url, options)),
    tls,
    timeoutMs: durationOption(`${what}.timeoutMs`, options.timeoutMs, 5_000),
    clock,
    random,
  }
}

function serverOf(option: string, given: unknown, options: EurekaServersOptions): EurekaServer {
  // Never with its value: it may hold a password.
  const wrong = (fix: string): Error => invalidOption(option, undefined, fix)
  if (typeof given !== 'string' || !URL.canParse(given)) throw wrong('give URLs such as http://eureka:8761/eureka')
  const url = new URL(given)
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw wrong('give URLs that begin with http:// or https://')
  if (url.search !== '' || url.hash !== '') throw wrong('give base URLs without ? and #')
  const { username, password } =
    options.auth ?? (url.username === '' ? {} : { username: text(url.username), password: text(url.password) })
  const basic =
    username === undefined
      ? {}
      : { authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}` }
  const { headers } = options
  return {
    baseUrl: `${url.origin}${url.pathname.replace(/\/+$/, '')}`,
    headers: async () => ({ ...basic, ...(typeof headers === 'function' ? await headers() : headers) }),
  }
}

// In URLs they are percent-encoded; a stray % is left as it is.
function text(encoded: string): string {
  try {
    return decodeURIComponent(encoded)
  } catch {
    return encoded
  }
}

// Slashes, dots and line ends would lead to another path; the server refuses most of them anyway.
const NAME = /^(?!\.{1,2}$)[^\s\p{Cc}\p{Cs}/\\?#%;]{1,255}$/u

/**
 * A name of a service or an instance as a part of a path.
 * @throws FairleadError INVALID_OPTIONS for one that would be a path of its own
 */
export function pathPart(what: string, name: string): string {
  if (typeof name !== 'string' || !NAME.test(name))
    throw invalidOption(what, name, 'give 1 to 255 characters without blanks, line ends and / \\ ? # % ;')
  return encodeURIComponent(name)
}
