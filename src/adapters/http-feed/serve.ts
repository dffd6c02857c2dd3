// The protocol of a feed on HTTP: one answer for node:http and for the Fetch API. A page is one buffer of bounded size, and nothing else is kept for a slow reader.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import { isFairleadError } from '../../errors/base.ts'
import { createError } from '../../errors/classes.ts'
import { toProblem } from '../../errors/wire.ts'
import { BATCH_TYPE } from '../../messaging/cloudevents/index.ts'
import type { FeedSettings } from './feed-options.ts'
import { type FeedPage, type FeedPages, goneBy, type PageAsk } from './pages.ts'
import { formatPosition } from './position.ts'
import { EARLIEST_HEADER, NEXT_HEADER, OLDEST_HEADER, POSITION_HEADER, WAITING_HEADER, withPosition } from './wire.ts'

/** A listener for `http.createServer`, `https.createServer` and `http2.createServer`. */
export type NodeListener = (
  request: IncomingMessage | Http2ServerRequest,
  response: ServerResponse | Http2ServerResponse,
) => void

/** Answers a request of the Fetch API. Never rejects. */
export type FetchHandler = (request: Request) => Promise<Response>

interface Asked {
  readonly method: string
  /** Path and query. */
  readonly target: string
  readonly ifNoneMatch: string | undefined
  readonly onGone: (gone: () => void) => () => void
}

interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string | undefined
}

const YEAR_S = 31_536_000
// Where events go by their number, the oldest goes with the next append, whenever that is. A cache may be late by so much.
const COUNTED_S = 60

/** Serves requests of Node. */
export function nodeListener(feed: FeedPages, settings: FeedSettings): NodeListener {
  return (given, response) => {
    const request = given as IncomingMessage
    const reply = response as ServerResponse
    const gone = new Set<() => void>()
    let closed = false
    const close = (): void => {
      closed = true
      for (const each of [...gone]) each()
    }
    reply.on('close', close)
    // Told of by 'close' as well; without a listener they would end the process.
    reply.on('error', nothing)
    request.on('error', nothing)
    request.resume()
    const asked: Asked = {
      method: request.method ?? 'GET',
      target: request.url ?? '/',
      ifNoneMatch: request.headers['if-none-match'],
      onGone(listener) {
        if (closed) listener()
        else gone.add(listener)
        return () => gone.delete(listener)
      },
    }
    void turnOf(reply).then(async () => {
      if (closed) return
      const { status, headers, body } = await answer(feed, settings, asked)
      if (closed) return
      // A HEAD says how long the page would be only if we know it, and we do not.
      const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }
      reply.writeHead(status, { ...headers, ...length })
      reply.end(body)
    })
  }
}

// Of requests that came on one connection without waiting for answers, each is looked at once the answer before it has left: a page that nobody reads is one page.
// Where the connection ends first nothing refers to the promise any more.
async function turnOf(response: ServerResponse): Promise<void> {
  if (response.socket === null) await new Promise((resolve) => response.once('socket', resolve))
}

/** Serves requests of the Fetch API. */
export function fetchHandler(feed: FeedPages, settings: FeedSettings): FetchHandler {
  return async (request) => {
    const { pathname, search } = new URL(request.url)
    const { status, headers, body } = await answer(feed, settings, {
      method: request.method,
      target: pathname + search,
      ifNoneMatch: request.headers.get('if-none-match') ?? undefined,
      onGone: goneBy(request.signal),
    })
    return new Response(body ?? null, { status, headers: { ...headers } })
  }
}

async function answer(feed: FeedPages, settings: FeedSettings, asked: Asked): Promise<Answer> {
  try {
    if (asked.method !== 'GET' && asked.method !== 'HEAD') return wrongMethod()
    const { topic, query } = splitTarget(asked.target, settings.basePath)
    const ask = readAsk(query)
    if (asked.method === 'HEAD') {
      const { position, next, waiting, oldestMs } = await feed.tail(topic, ask.after)
      const age = oldestMs === undefined ? {} : { [OLDEST_HEADER]: String(Math.floor(oldestMs)) }
      return {
        status: 200,
        headers: {
          'content-type': BATCH_TYPE,
          'cache-control': 'no-cache',
          etag: `"${next}"`,
          [POSITION_HEADER]: position,
          [NEXT_HEADER]: next,
          [WAITING_HEADER]: String(waiting),
          ...age,
        },
      }
    }
    const page = await feed.page(topic, { ...ask, onGone: asked.onGone })
    return pageAnswer(page, ask, asked.ifNoneMatch, settings)
  } catch (error) {
    return problem(error)
  }
}

