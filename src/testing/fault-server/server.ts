// The fault server itself: accepts connections, gives each connection and each request its behaviour, and puts TLS in between.
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { createServer as createTlsServer, type TLSSocket } from 'node:tls'
import { type Clock, systemClock } from '../../core/clock.ts'
import { json } from './answers.ts'
import type { AcceptedConnection, Behaviour, ConnectionFault, RequestFault, SeenRequest } from './behaviour.ts'
import { type CertificateKind, createServerCertificate, type ServerCertificate } from './certificates.ts'
import { acceptedConnection, type Core, createConnection, ignore } from './connection.ts'
import { createGates } from './gates.ts'
import { serveHttp1 } from './http1.ts'
import { serveHttp2 } from './http2.ts'
import { createRecorder, type Seen } from './seen.ts'

/** Options of `createFaultServer`. */
export interface FaultServerOptions {
  /** `h1`: HTTP/1.1. `h2`: HTTP/2 over TLS (ALPN). `h2c`: HTTP/2 without TLS, by prior knowledge. Default: `h1`. */
  readonly protocol?: 'h1' | 'h2' | 'h2c' | undefined
  /** Speaks TLS and shows a certificate of this kind. Default: none; for `h2`: `good`. */
  readonly tls?: CertificateKind | undefined
  /** What every request (or every connection) meets unless said otherwise. Default: 200 with the JSON `{"ok":true}`. */
  readonly behaviour?: Behaviour | undefined
  /** For `fault.delayed` and `fault.slowDrip({ everyMs })`. Default: real time. */
  readonly clock?: Clock | undefined
  /** How many requests `server.requests` keeps, the newest. Default: 1000. Counts are exact all the same. */
  readonly keepRequests?: number | undefined
  /** How many bytes of each request's body are kept. Default: 65,536. */
  readonly keepBodyBytes?: number | undefined
}

/** A running fault server. */
export interface FaultServer {
  readonly host: '127.0.0.1'
  readonly port: number
  /** `http://127.0.0.1:port`, with TLS `https:`. */
  readonly url: string
  /** With TLS: PEM of the authority that a client must trust. */
  readonly ca: string | undefined
  /** With TLS: PEM of that authority's revocation list. */
  readonly crl: string | undefined

  /**
   * Sets what requests of this path (`'/stock'`, or only one method: `'GET /stock'`) meet: the first one the first behaviour, and so on; the last one stays.
   * Throws a TypeError for a behaviour that needs the other protocol.
   */
  on(path: string, first: RequestFault, ...then: readonly RequestFault[]): FaultServer
  /** Queues behaviours for whatever comes next, before paths are looked at: a connection fault for the next connection, others for the next requests. */
  next(...behaviours: readonly Behaviour[]): FaultServer
  /** Replaces the default for requests, or with a connection fault that for connections. */
  otherwise(behaviour: Behaviour): FaultServer

  /** Exact counts. */
  readonly seen: Seen
  /** The newest requests, in the order of their heads. */
  readonly requests: readonly SeenRequest[]

  /** Lets what hangs or drips now go on: of this path, or all, hanging connections too. Returns how many there were. */
  release(path?: string | undefined): number
  /** Lets so many more bytes of each dripping response go. Default: 1. Returns of how many responses. */
  drip(path?: string | undefined, bytes?: number | undefined): number

  /** Resolves once `count` requests (default 1) were read as far as their behaviour reads. Rejects if the server is closed first. */
  arrived(path?: string | undefined, count?: number | undefined): Promise<void>
  /** Resolves once `count` connections (default 1) were accepted. */
  accepted(count?: number | undefined): Promise<void>
  /** Resolves once `count` requests (default 1) were left by their client. */
  aborted(path?: string | undefined, count?: number | undefined): Promise<void>
  /** Resolves once no connection is open. */
  idle(): Promise<void>

