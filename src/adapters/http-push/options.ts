// Options of the HTTP push transport, checked once.
import { type Clock, type Random, systemClock, systemRandom } from '../../core/clock.ts'
import type { ChannelPlace } from '../../core/contracts/transport.ts'
import { checkHeader } from '../../core/http-wire.ts'
import type { ChannelAddress } from '../../core/message.ts'
import { countOption, durationOption, invalidOption, knownOptions } from '../../core/options.ts'
import type { HttpDispatcher } from '../http/undici.ts'
import { DEFAULT_MAX_PAYLOAD_BYTES } from './capabilities.ts'
import { createSigning, type Signing, type SigningOptions } from './signature.ts'

/** One URL, or several. */
export type Urls = string | URL | readonly (string | URL)[]

/**
 * Who gets what is sent to a channel. Of a queue: URLs of which one gets each message. Of a topic: by group the URLs whose owners share the messages of that group;
 * or a list of URLs, each of which gets every message. Under `*` stand URLs of live subscribers, each of which gets every message.
 */
export type Subscribers = Urls | Readonly<Record<string, Urls>>

/** Looks up the subscribers of a channel. Undefined: there is no such channel. */
export type FindSubscribers = (channel: ChannelAddress) => Subscribers | undefined | Promise<Subscribers | undefined>

/** What happens at the transport and is no verdict. */
export type HttpPushEvent =
  | {
      /** A subscriber answered 410: its URL gets nothing more from this transport. */
      readonly type: 'subscription-over'
      readonly place: ChannelPlace
      readonly url: string
    }
  | {
      /** A subscriber refused a message for good. `kept`: it is in the list of dead letters. */
      readonly type: 'dead-letter'
      readonly place: ChannelPlace
      readonly id: string
      readonly reason: string
      readonly kept: boolean
    }
  | {
      /** The list of dead letters was full: its oldest is gone. */
      readonly type: 'dead-letter-dropped'
      readonly place: ChannelPlace
      readonly id: string
    }

/** Options of `httpPushTransport`. */
export interface HttpPushOptions {
  /** By the name of the channel, or a function. Absent: this transport only receives. */
  readonly subscribers?: Readonly<Record<string, Subscribers>> | FindSubscribers | undefined
  /** Sent with every message: credentials. */
  readonly headers?: Readonly<Record<string, string>> | (() => Readonly<Record<string, string>>) | undefined
  /** Your own undici dispatcher (an Agent, a ProxyAgent). It is never closed here. Default: one of our own. */
  readonly dispatcher?: HttpDispatcher | undefined
  /** For TCP and TLS to be set up, milliseconds. Default 5000. */
  readonly connectTimeoutMs?: number | undefined
  /**
   * How long one try may take, the work of the receiver included, milliseconds; the deadline of the send holds besides. Default 30,000.
   * The receiver is told, and loses the right to settle when it is over.
   */
  readonly attemptTimeoutMs?: number | undefined
  /** Pause before the second try, milliseconds: doubled with each, full jitter. Default 100. */
  readonly retryBaseMs?: number | undefined
  /** The longest such pause. `Retry-After` may be longer, and is obeyed. Default 5000. */
  readonly retryMaxMs?: number | undefined
  /** Requests on their way at once, for each queue and each group. The others wait. Default 100. */
  readonly maxOutstanding?: number | undefined
  /** Signs what is sent, and takes nothing unsigned. Default: neither. */
  readonly signing?: SigningOptions | undefined
  /** The largest message: attributes, headers and body together. Default 1 MiB. */
  readonly maxPayloadBytes?: number | undefined
  /** How many refused messages are kept in memory for `deadLetters`; false for none, where the sender (a relay) keeps its own. Default 1000. */
  readonly deadLetters?: number | false | undefined
  /** How long a dead letter that was put back is tried, milliseconds. Default 30,000. */
  readonly redriveMs?: number | undefined
  /** Path below which the receiving half is mounted. Default: `/`. */
  readonly basePath?: string | undefined
  /**
   * Messages that wait for a receiver to ask for more, for each queue and each group; the next are sent away with 503, and so is a batch that does not fit as a whole:
   * with 413 where it is more than this and all that the receivers ever asked for at once. Default 100.
   */
  readonly maxWaiting?: number | undefined
  /** How long a receiver may hold a message whose sender does not say how long it waits, milliseconds. Default 30,000. */
  readonly leaseMs?: number | undefined
  /** How long `close` waits for requests on their way, milliseconds. Default 5000. */
  readonly drainMs?: number | undefined
  /** Default `http-push`. */
  readonly name?: string | undefined
  readonly onEvent?: ((event: HttpPushEvent) => void) | undefined
  /** Time. Default: the system's. */
  readonly clock?: Clock | undefined
  /** Chance, for the jitter. Default: the system's. */
  readonly random?: Random | undefined
}

/** The options with their defaults filled in. */
export interface HttpPushSettings {
  readonly find: FindSubscribers | undefined
  readonly headers: () => Readonly<Record<string, string>>
  readonly dispatcher: HttpDispatcher | undefined
  readonly connectTimeoutMs: number
  readonly attemptTimeoutMs: number
  readonly retryBaseMs: number
  readonly retryMaxMs: number
  readonly maxOutstanding: number
  readonly signing: Signing | undefined
  readonly maxPayloadBytes: number
  /** 0 for none. */
  readonly deadLetters: number
  readonly redriveMs: number
  readonly basePath: string
  readonly maxWaiting: number
  readonly leaseMs: number
  readonly drainMs: number
  readonly name: string
  readonly tell: (event: HttpPushEvent) => void
  readonly clock: Clock
  readonly random: Random
}

