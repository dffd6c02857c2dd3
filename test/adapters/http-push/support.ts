// What the tests of this room share: servers on a free port, messages, contexts, and receivers that note what they get.
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import type { HttpPushTransport } from '../../../src/adapters/http-push/index.ts'
import { type Clock, systemClock } from '../../../src/core/clock.ts'
import { type AbortableContext, createContext } from '../../../src/core/context.ts'
import type { Delivery, ReceiveFrom, Receiver, SendResult } from '../../../src/core/contracts/transport.ts'
import { deadlineAt, deadlineIn } from '../../../src/core/deadline.ts'
import type { ChannelAddress, Envelope } from '../../../src/core/message.ts'
import type { FairleadError } from '../../../src/errors/base.ts'

export const queue = (name: string): ChannelAddress => ({ kind: 'queue', name })
export const topic = (name: string): ChannelAddress => ({ kind: 'topic', name })

export function envelope(id: string, more: Partial<Envelope> & { readonly text?: string } = {}): Envelope {
  const { text = JSON.stringify({ id }), ...fields } = more
  return {
    id,
    attributes: { specversion: '1.0', source: '/test', type: 'mail.wanted', datacontenttype: 'application/json' },
    headers: {},
    body: Buffer.from(text),
    ...fields,
  }
}

export function within(ms: number = 5_000, clock: Clock = systemClock): AbortableContext {
  const deadline = ms === Infinity ? deadlineAt(Infinity, clock) : deadlineIn(ms, clock)
  return createContext({ service: 'mails', operation: 'publish', deadline, idempotent: true })
}

/** What has to be closed at the end of a test. */
export class Closing {
  readonly #all: (() => unknown)[] = []

  add<T extends { close(): unknown }>(thing: T): T {
    this.#all.push(() => thing.close())
    return thing
  }

  later(end: () => unknown): void {
    this.#all.push(end)
  }

  async end(): Promise<void> {
    for (const close of this.#all.splice(0).reverse()) await close()
  }
}

export async function listen(closing: Closing, listener: Parameters<typeof createServer>[1]): Promise<string> {
  const server = createServer(listener)
  await listening(server)
  closing.later(() => shut(server))
  return url(server)
}

export async function listening(server: Server, port: number = 0): Promise<void> {
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
}

export function url(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

export async function shut(server: Server): Promise<void> {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
}

/** The receiving half as a server of its own, in one of its two forms. */
export function serverOf(transport: HttpPushTransport, form: 'node' | 'fetch'): Parameters<typeof createServer>[1] {
  if (form === 'node') return transport.node()
  return async (request, response) => {
    const gone = new AbortController()
    response.on('close', () => {
      if (!response.writableFinished) gone.abort()
    })
    const reply = await transport.fetch(fetchRequest(request, gone.signal))
    response.writeHead(reply.status, Object.fromEntries(reply.headers))
    response.end(Buffer.from(await reply.arrayBuffer()))
  }
}

function fetchRequest(request: IncomingMessage, signal: AbortSignal): Request {
  const headers = new Headers()
  for (const [name, value] of Object.entries(request.headers))
    if (typeof value === 'string' && name !== 'connection') headers.set(name, value)
  const body = request.method === 'POST' ? (Readable.toWeb(request) as ReadableStream<Uint8Array>) : null
  return new Request(`http://${request.headers.host}${request.url}`, {
    method: request.method ?? 'GET',
    headers,
    body,
    signal,
    duplex: 'half',
  } as RequestInit)
}

/** Answers requests by a function, and notes them. */
export async function stub(
  closing: Closing,
  answer: (request: Noted, count: number) => { status: number; headers?: Record<string, string>; body?: string },
): Promise<{ readonly url: string; readonly requests: readonly Noted[] }> {
  const requests: Noted[] = []
  const at = await listen(closing, async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const noted = {
      path: request.url ?? '',
      headers: request.headers as Record<string, string>,
      body: Buffer.concat(chunks).toString(),
    }
    requests.push(noted)
    const { status, headers = {}, body } = answer(noted, requests.length)
    response.writeHead(status, headers)
    response.end(body)
  })
  return { url: at, requests }
}

export interface Noted {
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export interface Inbox {
  readonly receiver: Receiver
  readonly deliveries: readonly Delivery[]
  ids(): readonly string[]
}

/** A receiver that does with each delivery what it is told; by default it acks. */
export async function inbox(
  transport: HttpPushTransport,
  from: ReceiveFrom,
  on: (delivery: Delivery, count: number) => unknown = (delivery) => delivery.settle('ack'),
  credit: number = 1_000,
): Promise<Inbox> {
  const deliveries: Delivery[] = []
  const receiver = await transport.receive(from, (delivery) => {
    deliveries.push(delivery)
    const settling = on(delivery, deliveries.length)
    if (settling instanceof Promise) settling.catch(() => {})
  })
  receiver.request(credit)
  return { receiver, deliveries, ids: () => deliveries.map(({ envelope: { id } }) => id) }
}

export function errorOf(result: SendResult | undefined): FairleadError {
  if (result?.status !== 'failed') throw new Error(`the message was ${result?.status}`)
  return result.error as FairleadError
}

/** Lets I/O go on until a condition holds. The test's own timeout is the bound. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await turns(1)
}

export async function turns(count: number = 20): Promise<void> {
  for (let n = 0; n < count; n++) await new Promise((resolve) => setImmediate(resolve))
}
