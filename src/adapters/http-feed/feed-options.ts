// Options of a feed, checked once.
import { type Clock, systemClock } from '../../core/clock.ts'
import { countOption, durationOption, invalidOption, knownOptions } from '../../core/options.ts'
import type { FeedLog } from './log.ts'
import { memoryFeedLog } from './memory-log.ts'

/** Options of `createFeed`. */
export interface FeedOptions {
  /** Where the events lie. Default: in memory, `memoryFeedLog()`. The feed does not close it. */
  readonly log?: FeedLog | undefined
  /**
   * The topics that there are; further ones are made by `create` and by `prepare(channels, 'create')`. Others are answered with 404, and a send to them
   * with `UNROUTABLE`. Default: any topic; it comes into being with the first send, and is empty until then.
   */
  readonly topics?: readonly string[] | undefined
  /** The path before the name of the topic. Default `/feeds`. */
  readonly basePath?: string | undefined
  /** Most events of a page. A reader may ask for fewer. Default 100. */
  readonly pageSize?: number | undefined
  /** A page has no more once its events have so many characters together; a larger event is alone on its page. Default 1 Mi. */
  readonly maxPageLength?: number | undefined
  /** Largest message: attributes, headers and body together. Default 256 KiB. */
  readonly maxPayloadBytes?: number | undefined
  /** Longest wait of a long poll. Default 30,000. */
  readonly maxWaitMs?: number | undefined
  /** Most long polls that wait at once. Beyond it a reader who would have to wait is answered 503 with `Retry-After`. Default 1,000. */
  readonly maxWaiting?: number | undefined
  /** What `Retry-After` then says. Default 1,000. */
  readonly retryAfterMs?: number | undefined
  /** Time, for tests. */
  readonly clock?: Clock | undefined
}

/** The options with their defaults filled in. */
export interface FeedSettings {
  readonly log: FeedLog
  readonly topics: readonly string[] | undefined
  readonly basePath: string
  readonly pageSize: number
  readonly maxPageLength: number
  readonly maxPayloadBytes: number
  readonly maxWaitMs: number
  readonly maxWaiting: number
  readonly retryAfterMs: number
  readonly clock: Clock
}

const NAMES = [
  'log',
  'topics',
  'basePath',
  'pageSize',
  'maxPageLength',
  'maxPayloadBytes',
  'maxWaitMs',
  'maxWaiting',
  'retryAfterMs',
  'clock',
]

/** Largest message where nothing else is said. */
export const MAX_PAYLOAD_BYTES: number = 256 * 1_024

/** Checks the options and fills in the defaults. */
export function feedSettings(options: FeedOptions): FeedSettings {
  knownOptions('createFeed', options, NAMES)
  const { clock = systemClock, topics, basePath = '/feeds' } = options
  if (basePath !== '' && !/^(?:\/[^/?#\s]+)+$/.test(basePath))
    throw invalidOption('basePath', basePath, "write it as '/feeds', without a slash at the end")
  for (const topic of topics ?? []) checkTopic(topic)
  const log = options.log ?? memoryFeedLog({ clock })
  if (typeof log?.append !== 'function') throw invalidOption('log', log, 'give a FeedLog, such as memoryFeedLog()')
  return {
    log,
    topics,
    basePath,
    pageSize: countOption('pageSize', options.pageSize, 100),
    maxPageLength: countOption('maxPageLength', options.maxPageLength, 2 ** 20),
    maxPayloadBytes: countOption('maxPayloadBytes', options.maxPayloadBytes, MAX_PAYLOAD_BYTES),
    maxWaitMs: durationOption('maxWaitMs', options.maxWaitMs, 30_000),
    maxWaiting: countOption('maxWaiting', options.maxWaiting, 1_000),
    retryAfterMs: durationOption('retryAfterMs', options.retryAfterMs, 1_000),
    clock,
  }
}

/** Whether a text can be the name of a topic: letters, digits, `.`, `_` and `-`, at most 200. It is a part of a path, and of the name of a file. */
export function isTopic(name: unknown): name is string {
  return typeof name === 'string' && /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,200}$/.test(name)
}

/** @throws FairleadError `INVALID_OPTIONS` */
export function checkTopic(name: unknown): asserts name is string {
  if (!isTopic(name)) throw invalidOption('topic', name, 'name it with letters, digits, ".", "_" and "-", at most 200')
}