function pageAnswer(page: FeedPage, ask: PageAsk, ifNoneMatch: string | undefined, settings: FeedSettings): Answer {
  const { log } = settings
  const { next, records } = page
  const etag = `"${next}"`
  const limit = ask.limit === undefined ? '' : `&limit=${ask.limit}`
  const headers: Record<string, string> = {
    // Only a page that begins at a position stays the same one: "the earliest" moves on.
    'cache-control': page.closed && isPlain(ask.after) ? immutable(page, settings) : 'no-cache',
    etag,
    [POSITION_HEADER]: page.position,
    [NEXT_HEADER]: next,
    link: `<?after=${next}${limit}>; rel="next"`,
  }
  if (isKnown(ifNoneMatch, etag)) return { status: 304, headers }
  const events = records.map(({ event, sequence }) => withPosition(event, formatPosition(log.generation, sequence)))
  return { status: 200, headers: { ...headers, 'content-type': BATCH_TYPE }, body: `[${events.join(',')}]` }
}

// A cache must not keep an event for longer than the feed does: its first event is the first to go. What is not fresh any more is asked for again by its tag,
// and answered with 304, or with 410 once it is gone.
function immutable({ records }: FeedPage, { log, clock }: FeedSettings): string {
  const { maxAgeMs = Infinity, maxCount = Infinity } = log.retention
  const leftMs = (records[0]?.at ?? 0) + maxAgeMs - clock.wallNow()
  const seconds = Math.min(Math.floor(leftMs / 1_000), maxCount === Infinity ? YEAR_S : COUNTED_S)
  return seconds > 0 ? `max-age=${seconds}, immutable` : 'no-cache'
}

function isPlain(after: PageAsk['after']): boolean {
  return after !== 'earliest' && after !== 'latest' && typeof after === 'string'
}

// RFC 9110 section 13.1.2: weak comparison.
function isKnown(ifNoneMatch: string | undefined, etag: string): boolean {
  return ifNoneMatch?.split(',').some((each) => each.trim().replace(/^W\//, '') === etag) ?? false
}

function splitTarget(target: string, basePath: string): { readonly topic: string; readonly query: URLSearchParams } {
  const mark = target.indexOf('?')
  const path = mark < 0 ? target : target.slice(0, mark)
  const query = new URLSearchParams(mark < 0 ? '' : target.slice(mark + 1))
  const name = path.startsWith(`${basePath}/`) ? path.slice(basePath.length + 1) : ''
  try {
    return { topic: decodeURIComponent(name), query }
  } catch {
    return { topic: '', query }
  }
}

function readAsk(query: URLSearchParams): PageAsk {
  const after = query.get('after')
  const since = query.get('since')
  if (after !== null && since !== null) throw wrong('give either after or since')
  return {
    after: since === null ? (after ?? 'earliest') : { time: instant(since) },
    limit: number(query, 'limit', 1),
    waitMs: (number(query, 'wait', 0) ?? 0) * 1_000,
  }
}

function number(query: URLSearchParams, name: string, least: number): number | undefined {
  const text = query.get(name)
  if (text === null) return undefined
  const value = Number(text)
  if (!/^\d{1,9}(?:\.\d{1,3})?$/.test(text) || value < least || (least === 1 && !Number.isInteger(value)))
    throw wrong(`${name} is a ${least === 1 ? 'whole number of at least 1' : 'number of seconds'}`)
  return value
}

function instant(text: string): number {
  const time = /^\d{1,15}$/.test(text) ? Number(text) : Date.parse(text)
  if (Number.isNaN(time)) throw wrong('since is a time as in RFC 3339, or milliseconds since 1970')
  return time
}

function wrong(message: string): Error {
  return createError({ code: 'INVALID_REQUEST', message, stack: false })
}

function wrongMethod(): Answer {
  const { headers, body } = toProblem(createError({ code: 'BAD_REQUEST', effect: 'none', stack: false }))
  return {
    status: 405,
    headers: { ...headers, allow: 'GET, HEAD' },
    body: JSON.stringify({ ...body, status: 405, detail: 'a feed is read with GET and HEAD' }),
  }
}

function problem(error: unknown): Answer {
  const known = isFairleadError(error)
  const { status, headers, body } = toProblem(error, { expose: known, effect: 'none' })
  const earliest = (known ? (error.details as { earliest?: string } | undefined) : undefined)?.earliest
  const more = earliest === undefined ? {} : { [EARLIEST_HEADER]: earliest }
  return {
    status,
    headers: { ...headers, ...more, 'cache-control': 'no-store' },
    body: JSON.stringify({ ...body, ...(earliest === undefined ? {} : { earliest }) }),
  }
}

function nothing(): void {}
