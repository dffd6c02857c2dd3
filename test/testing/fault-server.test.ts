// Every behaviour of the fault server, met by real clients: what they report is what research says they do, and the server's counts are exact.
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import http from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'
import { createRequire } from 'node:module'
import net from 'node:net'
import tls from 'node:tls'
import { Agent, type Dispatcher, fetch as undiciFetch } from 'undici'
import { afterEach, describe, expect, it } from 'vitest'
import { type Clock, systemClock } from '../../src/core/clock.ts'
import {
  type CertificateKind,
  createFaultServer,
  createServerCertificate,
  type FaultServer,
  type FaultServerOptions,
  fault,
  type RequestFault,
  refusedPort,
} from '../../src/testing/fault-server/index.ts'

// Node 20 has undici 7, later ones have 8: they name two failures of HTTP/2 differently.
const UNDICI_7 = createRequire(import.meta.url)('undici/package.json').version.startsWith('7.')

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function start(options: FaultServerOptions = {}): Promise<FaultServer> {
  const server = await createFaultServer(options)
  cleanups.push(() => server.close())
  return server
}

function newAgent(options: Agent.Options = {}): Agent {
  const agent = new Agent(options)
  cleanups.push(() => agent.destroy())
  return agent
}

interface Outcome {
  status?: number
  headers: Record<string, unknown>
  body: Buffer
  /** How often undici began to send: none proves that nothing was sent. */
  starts: number
  error?: NodeJS.ErrnoException
}

interface Call {
  method?: Dispatcher.HttpMethod
  path?: string
  body?: string | Buffer
  headers?: Record<string, string>
  agent?: Agent
  signal?: AbortSignal
}

/** One call with undici's own dispatch, so that its start hook can be counted. */
function ask(
  server: { url: string; ca?: string | undefined; crl?: string | undefined },
  call: Call = {},
): Promise<Outcome> {
  const agent = call.agent ?? newAgent({ allowH2: false, connect: { ca: server.ca } })
  return new Promise((resolve) => {
    const outcome: Outcome = { headers: {}, body: Buffer.alloc(0), starts: 0 }
    const parts: Buffer[] = []
    const settle = (): void => {
      outcome.body = Buffer.concat(parts)
      resolve(outcome)
    }
    const { method = 'GET', path = '/', body = null, headers = {} } = call
    agent.dispatch(
      { origin: server.url, method, path, body, headers },
      {
        onRequestStart(controller) {
          outcome.starts++
          call.signal?.addEventListener('abort', () => controller.abort(new Error('aborted')))
        },
        onResponseStart(_controller, status, responseHeaders) {
          outcome.status = status
          outcome.headers = responseHeaders
        },
        onResponseData(_controller, chunk) {
          parts.push(chunk)
        },
        onResponseEnd: settle,
        onResponseError(_controller, error) {
          outcome.error = error
          settle()
        },
      },
    )
  })
}

const POST: Call = { method: 'POST', path: '/orders?x=1', body: 'hello world' }

/** Code, system call and name of what a client reported; HTTPParserError has no code. */
const said = (outcome: Outcome): (string | undefined)[] => [
  outcome.error?.code ?? outcome.error?.name,
  outcome.error?.syscall,
]

/** Connections, requests read, bodies read, requests left by the client. */
const counts = ({ seen }: FaultServer): number[] => [seen.connections, seen.requests(), seen.bodies(), seen.aborted()]

/** An injected clock whose timers fire when told. */
function handClock(): Clock & { advance(ms: number): void; readonly waiting: number } {
  let now = 0
  const timers = new Set<{ at: number; fire: () => void }>()
  return {
    ...systemClock,
    now: () => now,
    setTimer(callback, ms, arg) {
      const timer = { at: now + ms, fire: () => callback(arg) }
      timers.add(timer)
      return timer
    },
    clearTimer: (timer) => timers.delete(timer as never),
    advance(ms) {
      now += ms
      for (const timer of [...timers]) if (timer.at <= now && timers.delete(timer)) timer.fire()
    },
    get waiting() {
      return timers.size
    },
  }
}

