// Carries requests of node:http, node:https and the compatibility API of node:http2.

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import { discard } from '../../core/discard.ts'
import { createError } from '../../errors/classes.ts'
import type { PushReply } from './request.ts'
import { type Serving, serve } from './serve.ts'

/** A listener for `http.createServer`, `https.createServer` and `http2.createServer`. */
export type PushListener = (
  request: IncomingMessage | Http2ServerRequest,
  response: ServerResponse | Http2ServerResponse,
) => void

/** Serves requests of Node. */
export function pushListener(serving: Serving): PushListener {
  return (request, response) => {
    void carry(serving, request as IncomingMessage, response as ServerResponse)
  }
}

async function carry(serving: Serving, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const gone = new Set<() => void>()
  let closed = false
  let finished = false
  let sent: PushReply['sent']
  response.on('finish', () => {
    finished = true
    sent?.(true)
  })
  response.on('close', () => {
    closed = true
    if (finished) return
    sent?.(false)
    for (const listener of gone) listener()
  })
  // Both are told of by 'close' as well; without a listener they would end the process.
  response.on('error', nothing)
  request.on('error', nothing)
  const reply = await serve(serving, {
    method: request.method ?? 'GET',
    path: pathOf(request.url ?? '/'),
    header(name) {
      const value = request.headers[name]
      return Array.isArray(value) ? value.join(', ') : value
    },
    headers: () => headersOf(request),
    collect: (limit) => collect(request, limit),
    onGone(listener) {
      if (closed) listener()
      else gone.add(listener)
    },
  })
  if (closed) {
    reply.sent?.(false)
    return
  }
  sent = reply.sent
  try {
    const headers: Record<string, string> = { ...reply.headers }
    if (reply.body !== undefined) headers['content-length'] = String(Buffer.byteLength(reply.body))
    if (!request.readableEnded) discard(request, serving.settings.maxPayloadBytes)
    response.writeHead(reply.status, headers)
    response.end(reply.body)
  } catch {
    request.destroy()
  }
}

function* headersOf(request: IncomingMessage): Generator<readonly [string, string]> {
  for (const [name, value] of Object.entries(request.headers))
    if (value !== undefined && !name.startsWith(':')) yield [name, Array.isArray(value) ? value.join(', ') : value]
}

function collect(request: IncomingMessage, limit: number): Promise<Uint8Array | undefined> {
  return new Promise((resolve, reject) => {
    const chunks: Uint8Array[] = []
    let size = 0
    const over = (settle: () => void): void => {
      request.off('data', data)
      request.off('end', end)
      request.off('close', cut)
      settle()
    }
    const data = (chunk: Uint8Array): void => {
      size += chunk.length
      if (size <= limit) chunks.push(chunk)
      else over(() => resolve(undefined))
    }
    const end = (): void => over(() => resolve(Buffer.concat(chunks, size)))
    const cut = (): void =>
      over(() => reject(createError({ code: 'CANCELLED', message: 'the sender broke off', stack: false })))
    request.on('data', data)
    request.on('end', end)
    request.on('close', cut)
  })
}

/** The path of a request target, which may be a whole URL. */
export function pathOf(target: string): string {
  const start = target.startsWith('/') ? 0 : target.indexOf('/', target.indexOf('://') + 3)
  const end = target.search(/[?#]/)
  return start < 0 ? '/' : target.slice(start, end < 0 ? undefined : end)
}

function nothing(): void {}