const NAMES = [
  'subscribers',
  'headers',
  'dispatcher',
  'connectTimeoutMs',
  'attemptTimeoutMs',
  'retryBaseMs',
  'retryMaxMs',
  'maxOutstanding',
  'signing',
  'maxPayloadBytes',
  'deadLetters',
  'redriveMs',
  'basePath',
  'maxWaiting',
  'leaseMs',
  'drainMs',
  'name',
  'onEvent',
  'clock',
  'random',
]

/** Checks the options and fills in the defaults. */
export function httpPushSettings(options: HttpPushOptions): HttpPushSettings {
  knownOptions('httpPushTransport', options, NAMES)
  const { basePath = '', name = 'http-push', onEvent, dispatcher, deadLetters, signing } = options
  const { clock = systemClock, random = systemRandom } = options
  if (typeof basePath !== 'string' || (basePath !== '' && !/^(?:\/[^/?#\s]+)+$/.test(basePath)))
    throw invalidOption('basePath', basePath, "write it as '/messages', without a slash at the end")
  if (typeof name !== 'string' || name === '') throw invalidOption('name', name, 'give a name')
  if (onEvent !== undefined && typeof onEvent !== 'function') throw invalidOption('onEvent', onEvent, 'give a function')
  if (dispatcher !== undefined && typeof dispatcher?.dispatch !== 'function')
    throw invalidOption('dispatcher', dispatcher, 'give a dispatcher of undici (Agent, ProxyAgent ...)')
  return {
    find: finder(options.subscribers),
    headers: headersOf(options.headers),
    dispatcher,
    connectTimeoutMs: durationOption('connectTimeoutMs', options.connectTimeoutMs, 5_000),
    attemptTimeoutMs: durationOption('attemptTimeoutMs', options.attemptTimeoutMs, 30_000),
    retryBaseMs: durationOption('retryBaseMs', options.retryBaseMs, 100),
    retryMaxMs: durationOption('retryMaxMs', options.retryMaxMs, 5_000),
    maxOutstanding: countOption('maxOutstanding', options.maxOutstanding, 100),
    signing: signing === undefined ? undefined : createSigning(signing),
    maxPayloadBytes: countOption('maxPayloadBytes', options.maxPayloadBytes, DEFAULT_MAX_PAYLOAD_BYTES),
    deadLetters: deadLetters === false ? 0 : countOption('deadLetters', deadLetters, 1_000),
    redriveMs: durationOption('redriveMs', options.redriveMs, 30_000),
    basePath,
    maxWaiting: countOption('maxWaiting', options.maxWaiting, 100, 0),
    leaseMs: durationOption('leaseMs', options.leaseMs, 30_000),
    drainMs: durationOption('drainMs', options.drainMs, 5_000),
    name,
    tell: teller(onEvent),
    clock,
    random,
  }
}

function finder(subscribers: HttpPushOptions['subscribers']): FindSubscribers | undefined {
  if (subscribers === undefined || typeof subscribers === 'function') return subscribers
  if (typeof subscribers !== 'object' || subscribers === null)
    throw invalidOption('subscribers', subscribers, 'give URLs by the name of the channel, or a function')
  for (const [channel, some] of Object.entries(subscribers)) checkSubscribers(`subscribers.${channel}`, some)
  return ({ name }) => (Object.hasOwn(subscribers, name) ? subscribers[name] : undefined)
}

function checkSubscribers(option: string, some: Subscribers): void {
  if (typeof some === 'string' || some instanceof URL || Array.isArray(some)) {
    for (const url of [some].flat()) parseUrl(option, url)
    return
  }
  if (typeof some !== 'object' || some === null) throw invalidOption(option, some, 'give URLs, or URLs by group')
  for (const [group, urls] of Object.entries(some)) for (const url of [urls].flat()) parseUrl(`${option}.${group}`, url)
}

/** @throws FairleadError `INVALID_OPTIONS` for what is no http or https URL */
export function parseUrl(option: string, url: unknown): URL {
  const parsed = url instanceof URL ? url : typeof url === 'string' && URL.canParse(url) ? new URL(url) : undefined
  if (parsed === undefined || (parsed.protocol !== 'http:' && parsed.protocol !== 'https:'))
    throw invalidOption(option, url, 'give http or https URLs')
  if (parsed.username !== '' || parsed.password !== '')
    throw invalidOption(option, 'a URL with credentials', 'give credentials by `headers`')
  return parsed
}

function headersOf(headers: HttpPushOptions['headers']): HttpPushSettings['headers'] {
  const checked = (given: Readonly<Record<string, string>>): Readonly<Record<string, string>> =>
    Object.fromEntries(Object.entries(given).map(([name, value]) => [name.toLowerCase(), checkHeader(name, value)]))
  if (typeof headers === 'function') return () => checked(headers())
  const fixed = checked(headers ?? {})
  return () => fixed
}

function teller(onEvent: HttpPushOptions['onEvent']): HttpPushSettings['tell'] {
  return (event) => {
    try {
      // An async function is taken for a listener as well: its rejection would end the process.
      const answer: unknown = onEvent?.(event)
      if (answer instanceof Promise) answer.catch(() => {})
    } catch {
      // A listener's fault is not the message's.
    }
  }
}