  /** Forgets counts, requests, paths and queues, and goes back to the default it was made with. Connections stay. */
  clear(): void
  /** Goes down: closes every connection, and the port refuses (ECONNREFUSED) until `listen`. */
  refuse(): Promise<void>
  /** Comes back up on the same port. */
  listen(): Promise<void>
  /** Closes every socket. */
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** Puts TLS on an accepted socket; calls back when the handshake is done, and closes a socket whose handshake fails. */
function createSecureLayer(
  { key, cert }: ServerCertificate,
  alpn: 'h2' | 'http/1.1',
  onHandshake: () => void,
): (tcp: Socket, start: (socket: Socket) => void) => void {
  // By the client's port: the TLS socket does not tell on which socket it stands.
  const starts = new Map<number, (socket: Socket) => void>()
  const server = createTlsServer({ key, cert, ALPNProtocols: [alpn] }, (socket: TLSSocket) => {
    onHandshake()
    const start = starts.get(socket.remotePort ?? 0)
    // Without ALPN it would be HTTP/1, which an HTTP/2 server does not speak.
    if (start === undefined || (alpn === 'h2' && socket.alpnProtocol !== 'h2')) socket.destroySoon()
    else start(socket)
  })
  server.on('tlsClientError', (_error, socket) => socket.destroy())
  return (tcp, start) => {
    const port = tcp.remotePort ?? 0
    starts.set(port, start)
    tcp.once('close', () => starts.delete(port))
    server.emit('connection', tcp)
  }
}

/**
 * Starts a real server on 127.0.0.1 that fails as it is told to, and counts what it saw, so that a test can say
 * "the client gave up, and the server was asked exactly twice". Its behaviours are in `fault`.
 *
 * ```ts
 * const server = await createFaultServer()
 * server.on('/slow', fault.hangBeforeHead())                                    // every request of a path
 * server.on('/flaky', fault.resetAfterRequest(), fault.json({ ok: true }))      // one after the other; the last stays
 * server.next(fault.status(503, { headers: { 'retry-after': '2' } }))           // whatever comes next
 *
 * const call = fetch(`${server.url}/slow`)
 * await server.arrived('/slow')          // instead of sleeping
 * server.release('/slow')                // lets it answer
 * await call
 * server.seen.requests('/slow')          // 1
 * await server.close()
 *
 * const secure = await createFaultServer({ tls: 'expired' })                    // secure.ca for the client's `ca`
 * const h2 = await createFaultServer({ protocol: 'h2c', behaviour: fault.refusedStream() })
 * ```
 *
 * A behaviour of one's own is an object `{ level: 'request', protocol: 'any', name, run: async (exchange) => ... }`.
 */
export async function createFaultServer(options: FaultServerOptions = {}): Promise<FaultServer> {
  const protocol = options.protocol ?? 'h1'
  const http2 = protocol !== 'h1'
  const kind = options.tls ?? (protocol === 'h2' ? 'good' : undefined)
  if (protocol === 'h2c' && kind !== undefined) {
    throw new TypeError(`protocol 'h2c' is HTTP/2 without TLS; for tls: '${kind}' use protocol: 'h2'`)
  }
  const certificate = kind === undefined ? undefined : createServerCertificate(kind)

  const recorder = createRecorder(options.keepRequests ?? 1000, options.keepBodyBytes ?? 65_536)
  const gates = createGates()
  const paths = new Map<string, RequestFault[]>()
  const drops = new Map<Socket, () => void>()
  let requestQueue: RequestFault[] = []
  let connectionQueue: ConnectionFault[] = []
  let requestDefault: RequestFault = json({ ok: true })
  let connectionDefault: ConnectionFault | undefined

  const check = (behaviour: RequestFault): RequestFault => {
    const { name, protocol: needs } = behaviour
    if (needs === 'any' || (needs === 'h2') === http2) return behaviour
    throw new TypeError(
      `fault.${name} needs HTTP/${needs === 'h2' ? 2 : 1}, and this server has protocol: '${protocol}'`,
    )
  }
  const otherwise = (behaviour: Behaviour): void => {
    if (behaviour.level === 'connection') connectionDefault = behaviour
    else requestDefault = check(behaviour)
  }
  const reset = (): void => {
    requestDefault = json({ ok: true })
    connectionDefault = undefined
    if (options.behaviour !== undefined) otherwise(options.behaviour)
  }
  reset()

  const core: Core = {
    clock: options.clock ?? systemClock,
    recorder,
    gates,
    choose({ method, path }) {
      const queued = requestQueue.shift()
      if (queued !== undefined) return queued
      const list = paths.get(`${method} ${path}`) ?? paths.get(path)
      return (list !== undefined && list.length > 1 ? list.shift() : list?.[0]) ?? requestDefault
    },
  }

  function serve(id: number, tcp: Socket, socket: Socket): void {
    const connection = createConnection(id, tcp, socket)
    drops.set(tcp, () => connection.drop())
    if (http2) serveHttp2(core, connection)
    else serveHttp1(core, connection).catch(() => connection.reset())
  }

  const secure = certificate && createSecureLayer(certificate, http2 ? 'h2' : 'http/1.1', recorder.handshake)
  const begin = (id: number, tcp: Socket): void => {
    if (secure === undefined) serve(id, tcp, tcp)
    else secure(tcp, (socket) => serve(id, tcp, socket))
  }

  const server = createServer({ noDelay: true }, (tcp) => {
    const id = recorder.connected()
    drops.set(tcp, () => tcp.destroy())
    tcp.on('error', ignore)
    tcp.once('close', () => {
      drops.delete(tcp)
      recorder.disconnected()
    })
    const behaviour = connectionQueue.shift() ?? connectionDefault
    if (behaviour === undefined) return begin(id, tcp)
    recorder.behaviour(behaviour.name)
    const accepted: AcceptedConnection = acceptedConnection(tcp, gates, () => begin(id, tcp))
    // What a behaviour throws is told in the only way there is on a bare connection.
    behaviour.run(accepted).catch(() => tcp.resetAndDestroy())
  })

  async function listen(): Promise<void> {
    if (server.listening) return
    server.listen(address?.port ?? 0, '127.0.0.1')
    await once(server, 'listening')
  }
  async function refuse(): Promise<void> {
    for (const drop of drops.values()) drop()
    if (!server.listening) return
    await new Promise((resolve) => server.close(resolve))
  }
  async function close(): Promise<void> {
    recorder.close()
    await refuse()
  }

  let address: AddressInfo | undefined
  await listen()
  address = server.address() as AddressInfo
  const { seen, requests } = recorder
  const { port } = address

  const self: FaultServer = {
    host: '127.0.0.1',
    port,
    url: `${certificate === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    ca: certificate?.ca,
    crl: certificate?.crl,
    on(path, ...behaviours) {
      paths.set(path, behaviours.map(check))
      return self
    },
    next(...behaviours) {
      for (const behaviour of behaviours) {
        if (behaviour.level === 'connection') connectionQueue.push(behaviour)
        else requestQueue.push(check(behaviour))
      }
      return self
    },
    otherwise(behaviour) {
      otherwise(behaviour)
      return self
    },
    seen,
    requests,
    release: (path) => gates.release(path),
    drip: (path, bytes = 1) => gates.drip(path, bytes),
    arrived: (path, count = 1) =>
      recorder.until(`requests of ${path ?? 'any path'}`, () => recorder.arrived(path), count),
    accepted: (count = 1) => recorder.until('connections', () => seen.connections, count),
    aborted: (path, count = 1) =>
      recorder.until(`aborted requests of ${path ?? 'any path'}`, () => seen.aborted(path), count),
    idle: () => recorder.until('idle moments', () => (seen.open === 0 ? 1 : 0), 1),
    clear() {
      recorder.clear()
      paths.clear()
      requestQueue = []
      connectionQueue = []
      reset()
    },
    refuse,
    listen,
    close,
    [Symbol.asyncDispose]: close,
  }
  return self
}