describe('connections that fail', () => {
  it('refuses on a port that nobody can take meanwhile', async () => {
    const refused = await refusedPort()
    cleanups.push(() => refused.close())
    const outcome = await ask(refused)
    expect(said(outcome)).toEqual(['ECONNREFUSED', 'connect'])
    expect(outcome.starts).toBe(0)
    const squatter = net.createServer().listen(refused.port, '127.0.0.1')
    const [error] = await once(squatter, 'error')
    expect(error.code).toBe('EADDRINUSE')
  })

  it('refuses on its own port while it is down, and comes back on the same port', async () => {
    const server = await start()
    await server.refuse()
    expect(said(await ask(server))).toEqual(['ECONNREFUSED', 'connect'])
    await server.listen()
    expect((await ask(server)).status).toBe(200)
    expect(counts(server)).toEqual([1, 1, 1, 0])
  })

  it.each([
    ['resetAtAccept', fault.resetAtAccept(), ['ECONNRESET', 'connect'], 0],
    ['finAtAccept', fault.finAtAccept(), ['UND_ERR_SOCKET', undefined], 1],
    ['resetAtBytes', fault.resetAtBytes(), ['ECONNRESET', 'read'], 1],
    ['finAtBytes', fault.finAtBytes(), ['UND_ERR_SOCKET', undefined], 1],
  ])('%s without TLS', async (name, behaviour, expected, starts) => {
    const server = await start()
    server.next(behaviour)
    const outcome = await ask(server, POST)
    expect(said(outcome)).toEqual(expected)
    expect(outcome.starts).toBe(starts)
    expect(counts(server)).toEqual([1, 0, 0, 0])
    expect(server.seen.behaviours(name)).toBe(1)
    // Only that one connection.
    expect((await ask(server, POST)).status).toBe(200)
  })

  it.each([
    ['resetAtAccept', fault.resetAtAccept(), ['ECONNRESET', 'connect']],
    ['finAtAccept', fault.finAtAccept(), ['ECONNRESET', undefined]],
    ['resetAtBytes', fault.resetAtBytes(), ['ECONNRESET', 'read']],
    ['finAtBytes', fault.finAtBytes(), ['ECONNRESET', undefined]],
    ['plainReply', fault.plainReply(), ['ERR_SSL_WRONG_VERSION_NUMBER', undefined]],
  ])('%s under TLS: never sent', async (_name, behaviour, expected) => {
    const server = await start({ tls: 'good' })
    server.next(behaviour)
    const outcome = await ask(server, POST)
    expect(said(outcome)).toEqual(expected)
    expect(outcome.starts).toBe(0)
    expect(counts(server)).toEqual([1, 0, 0, 0])
    expect(server.seen.handshakes).toBe(0)
  })

  it('answers TLS on a plain port with plain HTTP', async () => {
    const server = await start()
    const outcome = await ask({ url: server.url.replace('http', 'https') })
    expect(said(outcome)[0]).toBe('ERR_SSL_WRONG_VERSION_NUMBER')
    expect(counts(server)).toEqual([1, 0, 0, 0])
  })

  it('hangs in the TLS handshake until released', async () => {
    const server = await start({ tls: 'good' })
    server.next(fault.hangAtAccept())
    const call = ask(server, POST)
    await server.accepted()
    expect(server.seen.handshakes).toBe(0)
    expect(server.release()).toBe(1)
    expect((await call).status).toBe(200)
    expect(counts(server)).toEqual([1, 1, 1, 0])
  })

  it('a hanging handshake is a connect timeout, and nothing was sent', async () => {
    const server = await start({ tls: 'good', behaviour: fault.hangAtAccept() })
    const outcome = await ask(server, { ...POST, agent: newAgent({ connect: { ca: server.ca, timeout: 20 } }) })
    expect(said(outcome)[0]).toBe('UND_ERR_CONNECT_TIMEOUT')
    expect(outcome.starts).toBe(0)
    expect(counts(server)).toEqual([1, 0, 0, 0])
  })
})

