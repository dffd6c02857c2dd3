// Options of the transport, checked once.
import { type Clock, type Random, systemClock, systemRandom } from '../../core/clock.ts'
import type { CheckpointStore } from '../../core/contracts/store.ts'
import { countOption, durationOption, invalidOption, knownOptions } from '../../core/options.ts'
import type { HttpDispatcher, HttpTls } from '../http/index.ts'
import type { DeadPlace } from './delivery.ts'
import type { FeedReaderListener } from './events.ts'
import type { Feed } from './feed.ts'
import { isTopic } from './feed-options.ts'
import type { FeedHeaders } from './http-source.ts'

/**
 * Where feeds are: one address for all (the name of the topic is put behind it), or by topic one or several addresses of the same log,
 * of which the next is asked where one fails. A topic that is not named has none.
 */
export type FeedUrls =
  | string
  | Readonly<Record<string, string | readonly string[]>>
  | ((topic: string) => string | readonly string[] | undefined)

/** Options of `httpFeedTransport`. Sending needs `feed`; receiving needs `url`, or reads `feed` in the same process. */
export interface HttpFeedTransportOptions {
  /** The feed that `send` appends to. The transport does not close it. */
  readonly feed?: Feed | undefined
  readonly url?: FeedUrls | undefined
  /** Where groups keep their positions, and by which their members agree on who reads. Needed for groups. */
  readonly checkpoints?: CheckpointStore | undefined
  /** In errors and events. Default `http-feed`. */
  readonly name?: string | undefined
  /** Put into the name under which the store knows this process, for those who look there. */
  readonly member?: string | undefined
  /** For how long a member that has died keeps the others of its group waiting. Renewed after a third. Default 30,000. */
  readonly leaseMs?: number | undefined
  /** How often at most a member that does not read asks whether it may. Default 1,000. */
  readonly takeOverMs?: number | undefined
  /** Events asked for at once. Servers may give fewer. Default 100. */
  readonly pageSize?: number | undefined
  /** How long a long poll waits at the server. Proxies cut off what waits for a minute. Default 20,000. */
  readonly waitMs?: number | undefined
  /** For an answer, besides what it may wait. Default 10,000. */
  readonly requestTimeoutMs?: number | undefined
  /** The largest page. Default 10 MiB. */
  readonly maxPageBytes?: number | undefined
  /** No more is fetched while the first unsettled event lies so many behind the last one: the most that can come twice after a crash. Default 10,000. */
  readonly maxAhead?: number | undefined
  /** The longest pause between two tries, before jitter. Default 10,000. */
  readonly maxBackoffMs?: number | undefined
  /** After so many refusals in a row that time does not mend (401, 403, 404, an answer that is no feed) `ended` rejects. Default 10. */
  readonly giveUpAfter?: number | undefined
  /** Where the position is no longer kept: `ended` rejects with `POSITION_EXPIRED` (`fail`), or it goes on with the oldest event. Default `fail`. */
  readonly onExpired?: 'fail' | 'earliest' | undefined
  /** Takes messages that are given up; they are settled once it has resolved. Without it `settle('dead')` rejects with `CAPABILITY_MISSING`. */
  readonly dead?: DeadPlace | undefined
  /** Whether the feeds behind `url` survive a restart of their server. Default: as `feed`, else false. */
  readonly persistent?: boolean | undefined
  /** Sent with every request, such as credentials. */
  readonly headers?: FeedHeaders | undefined
  readonly tls?: HttpTls | undefined
  /** Your own undici dispatcher; it is never closed here. Default: pools of its own, never the global one. */
  readonly dispatcher?: HttpDispatcher | undefined
  readonly onEvent?: FeedReaderListener | undefined
  readonly clock?: Clock | undefined
  readonly random?: Random | undefined
}

/** The options with their defaults filled in. */
export interface TransportSettings {
  readonly feed: Feed | undefined
  /** Undefined: it has none; the feed of the same process is read, if there is one. */
  readonly urlsOf: ((topic: string) => readonly URL[]) | undefined
  readonly checkpoints: CheckpointStore | undefined
  readonly name: string
  readonly member: string | undefined
  readonly leaseMs: number
  readonly takeOverMs: number
  readonly pageSize: number
  readonly waitMs: number
  readonly requestTimeoutMs: number
  readonly maxPageBytes: number
  readonly maxAhead: number
  readonly maxBackoffMs: number
  readonly giveUpAfter: number
  readonly goesOnWhenExpired: boolean
  readonly dead: DeadPlace | undefined
  readonly persistent: boolean
  readonly headers: FeedHeaders | undefined
  readonly tls: HttpTls | undefined
  readonly dispatcher: HttpDispatcher | undefined
  readonly onEvent: FeedReaderListener | undefined
  readonly clock: Clock
  readonly random: Random
}

