// A feed: the owner of events, who lets others read them at their own pace. Pages, long polls, and how many of those there may be.
import { type Closable, closable } from '../../core/lifecycle.ts'
import type { Envelope } from '../../core/message.ts'
import { createError } from '../../errors/classes.ts'
import { checkTopic, type FeedOptions, type FeedSettings, feedSettings, isTopic } from './feed-options.ts'
import { Listeners } from './listeners.ts'
import type { FeedBounds, FeedLog, FeedRecord } from './log.ts'
import type { FeedPage, FeedPages, FeedTail, PageAsk } from './pages.ts'
import { formatPosition, parsePosition } from './position.ts'
import { type FetchHandler, fetchHandler, type NodeListener, nodeListener } from './serve.ts'
import { eventOf } from './wire.ts'

/** A feed of events, served over HTTP. */
export interface Feed extends FeedPages, Closable {
  readonly log: FeedLog
  readonly maxPayloadBytes: number
  /** Whether any topic comes into being with its first event. */
  readonly open: boolean
  /** Long polls that wait now. */
  readonly waiting: number
  /** A listener for `http.createServer(feed.node())`. */
  node(): NodeListener
  /** For servers that speak the Fetch API. Bound: it may be passed on. */
  readonly fetch: FetchHandler
  /** Makes a topic; one that is there stays as it is. */
  create(topic: string): Promise<void>
  /** Whether there is such a topic. */
  has(topic: string): boolean
  /** Appends messages: all or none. What `send` of the transport does, without its checks. */
  append(topic: string, envelopes: readonly Envelope[]): Promise<void>
  /** Ends all waits, answers 503 and takes no more events from then on. The log stays open. */
  close(): Promise<void>
}

/**
 * Makes a feed.
 * @throws FairleadError `INVALID_OPTIONS`
 * @example
 * const feed = createFeed({ log: await fileFeedLog({ folder: 'events' }) })
 * http.createServer(feed.node()).listen(8080)
 */
export function createFeed(options: FeedOptions = {}): Feed {
  return new OwnFeed(feedSettings(options))
}

class OwnFeed implements Feed {
  readonly fetch: FetchHandler
  readonly #settings: FeedSettings
  readonly #closing: Closable
  readonly #topics: Set<string> | undefined
  // One set of listeners a topic: a new event wakes those who wait for it, and nobody else.
  readonly #wakes = new Map<string, Listeners<undefined>>()
  readonly #stopHearing: () => void
  #waiting = 0
  #closed = false

