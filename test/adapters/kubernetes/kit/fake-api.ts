// The part of an API server that serves EndpointSlices, with a history to watch, and every way to misbehave that the real one and what stands before it have.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { SliceWriter } from './slice-book.ts'

interface Kept {
  readonly namespace: string
  readonly service: string
  readonly object: Record<string, unknown>
}

interface Happened {
  readonly version: number
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'
  readonly kept: Kept
}

interface Watching {
  readonly response: ServerResponse
  readonly namespace: string
  readonly service: string
}

/** What was asked. */
export interface Asked {
  readonly watch: boolean
  readonly query: URLSearchParams
  readonly path: string
  readonly authorization: string | undefined
}

/** An answer in place of the usual one. */
export interface Scripted {
  /** Which requests it is for. Default: any. */
  readonly for?: 'list' | 'watch' | undefined
  readonly status?: number | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** An object is sent as JSON. A watch with lines is left open. */
  readonly body?: unknown
  /** Lines of a watch; it stays open after them. */
  readonly lines?: readonly unknown[] | undefined
  /** The connection is closed in place of an answer, or after the lines. */
  readonly cut?: boolean | undefined
  /** The watch ends in good order after the lines. */
  readonly end?: boolean | undefined
  /** Nothing is answered at all. */
  readonly hang?: boolean | undefined
}

/** The Status document of a refusal. */
export const status = (code: number, reason: string, message = reason, details: object = {}): object => ({
  kind: 'Status',
  apiVersion: 'v1',
  status: 'Failure',
  message,
  reason,
  code,
  details,
})

/** A line that says that the version is forgotten. */
export const expiredEvent = (): object => ({
  type: 'ERROR',
  object: status(410, 'Expired', 'too old resource version: 1 (2)'),
})

export class FakeApi implements SliceWriter {
  readonly asked: Asked[] = []
  /** Answers in place of the usual ones, first come first served. */
  readonly script: Scripted[] = []
  /** The token that is let in; undefined: anybody. */
  token: string | undefined
  /** Watches send pieces of so many bytes. */
  pieces: number | undefined
  /** Answers are this, whatever is asked. */
  garbled: string | undefined
  slowMs = 0
  frozen = false
  port = 0
  #server: Server | undefined
  #kept = new Map<string, Kept>()
  #history: Happened[] = []
  #version = 100
  #oldest = 100
  readonly #watches = new Set<Watching>()
  readonly #sockets = new Set<Socket>()

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  get open(): number {
    return this.#sockets.size
  }

  get watches(): number {
    return this.#watches.size
  }

  get version(): number {
    return this.#version
  }