const NAMES = [
  'feed',
  'url',
  'checkpoints',
  'name',
  'member',
  'leaseMs',
  'takeOverMs',
  'pageSize',
  'waitMs',
  'requestTimeoutMs',
  'maxPageBytes',
  'maxAhead',
  'maxBackoffMs',
  'giveUpAfter',
  'onExpired',
  'dead',
  'persistent',
  'headers',
  'tls',
  'dispatcher',
  'onEvent',
  'clock',
  'random',
]

/** Checks the options and fills in the defaults. */
export function transportSettings(options: HttpFeedTransportOptions): TransportSettings {
  knownOptions('httpFeedTransport', options, NAMES)
  const { feed, url, checkpoints, onExpired = 'fail', dead, dispatcher } = options
  if (feed === undefined && url === undefined)
    throw invalidOption('feed', feed, 'give feed (to send), url (to receive), or both')
  if (feed !== undefined && typeof feed.append !== 'function')
    throw invalidOption('feed', feed, 'give what createFeed() returns')
  if (checkpoints !== undefined && typeof checkpoints.lease !== 'function')
    throw invalidOption('checkpoints', checkpoints, 'give a CheckpointStore')
  if (onExpired !== 'fail' && onExpired !== 'earliest')
    throw invalidOption('onExpired', onExpired, "give 'fail' or 'earliest'")
  if (dead !== undefined && typeof dead !== 'function') throw invalidOption('dead', dead, 'give a function')
  if (dispatcher !== undefined && typeof dispatcher.dispatch !== 'function')
    throw invalidOption('dispatcher', dispatcher, 'give a dispatcher of undici')
  const leaseMs = durationOption('leaseMs', options.leaseMs, 30_000)
  return {
    feed,
    urlsOf: url === undefined ? undefined : urlsOf(url),
    checkpoints,
    name: options.name ?? 'http-feed',
    member: options.member,
    leaseMs,
    takeOverMs: durationOption('takeOverMs', options.takeOverMs, Math.min(1_000, leaseMs)),
    pageSize: countOption('pageSize', options.pageSize, 100),
    waitMs: durationOption('waitMs', options.waitMs, 20_000),
    requestTimeoutMs: durationOption('requestTimeoutMs', options.requestTimeoutMs, 10_000),
    maxPageBytes: countOption('maxPageBytes', options.maxPageBytes, 10 * 2 ** 20),
    maxAhead: countOption('maxAhead', options.maxAhead, 10_000),
    maxBackoffMs: durationOption('maxBackoffMs', options.maxBackoffMs, 10_000),
    giveUpAfter: countOption('giveUpAfter', options.giveUpAfter, 10),
    goesOnWhenExpired: onExpired === 'earliest',
    dead,
    persistent: options.persistent ?? feed?.log.persistent ?? false,
    headers: options.headers,
    tls: options.tls,
    dispatcher,
    onEvent: options.onEvent,
    clock: options.clock ?? systemClock,
    random: options.random ?? systemRandom,
  }
}

function urlsOf(given: FeedUrls): (topic: string) => readonly URL[] {
  if (typeof given === 'string') {
    const base = checkedUrl(given)
    return (topic) => (isTopic(topic) ? [new URL(`${base.href.replace(/\/$/, '')}/${topic}`)] : [])
  }
  if (typeof given === 'function') return (topic) => listOf(given(topic))
  const known = new Map(Object.entries(given).map(([topic, urls]) => [topic, listOf(urls)]))
  return (topic) => known.get(topic) ?? []
}

function listOf(urls: string | readonly string[] | undefined): readonly URL[] {
  if (urls === undefined) return []
  return (typeof urls === 'string' ? [urls] : urls).map(checkedUrl)
}

function checkedUrl(given: string): URL {
  let url: URL
  try {
    url = new URL(given)
  } catch {
    throw invalidOption('url', given, 'give an absolute URL such as http://orders:8080/feeds')
  }
  const isHttp = url.protocol === 'http:' || url.protocol === 'https:'
  if (!isHttp || url.username !== '' || url.search !== '' || url.hash !== '')
    throw invalidOption('url', given, 'give an http: or https: URL without user, query and fragment')
  return url
}