describe('certificates', () => {
  const kinds: [CertificateKind, string | undefined][] = [
    ['good', undefined],
    ['self-signed', 'DEPTH_ZERO_SELF_SIGNED_CERT'],
    ['expired', 'CERT_HAS_EXPIRED'],
    ['not-yet-valid', 'CERT_NOT_YET_VALID'],
    ['wrong-name', 'ERR_TLS_CERT_ALTNAME_INVALID'],
    ['unknown-ca', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
    ['unknown-ca-in-chain', 'SELF_SIGNED_CERT_IN_CHAIN'],
    ['unknown-ca-intermediate', 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY'],
    ['revoked', 'CERT_REVOKED'],
  ]

  it.each(kinds)('%s: %s', async (tls, code) => {
    const server = await start({ tls })
    // With a list at hand OpenSSL looks for one of every authority, so it is given only where it matters.
    const crl = tls === 'good' || tls === 'revoked' ? server.crl : undefined
    const outcome = await ask(server, { ...POST, agent: newAgent({ connect: { ca: server.ca, crl } }) })
    expect(outcome.error?.code).toBe(code)
    expect(outcome.starts).toBe(code === undefined ? 1 : 0)
    expect(server.seen.requests()).toBe(code === undefined ? 1 : 0)
    expect(server.seen.connections).toBe(1)
  })

  it('are certificates that others can read', () => {
    const { cert, ca, key } = createServerCertificate('good')
    const leaf = new X509Certificate(cert)
    const authority = new X509Certificate(ca)
    expect(leaf.subjectAltName).toBe('DNS:localhost, IP Address:127.0.0.1')
    expect(leaf.checkIP('127.0.0.1')).toBe('127.0.0.1')
    expect(leaf.ca).toBe(false)
    expect(authority.ca).toBe(true)
    expect(leaf.checkIssued(authority)).toBe(true)
    expect(leaf.verify(authority.publicKey)).toBe(true)
    expect(leaf.serialNumber).not.toBe(authority.serialNumber)
    expect([leaf.validFrom, leaf.validTo]).toEqual(['Jan  1 00:00:00 2000 GMT', 'Jan  1 00:00:00 2149 GMT'])
    expect(() => tls.createSecureContext({ key, cert, ca })).not.toThrow()
  })

  it('serves localhost too, to other clients', async () => {
    const server = await start({ tls: 'good' })
    const [response] = await once(
      https.get(`https://localhost:${server.port}/x`, { ca: server.ca, family: 4 }),
      'response',
    )
    response.resume()
    expect(response.statusCode).toBe(200)
    expect(server.seen.handshakes).toBe(1)
  })
})

describe('requests that break off', () => {
  const cases: [string, RequestFault, (string | undefined)[], number][] = [
    ['resetAfterRequest', fault.resetAfterRequest(), ['ECONNRESET', 'read'], 1],
    ['resetInRequest', fault.resetInRequest({ afterBodyBytes: 5 }), ['ECONNRESET', 'read'], 0],
    ['finBeforeHead', fault.finBeforeHead(), ['UND_ERR_SOCKET', undefined], 1],
    ['truncatedBody', fault.truncatedBody(), ['UND_ERR_SOCKET', undefined], 1],
    ['truncatedBody', fault.truncatedBody({ by: 'reset' }), ['ECONNRESET', 'read'], 1],
  ]

  it.each(cases)('%s in HTTP/1', async (name, behaviour, expected, bodies) => {
    const server = await start()
    server.next(behaviour)
    const outcome = await ask(server, POST)
    expect(said(outcome)).toEqual(expected)
    expect(outcome.starts).toBe(1)
    expect(counts(server)).toEqual([1, 1, bodies, 0])
    expect(server.requests[0]!.behaviour).toBe(name)
    expect(outcome.body.length).toBe(name === 'truncatedBody' ? 10 : 0)
  })

  it.each(cases)('%s under TLS', async (_name, behaviour, expected) => {
    const server = await start({ tls: 'good' })
    server.next(behaviour)
    expect(said(await ask(server, POST))).toEqual(expected)
    expect(server.seen.requests()).toBe(1)
  })

  it('resets in the middle of a body: exactly so much was read', async () => {
    const server = await start()
    server.next(fault.resetInRequest({ afterBodyBytes: 5 }))
    await ask(server, POST)
    const [request] = server.requests
    expect([request!.bodyBytes, request!.text(), request!.bodyComplete]).toEqual([5, 'hello', false])
  })

  it('cuts chunks off', async () => {
    const server = await start()
    server.next(fault.truncatedChunks(), fault.truncatedChunks({ by: 'reset' }))
    const outcome = await ask(server, POST)
    expect(said(outcome)).toEqual(['UND_ERR_SOCKET', undefined])
    expect(outcome.body.toString()).toBe('firstsecond')
    expect(said(await ask(server, POST))).toEqual(['ECONNRESET', 'read'])
    expect(counts(server)).toEqual([2, 2, 2, 0])
  })
})

describe('bytes that are not HTTP/1', () => {
  it.each([
    ['badChunk', fault.badChunk(), 'HTTPParserError'],
    ['notHttp', fault.notHttp(), 'HTTPParserError'],
    ['badStatusLine', fault.badStatusLine(), 'HTTPParserError'],
    ['badHeader', fault.badHeader(), 'HTTPParserError'],
    ['lengthAndChunked', fault.lengthAndChunked(), 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH'],
    ['conflictingLengths', fault.conflictingLengths(), 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH'],
    ['strayContinue', fault.strayContinue(), 'UND_ERR_SOCKET'],
    ['raw', fault.raw('HTTP/9.9 200 OK\r\n\r\n'), 'HTTPParserError'],
    ['oversizedHeaders', fault.oversizedHeaders(), 'UND_ERR_HEADERS_OVERFLOW'],
  ])('%s', async (name, behaviour, code) => {
    const server = await start()
    server.next(behaviour)
    const outcome = await ask(server, POST)
    expect(outcome.error?.code ?? outcome.error?.name).toBe(code)
    expect(counts(server)).toEqual([1, 1, 1, 0])
    expect(server.seen.behaviours(name)).toBe(1)
  })

  it.each([
    ['badChunk', fault.badChunk(), 'HPE_INVALID_CHUNK_SIZE'],
    ['notHttp', fault.notHttp(), 'HPE_INVALID_CONSTANT'],
    ['badStatusLine', fault.badStatusLine(), 'HPE_INVALID_STATUS'],
    ['badHeader', fault.badHeader(), 'HPE_INVALID_HEADER_TOKEN'],
    ['lengthAndChunked', fault.lengthAndChunked(), 'HPE_INVALID_TRANSFER_ENCODING'],
    ['conflictingLengths', fault.conflictingLengths(), 'HPE_UNEXPECTED_CONTENT_LENGTH'],
    ['oversizedHeaders', fault.oversizedHeaders(), 'HPE_HEADER_OVERFLOW'],
  ])('%s, as node:http names it', async (_name, behaviour, code) => {
    const server = await start({ behaviour })
    const error = await new Promise<NodeJS.ErrnoException>((resolve) => {
      const request = http.get(server.url, (response) => {
        response.on('error', resolve)
        response.resume()
      })
      request.on('error', resolve)
    })
    expect(error.code).toBe(code)
    expect(server.seen.requests()).toBe(1)
  })

  it('extraBytes are dropped silently', async () => {
    const server = await start()
    server.next(fault.extraBytes())
    const outcome = await ask(server)
    expect([outcome.status, outcome.body.toString()]).toEqual([200, '{"ok":true}'])
  })
})

describe('right answers', () => {
  it('answers 200 {"ok":true} unless told otherwise, and keeps the connection', async () => {
    const server = await start()
    const agent = newAgent({ connections: 1, pipelining: 1 })
    for (let call = 0; call < 3; call++) {
      const outcome = await ask(server, { agent })
      expect([outcome.status, outcome.body.toString()]).toEqual([200, '{"ok":true}'])
    }
    expect(counts(server)).toEqual([1, 3, 3, 0])
  })

  it('gives any status, with headers and body', async () => {
    const server = await start()
    server.next(
      fault.status(418, { headers: { 'x-tea': ['a', 'b'] }, body: 'pot' }),
      fault.status(204),
      fault.status(304),
    )
    const agent = newAgent({ connections: 1 })
    const teapot = await ask(server, { agent })
    expect([teapot.status, teapot.headers['x-tea'], teapot.body.toString()]).toEqual([418, ['a', 'b'], 'pot'])
    expect((await ask(server, { agent })).status).toBe(204)
    expect((await ask(server, { agent })).status).toBe(304)
    expect((await ask(server, { agent, method: 'HEAD' })).headers['content-length']).toBe('11')
    expect(counts(server)).toEqual([1, 4, 4, 0])
  })

  it('gives both forms of Retry-After', async () => {
    const server = await start()
    server.next(fault.retryAfter(2), fault.retryAfter({ at: Date.UTC(2030, 0, 2, 3, 4, 5) }, { status: 429 }))
    const seconds = await ask(server)
    expect([seconds.status, seconds.headers['retry-after']]).toEqual([503, '2'])
    const date = await ask(server)
    expect([date.status, date.headers['retry-after']]).toEqual([429, 'Wed, 02 Jan 2030 03:04:05 GMT'])
  })

  it('redirects for ever', async () => {
    const server = await start()
    server.on('/loop', fault.redirectLoop())
    const error = await undiciFetch(`${server.url}/loop?a=1`, { dispatcher: newAgent() }).catch((caught) => caught)
    expect(error.cause.message).toBe('redirect count exceeded')
    expect(server.seen.requests('/loop')).toBe(21)
    expect(server.requests.every((request) => request.target === '/loop?a=1')).toBe(true)
  })

  it('gives bodies that are not what they say', async () => {
    const server = await start()
    server.next(fault.malformedJson(), fault.wrongContentType())
    const malformed = await ask(server)
    expect([malformed.status, malformed.headers['content-type']]).toEqual([200, 'application/json'])
    expect(() => JSON.parse(malformed.body.toString())).toThrow(SyntaxError)
    const page = await ask(server)
    expect([page.status, page.headers['content-type']]).toEqual([200, 'text/html'])
  })

  it.each(['gzip', 'br', 'deflate'] as const)('compresses with %s, and breaks that', async (encoding) => {
    const server = await start()
    const dispatcher = newAgent()
    server.next(fault.compressed({ a: 1 }, encoding), fault.brokenCompression(encoding))
    const response = await undiciFetch(server.url, { dispatcher })
    expect(response.headers.get('content-encoding')).toBe(encoding)
    expect(await response.json()).toEqual({ a: 1 })
    const broken = await undiciFetch(server.url, { dispatcher })
    const outcome = await broken.json().catch((error) => error)
    expect(outcome).toBeInstanceOf(Error)
  })

  it.each([false, true])('sends a huge body, without length: %s', async (withoutLength) => {
    const server = await start()
    server.next(fault.hugeBody({ bytes: 3_000_001, withoutLength }))
    const outcome = await ask(server)
    expect(outcome.headers['content-length']).toBe(withoutLength ? undefined : '3000001')
    expect(outcome.body.length).toBe(3_000_001)
  })

  it('stops a huge body when the client has seen enough', async () => {
    const server = await start()
    server.next(fault.hugeBody({ bytes: 2 ** 40 }))
    const request = http.get(server.url, (response) => response.once('data', () => request.destroy()))
    request.on('error', () => {})
    await server.aborted()
    await server.idle()
    expect(counts(server)).toEqual([1, 1, 1, 1])
  })
})

describe('stale connections', () => {
  it('closes right after an answer that promised to stay', async () => {
    const server = await start()
    server.next(fault.staleKeepAlive())
    const agent = newAgent({ connections: 1 })
    const closed = once(agent, 'disconnect')
    expect((await ask(server, { agent })).headers['connection']).toBe('keep-alive')
    await closed
    expect(server.seen.open).toBe(0)
    expect((await ask(server, { agent })).status).toBe(200)
    expect(counts(server)).toEqual([2, 2, 2, 0])
  })

  it('breaks when it is reused, and has read nothing of the second request', async () => {
    const server = await start()
    server.next(fault.staleKeepAlive({ when: 'on-reuse' }))
    const agent = newAgent({ connections: 1 })
    expect((await ask(server, { agent })).status).toBe(200)
    const second = await ask(server, { agent, ...POST })
    expect([...said(second), second.starts]).toEqual(['ECONNRESET', 'read', 1])
    expect(counts(server)).toEqual([1, 1, 1, 0])
  })
})

describe('answers that come late', () => {
  it('hangs before the head until released', async () => {
    const server = await start()
    server.on('/slow', fault.hangBeforeHead(fault.status(201)))
    const calls = [ask(server, { path: '/slow' }), ask(server, { path: '/slow?2' })]
    await server.arrived('/slow', 2)
    expect(server.seen.requests('/slow')).toBe(2)
    expect((await ask(server, { path: '/fast' })).status).toBe(200)
    expect(server.release('/other')).toBe(0)
    expect(server.release('/slow')).toBe(2)
    for (const outcome of await Promise.all(calls)) expect(outcome.status).toBe(201)
    // A release is for those who wait, not for those to come.
    const third = ask(server, { path: '/slow' })
    await server.arrived('/slow', 3)
    expect(server.release()).toBe(1)
    expect((await third).status).toBe(201)
  })

  it('is a headers timeout, counted as left by the client', async () => {
    const server = await start({ behaviour: fault.hangBeforeHead() })
    const outcome = await ask(server, { agent: newAgent({ headersTimeout: 10 }) })
    expect(said(outcome)[0]).toBe('UND_ERR_HEADERS_TIMEOUT')
    await server.aborted()
    expect(counts(server)).toEqual([1, 1, 1, 1])
    expect(server.release()).toBe(0)
  })

  it('hangs in the body after so many bytes', async () => {
    const server = await start()
    server.next(fault.hangInBody({ afterBytes: 4, body: 'abcdefgh' }))
    const [response] = await once(http.get(server.url), 'response')
    const [first] = await once(response, 'data')
    expect(first.toString()).toBe('abcd')
    server.release()
    const [second] = await once(response, 'data')
    expect(second.toString()).toBe('efgh')
  })

  it('is a body timeout', async () => {
    const server = await start({ behaviour: fault.hangInBody() })
    const outcome = await ask(server, { agent: newAgent({ bodyTimeout: 10 }) })
    expect([said(outcome)[0], outcome.body.toString()]).toEqual(['UND_ERR_BODY_TIMEOUT', '{'])
    await server.aborted()
  })

  it('drips byte by byte, as told', async () => {
    const server = await start()
    server.on('/drip', fault.slowDrip({ body: 'abcdef' }))
    const [response] = await once(http.get(`${server.url}/drip`), 'response')
    const heard: string[] = []
    for (const byte of ['a', 'b']) {
      expect(server.drip('/drip')).toBe(1)
      const [chunk] = await once(response, 'data')
      heard.push(chunk.toString())
      expect(heard.at(-1)).toBe(byte)
    }
    let rest = ''
    response.on('data', (chunk: Buffer) => {
      rest += chunk
    })
    server.drip('/drip', 2)
    server.release('/drip')
    await once(response, 'end')
    expect(rest).toBe('cdef')
  })

  it('drips and delays on the injected clock', async () => {
    const clock = handClock()
    const server = await start({ clock })
    server.next(fault.slowDrip({ everyMs: 1000, body: 'ab' }), fault.delayed(5000, fault.status(202)))
    const [response] = await once(http.get(server.url), 'response')
    for (const byte of ['a', 'b']) {
      clock.advance(999)
      expect(clock.waiting).toBe(1)
      clock.advance(1)
      const [chunk] = await once(response, 'data')
      expect(chunk.toString()).toBe(byte)
    }
    const late = ask(server)
    await server.arrived(undefined, 2)
    clock.advance(5000)
    expect((await late).status).toBe(202)
  })

  it('clears its timer when the client leaves', async () => {
    const clock = handClock()
    const server = await start({ clock, behaviour: fault.delayed(60_000) })
    const controller = new AbortController()
    const call = ask(server, { signal: controller.signal })
    await server.arrived()
    expect(clock.waiting).toBe(1)
    controller.abort()
    expect((await call).error?.message).toBe('aborted')
    await server.aborted('/')
    expect(clock.waiting).toBe(0)
  })
})

describe('HTTP/2', () => {
  interface H2Outcome {
    status?: number | undefined
    body: string
    rstCode: number
    error?: NodeJS.ErrnoException
    goaway?: number[]
  }

  function connectH2(server: FaultServer): http2.ClientHttp2Session {
    const session = http2.connect(server.url, { ca: server.ca })
    session.on('error', () => {})
    cleanups.push(() => session.destroy())
    return session
  }

  function askH2(session: http2.ClientHttp2Session, path = '/', body = 'hello'): Promise<H2Outcome> {
    return new Promise((resolve) => {
      const outcome: H2Outcome = { body: '', rstCode: 0 }
      session.once('goaway', (...args) => {
        outcome.goaway = args.slice(0, 2) as number[]
      })
      const stream = session.request({ ':method': 'POST', ':path': path })
      stream.on('response', (headers) => {
        outcome.status = headers[':status']
      })
      stream.on('data', (chunk) => {
        outcome.body += chunk
      })
      stream.on('error', (error) => {
        outcome.error = error
      })
      stream.on('close', () => resolve({ ...outcome, rstCode: stream.rstCode }))
      stream.end(body)
    })
  }

  describe.each(['h2c', 'h2'] as const)('%s', (protocol) => {
    it('answers, many streams on one connection', async () => {
      const server = await start({ protocol })
      const session = connectH2(server)
      const outcomes = await Promise.all(['/a', '/b', '/c'].map((path) => askH2(session, path)))
      for (const outcome of outcomes) expect([outcome.status, outcome.body]).toEqual([200, '{"ok":true}'])
      expect(counts(server)).toEqual([1, 3, 3, 0])
      expect(server.seen.streams).toBe(3)
      expect(server.seen.handshakes).toBe(protocol === 'h2' ? 1 : 0)
      expect(server.requests.map((request) => [request.path, request.stream, request.text()])).toEqual([
        ['/a', 1, 'hello'],
        ['/b', 3, 'hello'],
        ['/c', 5, 'hello'],
      ])
    })

    it.each([
      ['refusedStream', fault.refusedStream(), 7, 'NGHTTP2_REFUSED_STREAM', 0],
      ['enhanceYourCalm', fault.enhanceYourCalm(), 11, 'NGHTTP2_ENHANCE_YOUR_CALM', 0],
      ['internalError', fault.internalError(), 2, 'NGHTTP2_INTERNAL_ERROR', 1],
      ['protocolError', fault.protocolError(), 1, 'NGHTTP2_PROTOCOL_ERROR', 1],
      ['resetStream', fault.resetStream(9), 9, 'NGHTTP2_COMPRESSION_ERROR', 1],
    ])('%s, then the session goes on', async (name, behaviour, rstCode, text, bodies) => {
      const server = await start({ protocol })
      server.next(behaviour)
      const session = connectH2(server)
      const outcome = await askH2(session)
      expect([outcome.rstCode, outcome.error?.code]).toEqual([rstCode, 'ERR_HTTP2_STREAM_ERROR'])
      expect(outcome.error?.message).toContain(text)
      expect(counts(server)).toEqual([1, 1, bodies, 0])
      expect((await askH2(session)).status).toBe(200)
      expect([server.seen.connections, server.seen.streams, server.seen.behaviours(name)]).toEqual([1, 2, 1])
    })

    it.each([
      ['cancelledStream', fault.cancelledStream(), 8],
      ['noErrorEarly', fault.noErrorEarly(), 0],
    ])('%s ends without an answer', async (_name, behaviour, rstCode) => {
      const server = await start({ protocol })
      server.next(behaviour)
      const outcome = await askH2(connectH2(server))
      expect([outcome.status, outcome.rstCode]).toEqual([undefined, rstCode])
      expect(server.seen.streams).toBe(1)
    })

    it('GOAWAY below the stream: not processed', async () => {
      const server = await start({ protocol })
      server.on('/drain', fault.goaway())
      const session = connectH2(server)
      expect((await askH2(session)).status).toBe(200)
      const outcome = await askH2(session, '/drain')
      expect(outcome.goaway).toEqual([0, 1])
      expect([outcome.rstCode, outcome.error?.code]).toEqual([7, 'ERR_HTTP2_STREAM_ERROR'])
      // On a first request "below" is stream 0.
      const first = await askH2(connectH2(server), '/drain')
      expect([first.goaway, first.rstCode]).toEqual([[0, 0], 7])
      expect([server.seen.connections, server.seen.streams, server.seen.bodies('/drain')]).toEqual([2, 3, 0])
    })

    it('ENHANCE_YOUR_CALM for the session', async () => {
      const server = await start({ protocol })
      server.next(fault.enhanceYourCalmSession())
      const outcome = await askH2(connectH2(server))
      expect(outcome.goaway).toEqual([11, 1])
      expect(outcome.error?.code).toBe('ERR_HTTP2_SESSION_ERROR')
      expect(outcome.error?.message).toContain('error code 11')
      expect(counts(server)).toEqual([1, 1, 1, 0])
    })

    it('resets, cuts, hangs, drips', async () => {
      const server = await start({ protocol })
      server.next(fault.resetAfterRequest(), fault.truncatedBody(), fault.hangInBody(), fault.slowDrip({ body: 'abc' }))
      const reset = await askH2(connectH2(server))
      expect([reset.error?.code, reset.status]).toEqual(['ECONNRESET', undefined])
      const cut = await askH2(connectH2(server))
      expect([cut.status, cut.body.length, cut.rstCode]).toEqual([200, 10, 8])
      const session = connectH2(server)
      const hanging = askH2(session)
      await server.arrived(undefined, 3)
      const dripping = askH2(session)
      await server.arrived(undefined, 4)
      expect(server.release()).toBe(2)
      expect((await hanging).body).toBe('{"ok":true}')
      expect((await dripping).body).toBe('abc')
      expect(counts(server)).toEqual([3, 4, 4, 0])
    })

    it('answers HEAD', async () => {
      const server = await start({ protocol })
      server.on('/huge', fault.hugeBody({ bytes: 5 })).on('/held', fault.hangInBody())
      const session = connectH2(server)
      for (const path of ['/', '/huge', '/held']) {
        const stream = session.request({ ':method': 'HEAD', ':path': path })
        const [headers] = await once(stream, 'response')
        expect(headers[':status']).toBe(200)
        stream.resume()
        await once(stream, 'close')
      }
      expect(counts(server)).toEqual([1, 3, 3, 0])
    })

    it('sends huge bodies and huge headers, and counts a client that leaves', async () => {
      const server = await start({ protocol })
      server.next(fault.hugeBody({ bytes: 3_000_001 }), fault.oversizedHeaders(), fault.hangBeforeHead())
      const session = connectH2(server)
      expect((await askH2(session)).body.length).toBe(3_000_001)
      expect((await askH2(session)).status).toBe(200)
      const stream = session.request({ ':path': '/held' })
      stream.on('error', () => {})
      await server.arrived('/held')
      stream.close(http2.constants.NGHTTP2_CANCEL)
      await server.aborted('/held')
      expect(server.seen.aborted()).toBe(1)
    })
  })

  it.each([
    ['refusedStream', fault.refusedStream(), 'ERR_HTTP2_STREAM_ERROR'],
    ['enhanceYourCalm', fault.enhanceYourCalm(), 'ERR_HTTP2_STREAM_ERROR'],
    ['internalError', fault.internalError(), 'ERR_HTTP2_STREAM_ERROR'],
    ['cancelledStream', fault.cancelledStream(), 'UND_ERR_INFO'],
    ['noErrorEarly', fault.noErrorEarly(), 'UND_ERR_INFO'],
    ['goaway', fault.goaway(), UNDICI_7 ? 'UND_ERR_SOCKET' : 'UND_ERR_INFO'],
    ['enhanceYourCalmSession', fault.enhanceYourCalmSession(), UNDICI_7 ? 'UND_ERR_SOCKET' : 'ERR_HTTP2_SESSION_ERROR'],
    ['resetAfterRequest', fault.resetAfterRequest(), 'ECONNRESET'],
    ['finBeforeHead', fault.finBeforeHead(), 'UND_ERR_SOCKET'],
  ])('%s, as undici names it', async (_name, behaviour, code) => {
    const server = await start({ protocol: 'h2', behaviour })
    const agent = newAgent({ allowH2: true, connect: { ca: server.ca } })
    const outcome = await ask(server, { ...POST, agent })
    expect(outcome.error?.code).toBe(code)
    // A client may send again by itself (research M14): each time its start hook runs, and the server sees a stream.
    expect(server.seen.streams).toBe(outcome.starts)
  })

  it('speaks no HTTP/1 under ALPN, and a bad certificate stays bad', async () => {
    const server = await start({ protocol: 'h2', tls: 'expired' })
    const agent = newAgent({ allowH2: true, connect: { ca: server.ca } })
    expect((await ask(server, { agent })).error?.code).toBe('CERT_HAS_EXPIRED')
    const plain = await start({ protocol: 'h2' })
    expect((await ask(plain)).error?.code).toBe('ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL')
    expect(plain.seen.streams).toBe(0)
  })
})

describe('what the server remembers', () => {
  it('counts per path, per method and path, per behaviour', async () => {
    const server = await start()
    server.on('/a', fault.status(500), fault.status(502), fault.json(1)).on('POST /a', fault.status(409))
    const statuses: unknown[] = []
    for (let call = 0; call < 4; call++) statuses.push((await ask(server, { path: '/a' })).status)
    statuses.push((await ask(server, { path: '/a?q', method: 'POST', body: 'x' })).status)
    expect(statuses).toEqual([500, 502, 200, 200, 409])
    expect(server.seen.requests('/a')).toBe(5)
    expect([server.seen.requests('GET /a'), server.seen.requests('POST /a'), server.seen.requests('/b')]).toEqual([
      4, 1, 0,
    ])
    expect([server.seen.behaviours('status'), server.seen.behaviours('json')]).toEqual([3, 2])
  })

  it('takes the queue before the path, and the path before the default', async () => {
    const server = await start({ behaviour: fault.status(400) })
    server.on('/a', fault.status(401)).next(fault.status(402), fault.resetAtAccept())
    expect((await ask(server, { path: '/a' })).error?.code).toBe('ECONNRESET')
    expect((await ask(server, { path: '/a' })).status).toBe(402)
    expect((await ask(server, { path: '/a' })).status).toBe(401)
    expect((await ask(server, { path: '/b' })).status).toBe(400)
    expect((await ask(server.otherwise(fault.status(403)), { path: '/b' })).status).toBe(403)
    server.clear()
    expect(counts(server)).toEqual([0, 0, 0, 0])
    expect(server.requests).toEqual([])
    expect((await ask(server, { path: '/a' })).status).toBe(400)
  })

  it('records heads and bodies, of bounded number and size, while counts stay exact', async () => {
    const server = await start({ keepRequests: 2, keepBodyBytes: 3 })
    const agent = newAgent({ connections: 1 })
    for (const body of ['one', 'two', 'three!']) {
      await ask(server, { agent, method: 'PUT', path: `/${body}?q=1`, body, headers: { 'X-Name': 'v' } })
    }
    expect(server.requests.map(({ path }) => path)).toEqual(['/two', '/three!'])
    const last = server.requests[1]!
    expect([last.method, last.target, last.headers['x-name'], last.connection]).toEqual(['PUT', '/three!?q=1', 'v', 1])
    expect([last.text(), last.bodyBytes, last.bodyComplete]).toEqual(['thr', 6, true])
    expect(counts(server)).toEqual([1, 3, 3, 0])
  })

  it('reads chunked bodies, pieces of any size, and bodies that wait for 100 Continue', async () => {
    const server = await start()
    const socket = net.connect(server.port, '127.0.0.1').setNoDelay(true)
    cleanups.push(() => socket.destroy())
    const text =
      'POST /raw HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\na: b\r\n\r\n'
    for (const byte of text) {
      socket.write(byte)
      await new Promise((resolve) => setImmediate(resolve))
    }
    const [answer] = await once(socket, 'data')
    expect(answer.toString()).toContain('200 OK')
    // The next request of the same connection begins where that one ended.
    socket.write('POST /raw HTTP/1.1\r\ncontent-length: 3\r\nexpect: 100-continue\r\n\r\n')
    expect((await once(socket, 'data')).toString()).toBe('HTTP/1.1 100 Continue\r\n\r\n')
    socket.write('abc')
    await server.arrived('/raw', 2)
    expect(server.requests.map((request) => request.text())).toEqual(['hello world', 'abc'])
    expect(counts(server)).toEqual([1, 2, 2, 0])
  })

  it('answers HEAD without a body, and a request whose body it did not read without mixing it into the next', async () => {
    const server = await start()
    server.on('/unread', {
      level: 'request',
      protocol: 'any',
      name: 'unread',
      readBody: 0,
      run: (exchange) => exchange.respond(413, {}, ''),
    })
    const socket = net.connect(server.port, '127.0.0.1')
    cleanups.push(() => socket.destroy())
    const answerTo = async (text: string): Promise<string> => {
      socket.write(text)
      return (await once(socket, 'data')).toString()
    }
    expect(await answerTo('HEAD / HTTP/1.1\r\n\r\n')).toMatch(/^HTTP\/1.1 200 OK[\s\S]*content-length: 11\r\n\r\n$/)
    server.next(fault.hugeBody({ bytes: 5, withoutLength: true }))
    expect(await answerTo('HEAD / HTTP/1.1\r\n\r\n')).toMatch(/chunked\r\n\r\n$/)
    expect(await answerTo('PUT /unread HTTP/1.1\r\ncontent-length: 4\r\n\r\nGET ')).toContain(' 413 ')
    expect(await answerTo('GET / HTTP/1.1\r\n\r\n')).toContain(' 200 ')
    expect(server.seen.connections).toBe(1)
    expect(server.requests.map(({ method }) => method)).toEqual(['HEAD', 'HEAD', 'PUT', 'GET'])
  })

  it('does not count half a head, nor nonsense', async () => {
    const server = await start()
    const socket = net.connect(server.port, '127.0.0.1')
    socket.end('GET / HTT')
    await once(socket, 'close')
    const other = net.connect(server.port, '127.0.0.1')
    other.write('GET nothing\r\n\r\n')
    expect((await once(other, 'data')).toString()).toContain('400 Bad Request')
    other.destroy()
    expect(counts(server)).toEqual([2, 0, 0, 0])
  })

  it('counts a client that leaves in the middle of its own request', async () => {
    const server = await start()
    const socket = net.connect(server.port, '127.0.0.1')
    socket.write('POST /half HTTP/1.1\r\ncontent-length: 100\r\n\r\nabc', () => socket.destroy())
    await server.aborted('/half')
    expect(counts(server)).toEqual([1, 1, 0, 1])
    expect(server.requests[0]!.bodyComplete).toBe(false)
  })

  it('closes every socket, and tells those who still wait', async () => {
    const server = await createFaultServer({ behaviour: fault.hangBeforeHead() })
    const call = ask(server)
    await server.arrived()
    const waiting = server.arrived('/never', 3).catch((error: Error) => error.message)
    await server.close()
    expect(await waiting).toBe('The fault server was closed while waiting for 3 requests of /never; it had seen 0.')
    expect(said(await call)[0]).toBe('UND_ERR_SOCKET')
    expect(server.seen.open).toBe(0)
    // It was the server that left.
    expect(server.seen.aborted()).toBe(0)
    await server.close()
  })
})

describe('use', () => {
  it('refuses behaviours of the other protocol', async () => {
    const h1 = await start()
    const h2 = await start({ protocol: 'h2c' })
    expect(() => h1.on('/x', fault.refusedStream())).toThrow(
      "fault.refusedStream needs HTTP/2, and this server has protocol: 'h1'",
    )
    expect(() => h2.next(fault.badChunk())).toThrow("fault.badChunk needs HTTP/1, and this server has protocol: 'h2c'")
    await expect(createFaultServer({ protocol: 'h2c', tls: 'good' })).rejects.toThrow(TypeError)
    await expect(createFaultServer({ behaviour: fault.goaway() })).rejects.toThrow(TypeError)
  })

  it('takes behaviours of one own, and shows their mistakes', async () => {
    const server = await start()
    const echo: RequestFault = {
      level: 'request',
      protocol: 'any',
      name: 'echo',
      run: (exchange) => exchange.respond(200, {}, exchange.request.text().toUpperCase()),
    }
    const broken: RequestFault = { ...echo, name: 'broken', run: () => Promise.reject(new Error('my mistake')) }
    server.next(echo, broken)
    expect((await ask(server, POST)).body.toString()).toBe('HELLO WORLD')
    const outcome = await ask(server, POST)
    expect([outcome.status, outcome.body.toString()]).toEqual([
      500,
      'The behaviour broken of the fault server threw: Error: my mistake',
    ])
  })
})
