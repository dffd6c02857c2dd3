// Reads a feed over HTTP: GET for pages, HEAD for how much there is. It goes on with another address of the same feed where one fails.
import type { Clock, Timer } from '../../core/clock.ts'
import { createContext } from '../../core/context.ts'
import type { OperationDescriptor, RpiReply } from '../../core/contracts/rpi.ts'
import { deadlineAt } from '../../core/deadline.ts'
import type { HttpRoute } from '../../core/http-wire.ts'
import { formatInstant } from '../../core/instant.ts'
import { onSignal } from '../../core/signals.ts'
import type { FairleadError } from '../../errors/base.ts'
import { createError, stamp, withFields } from '../../errors/classes.ts'
import { classify } from '../../errors/classify.ts'
import { BATCH_TYPE } from '../../messaging/cloudevents/index.ts'
import { type HttpDispatcher, type HttpTls, type HttpTransport, httpTransport } from '../http/index.ts'
import { isPosition } from './position.ts'
import type { Source, SourcePage, SourceTail, Start } from './source.ts'
import {
  envelopeOf,
  type FeedEntry,
  NEXT_HEADER,
  OLDEST_HEADER,
  POSITION_ATTRIBUTE,
  POSITION_HEADER,
  WAITING_HEADER,
} from './wire.ts'

/** Headers for each request, or a function that gives them: for credentials that change. */
export type FeedHeaders = Readonly<Record<string, string>> | (() => Readonly<Record<string, string>>)

/** How feeds are called. */
export interface ClientSettings {
  readonly name: string
  readonly headers: FeedHeaders | undefined
  readonly tls: HttpTls | undefined
  readonly dispatcher: HttpDispatcher | undefined
  readonly maxPageBytes: number
  /** For an answer, besides what it may wait. */
  readonly requestTimeoutMs: number
  readonly clock: Clock
}

/** Connections to the servers of feeds, one pool each. */
export class Clients {
  readonly settings: ClientSettings
  readonly #clients = new Map<string, HttpTransport>()

  constructor(settings: ClientSettings) {
    this.settings = settings
  }

  at(origin: string): HttpTransport {
    let client = this.#clients.get(origin)
    if (client === undefined) {
      const { headers, tls, dispatcher, maxPageBytes, clock } = this.settings
      client = httpTransport({
        baseUrl: origin,
        headers: () => ({
          accept: `${BATCH_TYPE}, application/problem+json`,
          ...(typeof headers === 'function' ? headers() : headers),
        }),
        tls,
        dispatcher,
        maxResponseBytes: maxPageBytes,
        deadlineHeader: 'none',
        clock,
      })
      this.#clients.set(origin, client)
    }
    return client
  }