  async listen(): Promise<void> {
    const server = createServer((request, response) => void this.#serve(request, response))
    server.on('connection', (socket) => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket)).on('error', () => {})
    })
    server.keepAliveTimeout = 60_000
    await new Promise<void>((ready, failed) =>
      server.once('error', failed).listen(this.port, '127.0.0.1', () => ready()),
    )
    this.port = (server.address() as AddressInfo).port
    this.#server = server
  }

  /** Goes, as a process that is killed. */
  async kill(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    if (server === undefined) return
    const closed = new Promise((resolve) => server.close(resolve))
    this.cut()
    await closed
  }

  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy()
  }

  /** What it knows, to be put back. */
  save(): () => void {
    const [kept, version] = [new Map(this.#kept), this.#version]
    return () => this.#reset(kept, version)
  }

  empty(): void {
    this.#reset(new Map(), 1)
  }

  #reset(kept: Map<string, Kept>, version: number): void {
    this.#kept = new Map(kept)
    this.#version = version
    this.#oldest = version
    this.#history = []
  }

  /** Forgets the history: a watch from an older version is refused. */
  compact(): void {
    this.#oldest = this.#version
    this.#history = []
  }

  async put(namespace: string, name: string, slice: object): Promise<void> {
    const key = `${namespace}/${name}`
    const given = slice as { metadata: Record<string, unknown> }
    const before = this.#kept.get(key)
    const version = ++this.#version
    const uid =
      given.metadata.uid ?? (before?.object.metadata as { uid?: unknown } | undefined)?.uid ?? `uid-${version}`
    const labels = given.metadata.labels as Record<string, string>
    const metadata = { ...given.metadata, namespace, uid, resourceVersion: String(version) }
    const kept = { namespace, service: String(labels['kubernetes.io/service-name']), object: { ...slice, metadata } }
    this.#kept.set(key, kept)
    this.#happened({ version, type: before === undefined ? 'ADDED' : 'MODIFIED', kept })
  }

  async remove(namespace: string, name: string): Promise<void> {
    const kept = this.#kept.get(`${namespace}/${name}`)
    if (kept === undefined) return
    this.#kept.delete(`${namespace}/${name}`)
    const version = ++this.#version
    const metadata = { ...(kept.object.metadata as object), resourceVersion: String(version) }
    this.#happened({ version, type: 'DELETED', kept: { ...kept, object: { ...kept.object, metadata } } })
  }

  /** Sends every watch a bookmark of the present version. */
  bookmark(): void {
    for (const watching of this.#watches)
      this.#line(watching.response, {
        type: 'BOOKMARK',
        object: { kind: 'EndpointSlice', metadata: { resourceVersion: String(++this.#version) } },
      })
  }

  /** Sends every watch this line. */
  say(line: unknown): void {
    for (const { response } of this.#watches) this.#line(response, line)
  }

  /** Ends every watch in good order. */
  finish(): void {
    for (const { response } of this.#watches) response.end()
  }

  #happened(event: Happened): void {
    this.#history.push(event)
    for (const { response, namespace, service } of this.#watches)
      if (event.kept.namespace === namespace && event.kept.service === service)
        this.#line(response, { type: event.type, object: event.kept.object })
  }

  #line(response: ServerResponse, line: unknown): void {
    if (this.frozen || response.destroyed) return
    const bytes = Buffer.from(`${typeof line === 'string' ? line : JSON.stringify(line)}\n`)
    if (this.pieces === undefined) response.write(bytes)
    else for (let at = 0; at < bytes.length; at += this.pieces) response.write(bytes.subarray(at, at + this.pieces))
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on('error', () => {})
    const url = new URL(request.url ?? '', this.url)
    const query = url.searchParams
    const watch = query.get('watch') === '1'
    this.asked.push({ watch, query, path: url.pathname, authorization: request.headers.authorization })
    if (this.slowMs > 0) await new Promise((resolve) => setTimeout(resolve, this.slowMs))
    if (this.frozen) return
    const index = this.script.findIndex((each) => each.for === undefined || (each.for === 'watch') === watch)
    const [scripted] = index === -1 ? [] : this.script.splice(index, 1)
    if (scripted !== undefined) return this.#scripted(response, scripted)
    if (this.garbled !== undefined) {
      response.end(this.garbled)
      return
    }
    if (this.token !== undefined && request.headers.authorization !== `Bearer ${this.token}`)
      return this.#refuse(response, 401, status(401, 'Unauthorized'))
    const namespace = /^\/apis\/discovery\.k8s\.io\/v1\/namespaces\/([^/]+)\/endpointslices$/.exec(url.pathname)?.[1]
    const service = /^kubernetes\.io\/service-name=(.+)$/.exec(query.get('labelSelector') ?? '')?.[1]
    if (namespace === undefined || service === undefined) return this.#refuse(response, 404, status(404, 'NotFound'))
    if (watch) this.#watch(response, query, namespace, service)
    else this.#list(response, query, namespace, service)
  }

  #list(response: ServerResponse, query: URLSearchParams, namespace: string, service: string): void {
    const least = Number(query.get('resourceVersion') ?? 0)
    if (least > this.#version) {
      const details = { causes: [{ reason: 'ResourceVersionTooLarge' }] }
      this.#refuse(response, 504, status(504, 'Timeout', 'Too large resource version', details))
      return
    }
    const items = [...this.#kept.values()]
      .filter((kept) => kept.namespace === namespace && kept.service === service)
      .map(({ object }) => object)
    response.setHeader('content-type', 'application/json')
    response.end(
      JSON.stringify({ kind: 'EndpointSliceList', metadata: { resourceVersion: String(this.#version) }, items }),
    )
  }

  #watch(response: ServerResponse, query: URLSearchParams, namespace: string, service: string): void {
    const from = Number(query.get('resourceVersion'))
    response.writeHead(200, { 'content-type': 'application/json' })
    response.flushHeaders()
    if (from < this.#oldest) {
      this.#line(response, expiredEvent())
      response.end()
      return
    }
    const watching = { response, namespace, service }
    this.#watches.add(watching)
    response.once('close', () => this.#watches.delete(watching))
    for (const { version, type, kept } of this.#history)
      if (version > from && kept.namespace === namespace && kept.service === service)
        this.#line(response, { type, object: kept.object })
  }

  #scripted(
    response: ServerResponse,
    { status: code = 200, headers = {}, body, lines, cut, end, hang }: Scripted,
  ): void {
    if (hang === true) return
    if (lines === undefined && cut === true) {
      response.socket?.resetAndDestroy()
      return
    }
    response.writeHead(code, { 'content-type': 'application/json', ...headers })
    if (lines === undefined) {
      response.end(typeof body === 'string' ? body : JSON.stringify(body))
      return
    }
    response.flushHeaders()
    for (const line of lines) this.#line(response, line)
    if (cut === true) setTimeout(() => response.socket?.resetAndDestroy(), 20)
    else if (end === true) response.end()
  }

  #refuse(response: ServerResponse, code: number, body: object): void {
    response.writeHead(code, { 'content-type': 'application/json' })
    response.end(JSON.stringify(body))
  }
}