  constructor(settings: FeedSettings) {
    this.#settings = settings
    this.#topics = settings.topics === undefined ? undefined : new Set(settings.topics)
    this.#stopHearing = settings.log.onAppended((topic) => this.#wakes.get(topic)?.tell(undefined))
    this.fetch = fetchHandler(this, settings)
    this.#closing = closable(async () => {
      this.#closed = true
      this.#stopHearing()
      for (const wake of this.#wakes.values()) wake.tell(undefined)
    })
  }

  get log(): FeedLog {
    return this.#settings.log
  }

  get maxPayloadBytes(): number {
    return this.#settings.maxPayloadBytes
  }

  get open(): boolean {
    return this.#topics === undefined
  }

  get waiting(): number {
    return this.#waiting
  }

  node(): NodeListener {
    return nodeListener(this, this.#settings)
  }

  async create(topic: string): Promise<void> {
    checkTopic(topic)
    await this.log.create(topic)
    this.#topics?.add(topic)
  }

  has(topic: string): boolean {
    return this.#topics?.has(topic) ?? this.log.bounds(topic) !== undefined
  }

  append(topic: string, envelopes: readonly Envelope[]): Promise<void> {
    checkTopic(topic)
    if (this.#closed)
      return Promise.reject(createError({ code: 'SHUTDOWN', message: 'the feed is closed', stack: false }))
    return this.log.append(topic, envelopes.map(eventOf))
  }

  async page(topic: string, ask: PageAsk): Promise<FeedPage> {
    const { log, pageSize, maxPageLength, maxWaitMs } = this.#settings
    const limit = Math.min(ask.limit ?? pageSize, pageSize)
    const after = await this.#sequenceOf(topic, ask.after)
    let records = await this.#read(topic, after, limit, maxPageLength)
    const waitMs = Math.min(ask.waitMs ?? 0, maxWaitMs)
    if (records.length === 0 && waitMs > 0) {
      await this.#wait(topic, after, waitMs, ask.onGone)
      records = await this.#read(topic, after, limit, maxPageLength)
    }
    const last = records.at(-1)?.sequence ?? after
    return {
      position: formatPosition(log.generation, after),
      records,
      next: formatPosition(log.generation, last),
      // Full by its number of events, or because the next one did not fit.
      closed: records.length > 0 && (records.length === limit || last + 1 < this.#bounds(topic).next),
    }
  }

  async tail(topic: string, from: PageAsk['after']): Promise<FeedTail> {
    const { log, clock } = this.#settings
    const after = await this.#sequenceOf(topic, from)
    const { next } = this.#bounds(topic)
    const at = await log.timeOf(topic, after + 1)
    return {
      position: formatPosition(log.generation, after),
      next: formatPosition(log.generation, next - 1),
      waiting: next - 1 - after,
      oldestMs: at === undefined ? undefined : Math.max(clock.wallNow() - at, 0),
    }
  }

  close(): Promise<void> {
    return this.#closing.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #read(topic: string, after: number, limit: number, maxLength: number): Promise<readonly FeedRecord[]> {
    return this.#bounds(topic).next === after + 1
      ? Promise.resolve([])
      : this.log.read(topic, after + 1, limit, maxLength)
  }

  #bounds(topic: string): FeedBounds {
    if (this.#closed)
      throw createError({
        code: 'UNAVAILABLE',
        message: 'the feed is going down',
        effect: 'none',
        retryAfterMs: this.#settings.retryAfterMs,
        stack: false,
      })
    const known = isTopic(topic) && (this.#topics?.has(topic) ?? true)
    if (!known)
      throw createError({ code: 'CHANNEL_NOT_FOUND', message: 'there is no such topic', channel: topic, stack: false })
    return this.log.bounds(topic) ?? { first: 1, next: 1 }
  }

  // Of the last event that was read.
  async #sequenceOf(topic: string, after: PageAsk['after']): Promise<number> {
    const { first, next } = this.#bounds(topic)
    if (after === 'earliest') return first - 1
    if (after === 'latest') return next - 1
    if (typeof after === 'object') return (await this.log.since(topic, after.time)) - 1
    const place = parsePosition(after)
    if (place === undefined)
      throw createError({ code: 'INVALID_REQUEST', message: `${after} is no position of this feed`, stack: false })
    const { generation, sequence } = place
    // A position beyond the end is one of events that are lost (a log put back from a backup): new ones would be missed in silence.
    if (generation !== this.log.generation || sequence < first - 1 || sequence >= next)
      throw createError({
        code: 'POSITION_EXPIRED',
        channel: topic,
        details: { earliest: formatPosition(this.log.generation, first - 1) },
        stack: false,
      })
    return sequence
  }

  #wait(topic: string, after: number, ms: number, onGone: PageAsk['onGone']): Promise<void> {
    const { clock, maxWaiting, retryAfterMs } = this.#settings
    if (this.#waiting >= maxWaiting)
      throw createError({
        code: 'OUTSTANDING_LIMIT',
        message: `${maxWaiting} readers are waiting already`,
        retryAfterMs,
        stack: false,
      })
    // Appended while the page was read.
    if (this.#bounds(topic).next > after + 1) return Promise.resolve()
    this.#waiting++
    return new Promise((resolve) => {
      const wake = this.#wakes.get(topic) ?? new Listeners<undefined>()
      this.#wakes.set(topic, wake)
      let over = false
      const end = (): void => {
        if (over) return
        over = true
        this.#waiting--
        stop()
        stopGone()
        if (wake.size === 0) this.#wakes.delete(topic)
        clock.clearTimer(timer)
        resolve()
      }
      let stopGone: () => void = () => {}
      const timer = clock.setTimer(end, ms, undefined)
      const stop = wake.add(end)
      stopGone = onGone?.(end) ?? stopGone
    })
  }
}
