// Feeds on real sockets: a server that can be stopped, restarted and cut off, and what the tests of this room share.
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  createFeed,
  type Feed,
  type FeedLog,
  type FeedOptions,
  fileFeedLog,
  type HttpFeedTransport,
  type HttpFeedTransportOptions,
  httpFeedTransport,
  memoryFeedLog,
} from '../../../src/adapters/http-feed/index.ts'
import { memoryCheckpoints } from '../../../src/adapters/memory/index.ts'
import { systemClock } from '../../../src/core/clock.ts'
import { type CallContext, createContext } from '../../../src/core/context.ts'
import type { CheckpointStore } from '../../../src/core/contracts/store.ts'
import type { Delivery, Receiver, SendResult } from '../../../src/core/contracts/transport.ts'
import { deadlineIn } from '../../../src/core/deadline.ts'
import type { Envelope } from '../../../src/core/message.ts'
import type { FairleadError } from '../../../src/errors/index.ts'
import { isFairleadError } from '../../../src/errors/index.ts'

export const orders = { kind: 'topic', name: 'orders' } as const

/** A server of a feed, and the feed that outlives its restarts for those who hold it. */
export interface FeedServer {
  /** Stands for whatever feed there is now. */
  readonly feed: Feed
  readonly url: string
  readonly port: number
  stop(): Promise<void>
  start(): Promise<void>
  cut(): void
  close(): Promise<void>
}

export interface FeedServerOptions extends Omit<FeedOptions, 'log'> {
  /** Default: in memory, and kept over a restart. */
  readonly openLog?: (() => Promise<FeedLog>) | undefined
  readonly form?: 'node' | 'fetch' | undefined
}

export async function feedServer({ openLog, form, ...options }: FeedServerOptions = {}): Promise<FeedServer> {
  const kept = memoryFeedLog()
  const stillOpen: FeedLog = { ...kept, close: async () => {} }
  let log: FeedLog
  let feed: Feed
  let server: Server
  let port = 0
  const start = async (): Promise<void> => {
    log = openLog === undefined ? stillOpen : await openLog()
    feed = createFeed({ ...options, log })
    server = createServer(form === 'fetch' ? overFetch(feed) : feed.node())
    await new Promise<void>((ready) => server.listen(port, '127.0.0.1', ready))
    port = (server.address() as AddressInfo).port
  }
  const stop = async (): Promise<void> => {
    const closed = new Promise((done) => server.close(done))
    server.closeAllConnections()
    await feed.close()
    await log.close()
    await closed
  }
  await start()
  return {
    feed: new Proxy({} as Feed, {
      get(_, key) {
        const value: unknown = Reflect.get(feed, key, feed)
        return typeof value === 'function' ? value.bind(feed) : value
      },
    }),
    get url() {
      return `http://127.0.0.1:${port}/feeds`
    },
    get port() {
      return port
    },
    stop,
    start,
    cut: () => server.closeAllConnections(),
    close: stop,
  }
}

/** The feed as a fetch handler behind Node's server. */
function overFetch(feed: Feed): (request: IncomingMessage, response: ServerResponse) => void {
  return (request, response) => {
    const gone = new AbortController()
    response.on('close', () => gone.abort())
    const headers = Object.entries(request.headers).flatMap(([name, value]): [string, string][] =>
      typeof value === 'string' ? [[name, value]] : [],
    )
    const asked = new Request(`http://feed${request.url}`, {
      method: request.method ?? 'GET',
      headers,
      signal: gone.signal,
    })
    void feed.fetch(asked).then(async (reply) => {
      const body = Buffer.from(await reply.arrayBuffer())
      if (response.destroyed) return
      response.writeHead(reply.status, Object.fromEntries(reply.headers))
      response.end(body.length === 0 ? undefined : body)
    })
  }
}

export async function temporaryFolder(): Promise<{ readonly path: string; remove(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'fairlead-feed-'))
  return { path, remove: () => rm(path, { recursive: true, force: true }) }
}

export const fileLog = (folder: string) => (): Promise<FeedLog> => fileFeedLog({ folder })

/** A reader with short times. */
export function reader(url: string, more: Partial<HttpFeedTransportOptions> = {}): HttpFeedTransport {
  return httpFeedTransport({
    url,
    checkpoints: memoryCheckpoints(),
    leaseMs: 1_000,
    takeOverMs: 20,
    waitMs: 1_000,
    maxBackoffMs: 100,
    ...more,
  })
}

export function context(ms: number = 5_000): CallContext {
  return createContext({
    service: 'orders',
    operation: 'publish',
    deadline: deadlineIn(ms, systemClock),
    idempotent: true,
  }).context
}

export function message(id: string, more: Partial<Envelope> = {}): Envelope {
  return {
    id,
    attributes: { specversion: '1.0', source: '/shop', type: 'order.placed', datacontenttype: 'application/json' },
    headers: {},
    body: Buffer.from(JSON.stringify({ id })),
    ...more,
  }
}

export const messages = (count: number, from = 0): readonly Envelope[] =>
  Array.from({ length: count }, (_, index) => message(String(from + index)))

export async function sendAll(
  transport: { send: HttpFeedTransport['send'] },
  envelopes: readonly Envelope[],
): Promise<void> {
  const failed = (await transport.send(orders, envelopes, context())).find(({ status }) => status !== 'accepted')
  if (failed !== undefined) throw new Error(`a send was ${JSON.stringify(failed)}`)
}

/** Collects what a receiver is handed; settles it unless told otherwise. */
export interface Collected {
  readonly receiver: Receiver
  readonly deliveries: Delivery[]
  readonly ids: string[]
}

export async function collect(
  transport: HttpFeedTransport,
  options: {
    readonly group?: string
    readonly from?: Parameters<HttpFeedTransport['receive']>[0]['from']
    readonly credit?: number
    readonly hold?: boolean
    readonly channel?: { readonly kind: 'topic'; readonly name: string }
  } = {},
): Promise<Collected> {
  const deliveries: Delivery[] = []
  const ids: string[] = []
  const { group, from, channel = orders } = options
  const receiver = await transport.receive({ channel, group, from }, (delivery) => {
    deliveries.push(delivery)
    ids.push(delivery.envelope.id)
    if (options.hold !== true) delivery.settle('ack').catch(() => {})
  })
  receiver.request(options.credit ?? 1_000)
  return { receiver, deliveries, ids }
}

/** Lets I/O go on until a condition holds. The test's own timeout is the bound. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 2))
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** The error of something that must fail. */
export async function failure(work: Promise<unknown>): Promise<FairleadError> {
  try {
    await work
  } catch (error) {
    if (isFairleadError(error)) return error
    throw new Error(`no FairleadError: ${String(error)}`, { cause: error })
  }
  throw new Error('it went well')
}

export const errorOf = (result: SendResult | undefined): FairleadError =>
  (result as { readonly error: FairleadError }).error

/** A store that can fail. */
export function troubled(store: CheckpointStore): CheckpointStore & { down: boolean } {
  const guard = async <T>(work: () => Promise<T>): Promise<T> => {
    if (made.down) throw Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
    return work()
  }
  const made = {
    down: false,
    lease: (...args: Parameters<CheckpointStore['lease']>) => guard(() => store.lease(...args)),
    release: (...args: Parameters<CheckpointStore['release']>) => guard(() => store.release(...args)),
    load: (...args: Parameters<CheckpointStore['load']>) => guard(() => store.load(...args)),
    save: (...args: Parameters<CheckpointStore['save']>) => guard(() => store.save(...args)),
  }
  return made
}