  async close(): Promise<void> {
    await Promise.all([...this.#clients.values()].map((client) => client.close()))
  }
}

interface Place {
  readonly origin: string
  readonly get: OperationDescriptor
  readonly head: OperationDescriptor
}

/** A feed at one or several addresses of the same log. */
export class HttpSource implements Source {
  readonly #clients: Clients
  readonly #topic: string
  readonly #places: readonly Place[]
  #current = 0

  constructor(clients: Clients, topic: string, urls: readonly URL[]) {
    this.#clients = clients
    this.#topic = topic
    this.#places = urls.map((url) => ({
      origin: url.origin,
      get: operation('GET', url),
      head: operation('HEAD', url),
    }))
  }

  async page(after: string, limit: number, waitMs: number, signal: AbortSignal): Promise<SourcePage> {
    const query = { after, limit, ...(waitMs > 0 ? { wait: waitMs / 1_000 } : {}) }
    // An empty page leads to where it began, and the tag of a page is where it leads to: "nothing new" costs no body.
    const reply = await this.#ask('get', query, { 'if-none-match': `"${after}"` }, waitMs, signal)
    if (reply === undefined) return { entries: [], next: after }
    return this.#read(reply, after)
  }

  async tail(after: Start, signal: AbortSignal): Promise<SourceTail> {
    const query = typeof after === 'object' ? { since: formatInstant(after.time) } : { after }
    const headers = (await this.#ask('head', query, {}, 0, signal))?.headers ?? {}
    const position = headers[POSITION_HEADER] ?? (after === 'latest' ? headers[NEXT_HEADER] : undefined)
    if (!isPosition(position)) throw this.#invalid(`it does not say ${POSITION_HEADER}`)
    return { position, waiting: count(headers[WAITING_HEADER]), oldestMs: count(headers[OLDEST_HEADER]) }
  }

  #read(reply: RpiReply, after: string): SourcePage {
    if (!Array.isArray(reply.output)) throw this.#invalid('a page is a JSON array of events')
    const entries = reply.output.map((event: unknown): FeedEntry => {
      const position = (event as Readonly<Record<string, unknown>> | null)?.[POSITION_ATTRIBUTE]
      if (!isPosition(position)) throw this.#invalid(`an event has no ${POSITION_ATTRIBUTE}`)
      return { position, envelope: envelopeOf(event, this.#topic, position) }
    })
    const next = reply.headers?.[NEXT_HEADER] ?? entries.at(-1)?.position ?? after
    if (!isPosition(next)) throw this.#invalid(`${NEXT_HEADER} is no position`)
    // It would be the same page for ever.
    if (next === after && entries.length > 0) throw this.#invalid('a page with events leads back to where it began')
    return { entries, next }
  }

  // Asks one address after the other, beginning with the one that answered last. Undefined: nothing new (304).
  async #ask(
    method: 'get' | 'head',
    query: object,
    headers: Readonly<Record<string, string>>,
    waitMs: number,
    signal: AbortSignal,
  ): Promise<RpiReply | undefined> {
    for (let tries = 1; ; tries++) {
      signal.throwIfAborted()
      const place = this.#places[this.#current] as Place
      try {
        return await this.#askAt(place, method, query, headers, waitMs, signal)
      } catch (error) {
        const known = this.#told(error as FairleadError)
        // The same log lies behind all of them: what is gone is gone.
        if (known.code === 'POSITION_EXPIRED' || signal.aborted) throw known
        this.#current = (this.#current + 1) % this.#places.length
        if (tries >= this.#places.length) throw known
      }
    }
  }

  async #askAt(
    place: Place,
    method: 'get' | 'head',
    query: object,
    headers: Readonly<Record<string, string>>,
    waitMs: number,
    signal: AbortSignal,
  ): Promise<RpiReply | undefined> {
    const { name, clock, requestTimeoutMs } = this.#clients.settings
    const { service, name: operation } = place[method]
    const deadline = deadlineAt(Infinity, clock)
    const { context, abort } = createContext({ service, operation, deadline, idempotent: true, headers })
    // First of all: the first call loads undici, and that is not the server's time.
    const work = this.#clients.at(place.origin).invoke(place[method], query, context)
    const stop = onSignal(signal, abort)
    const timer: Timer = clock.setTimer(
      () =>
        abort(createError({ code: 'ATTEMPT_TIMEOUT', message: `no answer within ${waitMs + requestTimeoutMs} ms` })),
      waitMs + requestTimeoutMs,
      undefined,
    )
    try {
      return await work
    } catch (error) {
      const known = classify(error, { aborted: context.aborted, transport: name })
      if (statusOf(known) === 304) return undefined
      throw known
    } finally {
      stop()
      clock.clearTimer(timer)
    }
  }

  #told(error: FairleadError): FairleadError {
    const known = { transport: this.#clients.settings.name, channel: this.#topic }
    const status = statusOf(error)
    const code = status === 410 ? 'POSITION_EXPIRED' : status === 404 ? 'CHANNEL_NOT_FOUND' : undefined
    if (code === undefined || error.code === code) return withFields(error, known)
    return createError({ ...known, code, endpoint: error.endpoint, details: error.details, cause: error })
  }

  #invalid(message: string): Error {
    const { name } = this.#clients.settings
    return stamp(createError({ code: 'REPLY_INVALID', message: `the feed breaks its protocol: ${message}` }), {
      transport: name,
      channel: this.#topic,
    })
  }
}

function statusOf(error: { readonly details: unknown }): number | undefined {
  return (error.details as { readonly status?: number } | undefined)?.status
}

function count(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined
}

function operation(method: 'GET' | 'HEAD', url: URL): OperationDescriptor {
  const segments = url.pathname
    .split('/')
    .filter((part) => part !== '')
    .map((literal) => ({ literal }))
  const route: HttpRoute = { method, path: url.pathname, segments, params: [], query: [], rest: 'query' }
  return {
    service: url.host,
    name: `${method} ${url.pathname}`,
    idempotent: true,
    streaming: 'none',
    failures: [],
    bindings: { http: route },
  }
}
