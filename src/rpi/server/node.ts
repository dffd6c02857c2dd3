// Carries requests of node:http, node:https and the compatibility API of node:http2.

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import { discard } from '../../core/discard.ts'
import { createError } from '../../errors/classes.ts'
import type { InFlight, Place } from './in-flight.ts'
import { type Serving, serve } from './serve.ts'
import { splitTarget } from './target.ts'
import { discardReply, type WireBody, type WireReply, type WireRequest } from './wire.ts'

/** A listener for `http.createServer`, `https.createServer` and `http2.createServer`. */
export type NodeListener = (
  request: IncomingMessage | Http2ServerRequest,
  response: ServerResponse | Http2ServerResponse,
) => void

type Incoming = IncomingMessage
type Outgoing = ServerResponse

/** Serves requests of Node. */
export function nodeListener(serving: Serving, inFlight: InFlight): NodeListener {
  return (request, response) => {
    // The compatibility API has what is used here, but for `connection`, which HTTP/2 does not know.
    void answer(serving, inFlight.enter(), request as Incoming, response as Outgoing)
  }
}

async function answer(serving: Serving, place: Place, request: Incoming, response: Outgoing): Promise<void> {
  const release = place.hold()
  const gone: (() => void)[] = []
  let closed = false
  const close = (): void => {
    if (closed) return
    closed = true
    release()
    // Not `writableFinished`, which HTTP/2 does not have.
    if (!response.writableEnded) for (const listener of gone) listener()
  }
  response.on('close', close)
  // Both are told of by 'close' as well; without a listener they would end the process.
  response.on('error', close)
  request.on('error', nothing)
  const reply = await serve(serving, new NodeRequest(request, gone, () => closed), place)
  if (closed) {
    discardReply(reply)
    return
  }
  try {
    await send(request, response, reply, serving.maxBodyBytes, () => closed)
  } catch {
    request.destroy()
  }
}

async function send(
  request: Incoming,
  response: Outgoing,
  reply: WireReply,
  limit: number,
  closed: () => boolean,
): Promise<void> {
  const { status, body } = reply
  const headers: Record<string, string> = { ...reply.headers }
  if (typeof body === 'string') headers['content-length'] = String(Buffer.byteLength(body))
  if (reply.close === true && request.httpVersionMajor < 2) headers['connection'] = 'close'
  if (!request.readableEnded) discard(request, limit)
  response.writeHead(status, headers)
  if (typeof body !== 'object') {
    response.end(body)
    return
  }
  response.flushHeaders?.()
  for await (const line of body) {
    if (closed()) break
    if (!response.write(line)) await drained(response)
  }
  response.end()
}

function drained(response: Outgoing): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off('drain', done)
      response.off('close', done)
      resolve()
    }
    response.on('drain', done)
    response.on('close', done)
  })
}

function nothing(): void {}

class NodeRequest implements WireRequest {
  readonly method: string
  readonly path: string
  readonly query: string
  readonly body: WireBody | undefined
  readonly #request: Incoming
  readonly #gone: (() => void)[]
  readonly #isGone: () => boolean

  constructor(request: Incoming, gone: (() => void)[], isGone: () => boolean) {
    this.#request = request
    this.#gone = gone
    this.#isGone = isGone
    this.method = request.method ?? 'GET'
    const { path, query } = splitTarget(request.url ?? '/')
    this.path = path
    this.query = query
    const length = request.headers['content-length']
    const none =
      length === '0' ||
      (length === undefined && request.headers['transfer-encoding'] === undefined && request.httpVersionMajor < 2)
    this.body = none ? undefined : new NodeBody(request)
  }

  header(name: string): string | undefined {
    const value = this.#request.headers[name]
    return Array.isArray(value) ? value.join(', ') : value
  }

  headers(): Readonly<Record<string, string>> {
    const headers: Record<string, string> = Object.create(null)
    for (const name of Object.keys(this.#request.headers))
      if (!name.startsWith(':')) headers[name] = this.header(name) as string
    return headers
  }

  onGone(listener: () => void): void {
    if (this.#isGone()) listener()
    else this.#gone.push(listener)
  }
}

class NodeBody implements WireBody {
  readonly #request: Incoming

  constructor(request: Incoming) {
    this.#request = request
  }

  collect(limit: number): Promise<Uint8Array | undefined> {
    const request = this.#request
    return new Promise((resolve, reject) => {
      const chunks: Uint8Array[] = []
      let size = 0
      const data = (chunk: Uint8Array): void => {
        size += chunk.length
        if (size <= limit) chunks.push(chunk)
        else over(() => resolve(undefined))
      }
      const end = (): void =>
        over(() => resolve(chunks.length === 1 ? (chunks[0] as Uint8Array) : Buffer.concat(chunks, size)))
      const cut = (): void =>
        over(() =>
          reject(createError({ code: 'CANCELLED', message: 'the client broke off the request', stack: false })),
        )
      const over = (settle: () => void): void => {
        request.off('data', data)
        request.off('end', end)
        request.off('close', cut)
        settle()
      }
      request.on('data', data)
      request.on('end', end)
      request.on('close', cut)
    })
  }

  // Left early, the request must not be destroyed: its connection has to carry the answer.
  chunks(): AsyncIterable<Uint8Array> {
    return {
      [Symbol.asyncIterator]: () => this.#request.iterator({ destroyOnReturn: false }) as AsyncIterator<Uint8Array>,
    }
  }
}
