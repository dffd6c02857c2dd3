// The client that every HTTP registry uses, against real sockets: what is asked, what is told, what is left behind.
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import { type AddressInfo, createServer as createTcpServer, type Socket, type Server as TcpServer } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { gzipSync } from 'node:zlib'
import { afterEach, describe, expect, it } from 'vitest'
import {
  type RegistryClient,
  type RegistryClientOptions,
  registryClient,
} from '../../../src/adapters/registry/client.ts'
import { systemClock } from '../../../src/core/clock.ts'
import type { FairleadError } from '../../../src/errors/base.ts'
import { type FakeClock, fakeClock } from '../../../src/testing/fake-clock.ts'
import { type CertificateKind, createServerCertificate } from '../../../src/testing/fault-server/certificates.ts'

type Answering = (request: IncomingMessage, response: ServerResponse) => void

const opened: (() => Promise<unknown>)[] = []
const unhandled: unknown[] = []
const note = (reason: unknown): void => void unhandled.push(reason)
process.on('unhandledRejection', note)
process.on('uncaughtExceptionMonitor', note)

afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close()
  // What was thrown at nobody is told a turn later.
  await new Promise((resolve) => setImmediate(resolve))
  expect(unhandled.splice(0)).toEqual([])
})

interface Registry {
  readonly url: string
  readonly sockets: Set<Socket>
  /** How many requests came. */
  readonly asked: () => number
  /** Resolves when the next request has come. */
  next(): Promise<unknown>
}

const keepSockets = (server: Server | TcpServer): Set<Socket> => {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {}).on('close', () => sockets.delete(socket))
  })
  return sockets
}

const registry = async (answer: Answering): Promise<Registry> => {
  let asked = 0
  const server = createServer((request, response) => {
    asked++
    answer(request, response)
  })
  const sockets = keepSockets(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  opened.push(async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { url, sockets, asked: () => asked, next: () => once(server, 'request') }
}

const clientOf = (baseUrl: string, options: Partial<RegistryClientOptions> = {}): RegistryClient => {
  const client = registryClient({ baseUrl, timeoutMs: 5_000, clock: systemClock, ...options })
  opened.push(() => client.close())
  return client
}

const failure = async (work: Promise<unknown>): Promise<FairleadError> =>
  work.then(
    (value) => Promise.reject(new Error(`it went well: ${JSON.stringify(value)}`)),
    (error: unknown) => error as FairleadError,
  )

/** Takes connections and answers no TLS handshake: a connection to it is being opened for ever. */
const deaf = async (): Promise<{ readonly url: string; readonly sockets: Set<Socket> }> => {
  // What is not read hides that the other side has gone.
  const server = createTcpServer((socket) => void socket.resume())
  const sockets = keepSockets(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  opened.push(async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, sockets }
}

/** Until something is so; the event loop turns meanwhile. */
const until = async (so: () => boolean): Promise<void> => {
  while (!so()) await new Promise((resolve) => setImmediate(resolve))
}

describe('a question and its answer', () => {
  it('is asked with method, path, headers and body, and told with status, headers and text', async () => {
    let heard: unknown
    const { url } = await registry((request, response) => {
      let body = ''
      request.on('data', (piece) => (body += piece))
      request.on('end', () => {
        const { method, url: path, headers } = request
        heard = { method, path, body, token: headers['x-token'], type: headers['content-type'], accept: headers.accept }
        response.writeHead(404, { 'X-Index': '7', 'set-cookie': ['a=1', 'b=2'] }).end('nö')
      })
    })
    const client = clientOf(`${url}/v1/`, { headers: async () => ({ 'x-token': 'secret' }) })
    const answer = await client.request({ method: 'PUT', path: '/put?dc=a%20b', body: '{"a":1}' })
    expect(heard).toEqual({
      method: 'PUT',
      path: '/v1/put?dc=a%20b',
      body: '{"a":1}',
      token: 'secret',
      type: 'application/json',
      accept: 'application/json',
    })
    expect(answer).toMatchObject({ status: 404, text: 'nö', headers: { 'x-index': '7', 'set-cookie': 'a=1, b=2' } })
  })

  it('asks for the headers each time, so that a token may change', async () => {
    const seen: unknown[] = []
    const { url } = await registry((request, response) => {
      seen.push(request.headers['x-token'])
      response.end()
    })
    let count = 0
    const client = clientOf(url, { headers: () => ({ 'x-token': `t${++count}` }) })
    await client.request({ path: '/' })
    await client.request({ path: '/', headers: { 'x-token': 'its own' } })
    await client.request({ path: '/' })
    expect(seen).toEqual(['t1', 'its own', 't3'])
  })

  it('unpacks what was compressed', async () => {
    const { url } = await registry((request, response) => {
      response.writeHead(200, { 'content-encoding': 'GZIP', 'x-asked': String(request.headers['accept-encoding']) })
      response.end(gzipSync('{"much":"text"}'))
    })
    expect(await clientOf(url).request({ path: '/' })).toMatchObject({
      text: '{"much":"text"}',
      headers: { 'x-asked': 'gzip' },
    })
  })

  it('makes user and password of the address a header, and shows them to nobody', async () => {
    let heard: string | undefined
    const { url, sockets } = await registry((request, response) => {
      heard = request.headers.authorization
      response.destroy()
    })
    const client = clientOf(url.replace('//', '//ann:p%40ss%@'))
    expect(client.baseUrl).toBe(url)
    const error = await failure(client.request({ path: '/' }))
    expect(heard).toBe(`Basic ${Buffer.from('ann:p%40ss%').toString('base64')}`)
    expect(JSON.stringify(error)).not.toContain('p%40')
    await until(() => sockets.size === 0)
    const good = clientOf(url.replace('//', '//ann:p%40ss@'))
    await failure(good.request({ path: '/' }))
    expect(heard).toBe(`Basic ${Buffer.from('ann:p@ss').toString('base64')}`)
  })

  it.each([
    '',
    'consul:8500',
    'ftp://host',
    'http://u:secret@',
    'http://host/?a=secret',
    'http://host/#a',
    'http://u:pa/secret@host:8500x',
    undefined,
  ])('refuses the address %s', (baseUrl) => {
    const make = () => registryClient({ baseUrl: baseUrl as string, timeoutMs: 1, clock: fakeClock() })
    expect(make).toThrow(expect.objectContaining({ code: 'INVALID_OPTIONS' }))
    expect(make).not.toThrow(/secret/)
  })
})

describe('what is no answer', () => {
  it('says that nobody listens', async () => {
    const port = createTcpServer().listen(0, '127.0.0.1')
    await once(port, 'listening')
    const free = (port.address() as AddressInfo).port
    await new Promise((closed) => port.close(closed))
    expect(await failure(clientOf(`http://127.0.0.1:${free}`).request({ path: '/' }))).toMatchObject({
      code: 'CONNECTION_REFUSED',
      effect: 'none',
    })
  })

  it.each([
    ['before its head', (response: ServerResponse) => response.destroy()],
    [
      'in the middle of its body',
      (response: ServerResponse) => {
        response.writeHead(200, { 'content-length': '100' })
        response.write('{"half', () => response.destroy())
      },
    ],
    [
      'in the middle of a chunk',
      (response: ServerResponse) => {
        response.write('{"half', () => response.destroy())
      },
    ],
  ])('says that the connection broke %s', async (_, breakOff) => {
    const { url } = await registry((_request, response) => breakOff(response))
    const error = await failure(clientOf(url).request({ path: '/' }))
    expect(['CONNECTION_LOST', 'REPLY_TRUNCATED']).toContain(error.code)
  })

  it('says that it is no HTTP', async () => {
    const server = createTcpServer((socket) => void socket.resume().end('220 mail ready\r\n'))
    const sockets = keepSockets(server)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    opened.push(async () => server.close())
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    expect((await failure(clientOf(url).request({ path: '/' }))).kind).toBe('arbitrary')
    await until(() => sockets.size === 0)
  })
})

describe('the size of an answer', () => {
  const most = 64 * 1024

  it('is bounded while it comes, and the connection is given up', async () => {
    const { url, sockets } = await registry((_request, response) => {
      const piece = Buffer.alloc(16 * 1024, 32)
      const more = (): void => {
        if (!response.destroyed) response.write(piece, () => setImmediate(more))
      }
      more()
    })
    const error = await failure(clientOf(url, { maxBodyBytes: most }).request({ path: '/' }))
    expect(error.code).toBe('REPLY_TOO_LARGE')
    await until(() => sockets.size === 0)
  })

  it('is bounded unpacked as well', async () => {
    const bomb = gzipSync(Buffer.alloc(20 * 1024 * 1024))
    expect(bomb.length).toBeLessThan(most)
    const { url } = await registry((_request, response) =>
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(bomb),
    )
    const error = await failure(clientOf(url, { maxBodyBytes: most }).request({ path: '/' }))
    expect(error.code).toBe('REPLY_TOO_LARGE')
  })

  it('may be exactly the limit', async () => {
    const text = ' '.repeat(most)
    const { url } = await registry((request, response) => {
      if (request.url === '/plain') response.end(text)
      else response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(text))
    })
    const client = clientOf(url, { maxBodyBytes: most })
    expect((await client.request({ path: '/plain' })).text.length).toBe(most)
    expect((await client.request({ path: '/packed' })).text.length).toBe(most)
  })

  it.each([
    ['half of it', gzipSync('{"a":"'.padEnd(5_000, 'x')).subarray(0, 20)],
    ['something else', Buffer.from('{"plain":true}')],
    ['nothing', Buffer.alloc(0)],
  ])('says when what claims to be compressed is %s', async (_, body) => {
    const { url } = await registry((_request, response) =>
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(body),
    )
    expect((await failure(clientOf(url).request({ path: '/' }))).code).toBe('REPLY_UNDECODABLE')
  })
})

describe('time, on a clock that stands still', () => {
  const timed = (url: string, options: Partial<RegistryClientOptions> = {}): [RegistryClient, FakeClock] => {
    const clock = fakeClock()
    return [clientOf(url, { timeoutMs: 1_000, clock, ...options }), clock]
  }

  it('is exact to the millisecond for the head', async () => {
    const { url, next, sockets } = await registry(() => {})
    const [client, clock] = timed(url)
    let settled = false
    const asked = failure(client.request({ path: '/' })).finally(() => (settled = true))
    await next()
    await clock.advance(999)
    expect(settled).toBe(false)
    await clock.advance(1)
    expect(settled).toBe(true)
    expect(await asked).toMatchObject({ code: 'ATTEMPT_TIMEOUT', message: expect.stringContaining('1000 ms') })
    await until(() => sockets.size === 0)
    expect(clock.pending).toBe(0)
  })

  it('counts until the whole body is there, and a request may have its own', async () => {
    const { url, sockets } = await registry((_request, response) => void response.write('[1,'))
    const [client, clock] = timed(url)
    const asked = failure(client.request({ path: '/', timeoutMs: 250 }))
    await until(() => sockets.size === 1)
    await clock.advance(250)
    expect(await asked).toMatchObject({ code: 'ATTEMPT_TIMEOUT', message: expect.stringContaining('250 ms') })
    await until(() => sockets.size === 0)
  })

  it('counts while a connection is opened, whose socket is not left behind', async () => {
    const { url, sockets } = await deaf()
    const [client, clock] = timed(url)
    const asked = failure(client.request({ path: '/' }))
    const second = failure(client.request({ path: '/', timeoutMs: 400 }))
    await until(() => sockets.size > 0)
    await clock.advance(400)
    expect(await second).toMatchObject({ code: 'ATTEMPT_TIMEOUT' })
    await clock.advance(600)
    expect(['ATTEMPT_TIMEOUT', 'CONNECT_TIMEOUT']).toContain((await asked).code)
    await until(() => sockets.size === 0)
    expect(clock.pending).toBe(0)
  })

  it('counts while the headers are made', async () => {
    const { url, asked } = await registry((_request, response) => response.end())
    const [client, clock] = timed(url, { headers: () => new Promise(() => {}) })
    const late = failure(client.request({ path: '/' }))
    await clock.advance(1_000)
    expect((await late).code).toBe('ATTEMPT_TIMEOUT')
    expect(asked()).toBe(0)
    expect(clock.pending).toBe(0)
  })

  it('leaves no timer after a good answer, a failed one, and headers that cannot be had', async () => {
    const { url } = await registry((request, response) => (request.url === '/' ? response.end() : response.destroy()))
    const [client, clock] = timed(url)
    await client.request({ path: '/' })
    await failure(client.request({ path: '/broken' }))
    const [without, other] = timed(url, {
      headers: () => {
        throw new Error('the vault is shut')
      },
    })
    expect((await failure(without.request({ path: '/' }))).message).toContain('the vault is shut')
    expect([clock.pending, other.pending]).toEqual([0, 0])
  })
})

describe('leaving', () => {
  it('is told as cancelled, at once, and ends the connection', async () => {
    const { url, next, sockets } = await registry(() => {})
    const client = clientOf(url)
    const abort = new AbortController()
    const asked = failure(client.request({ path: '/', signal: abort.signal }))
    await next()
    const reason = new Error('asked again')
    abort.abort(reason)
    expect(await asked).toMatchObject({ code: 'CANCELLED', cause: reason })
    await until(() => sockets.size === 0)
  })

  it('asks nothing with a signal that is aborted already', async () => {
    const { url, asked } = await registry((_request, response) => response.end())
    expect((await failure(clientOf(url).request({ path: '/', signal: AbortSignal.abort() }))).code).toBe('CANCELLED')
    expect(asked()).toBe(0)
  })

  it('hands on the FairleadError of whoever leaves', async () => {
    const { url } = await registry(() => {})
    const abort = new AbortController()
    const asked = failure(clientOf(url).request({ path: '/', signal: abort.signal }))
    const { createError } = await import('../../../src/errors/classes.ts')
    const reason = createError({ code: 'DEADLINE_EXCEEDED' })
    abort.abort(reason)
    expect(await asked).toBe(reason)
  })

  it('by close breaks off what is under way, leaves no socket and no timer, and refuses what comes later', async () => {
    const { url, sockets, asked } = await registry((request, response) => {
      if (request.url === '/stream') response.write('one')
    })
    const silent = await deaf()
    const clock = fakeClock()
    const client = clientOf(url, { clock })
    const opening = clientOf(silent.url, { clock })
    const waiting = [
      failure(client.request({ path: '/' })),
      failure(opening.request({ path: '/' })),
      failure(clientOf(url, { clock, headers: () => new Promise(() => {}) }).request({ path: '/' })),
    ]
    const stream = await client.stream({ path: '/stream', idleMs: 1_000 })
    const pieces = stream.body[Symbol.asyncIterator]()
    await pieces.next()
    waiting.push(failure(pieces.next()))
    await until(() => asked() === 2 && silent.sockets.size === 1)
    for (const close of opened.splice(-3).reverse()) await close()
    for (const end of await Promise.all(waiting)) expect(end.code).toBe('SHUTDOWN')
    await until(() => sockets.size === 0 && silent.sockets.size === 0)
    expect(clock.pending).toBe(0)
    expect((await failure(client.request({ path: '/' }))).code).toBe('SHUTDOWN')
    expect((await failure(client.stream({ path: '/', idleMs: 1 }))).code).toBe('SHUTDOWN')
    await client.close()
  })
})

describe('TLS', () => {
  const secure = async (kind: CertificateKind): Promise<{ url: string; ca: string; names: unknown[] }> => {
    const { key, cert, ca } = createServerCertificate(kind)
    const names: unknown[] = []
    const server = createSecureServer({ key, cert }, (request, response) => {
      names.push((request.socket as TLSSocket).servername)
      response.end('{}')
    })
    server.on('tlsClientError', () => {})
    const sockets = keepSockets(server)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    opened.push(async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
    })
    return { url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, ca, names }
  }

  it('believes the authority that is given, and no other', async () => {
    const { url, ca } = await secure('good')
    expect((await clientOf(url, { tls: { ca } }).request({ path: '/' })).text).toBe('{}')
    expect((await clientOf(url, { tls: { ca: [ca] } }).request({ path: '/' })).text).toBe('{}')
    expect((await failure(clientOf(url).request({ path: '/' }))).code).toBe('CERTIFICATE_INVALID')
    const other = createServerCertificate('good').ca
    expect((await failure(clientOf(url, { tls: { ca: other } }).request({ path: '/' }))).code).toBe(
      'CERTIFICATE_INVALID',
    )
  })

  it('checks the name that is given, and asks for it', async () => {
    const { url, ca, names } = await secure('wrong-name')
    expect((await failure(clientOf(url, { tls: { ca } }).request({ path: '/' }))).code).toBe('CERTIFICATE_INVALID')
    await clientOf(url, { tls: { ca, servername: 'other.example' } }).request({ path: '/' })
    expect(names).toEqual(['other.example'])
  })
})

describe('a stream', () => {
  const dripping = async (): Promise<Registry & { response(): ServerResponse }> => {
    let current: ServerResponse | undefined
    const server = await registry((_request, response) => {
      current = response
      response.flushHeaders()
    })
    return Object.assign(server, { response: () => current as ServerResponse })
  }
  const textOf = (step: IteratorResult<Uint8Array>): string => Buffer.from(step.value as Uint8Array).toString()

  it('gives the pieces as they come, asks for no compression, and ends with the server', async () => {
    const server = await dripping()
    const { status, body } = await clientOf(server.url).stream({ path: '/', idleMs: 5_000 })
    const pieces = body[Symbol.asyncIterator]()
    server.response().write('one')
    expect([status, textOf(await pieces.next())]).toEqual([200, 'one'])
    expect(server.response().req.headers['accept-encoding']).toBe('identity')
    server.response().end('two')
    expect(textOf(await pieces.next())).toBe('two')
    expect((await pieces.next()).done).toBe(true)
  })

  it('ends when nothing came for idleMs, counted anew with each piece and not while the reader is at work', async () => {
    const server = await dripping()
    const clock = fakeClock()
    const client = clientOf(server.url, { clock })
    const { body } = await client.stream({ path: '/', idleMs: 100, timeoutMs: 30 })
    const pieces = body[Symbol.asyncIterator]()
    for (const text of ['one', 'two']) {
      const step = pieces.next()
      await clock.advance(99)
      server.response().write(text)
      expect(textOf(await step)).toBe(text)
      // A reader may take its time.
      await clock.advance(10_000)
    }
    const late = failure(pieces.next())
    await clock.advance(99)
    await clock.advance(1)
    expect(await late).toMatchObject({ code: 'ATTEMPT_TIMEOUT', message: expect.stringContaining('100 ms') })
    await until(() => server.sockets.size === 0)
    expect(clock.pending).toBe(0)
  })

  it('has no more time for its head than timeoutMs', async () => {
    const { url, next } = await registry(() => {})
    const clock = fakeClock()
    const asked = failure(clientOf(url, { clock }).stream({ path: '/', idleMs: 60_000, timeoutMs: 30 }))
    await next()
    await clock.advance(30)
    expect((await asked).code).toBe('ATTEMPT_TIMEOUT')
    expect(clock.pending).toBe(0)
  })

  it('that nobody reads ends by itself, and hurts nobody', async () => {
    const server = await dripping()
    const clock = fakeClock()
    await clientOf(server.url, { clock }).stream({ path: '/', idleMs: 100 })
    await clock.advance(100)
    await until(() => server.sockets.size === 0)
    expect(clock.pending).toBe(0)
  })

  it('that nobody reads may break off, and hurts nobody', async () => {
    const server = await dripping()
    const client = clientOf(server.url)
    const { body } = await client.stream({ path: '/', idleMs: 5_000 })
    server.response().destroy()
    await until(() => server.sockets.size === 0)
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
    await failure(body[Symbol.asyncIterator]().next())
  })

  it('that breaks off is an error and no end', async () => {
    const server = await dripping()
    const { body } = await clientOf(server.url).stream({ path: '/', idleMs: 5_000 })
    const pieces = body[Symbol.asyncIterator]()
    server.response().write('one')
    await pieces.next()
    server.response().destroy()
    expect(['CONNECTION_LOST', 'REPLY_TRUNCATED']).toContain((await failure(pieces.next())).code)
  })

  it('that is left before its end is closed', async () => {
    const server = await dripping()
    const clock = fakeClock()
    const { body } = await clientOf(server.url, { clock }).stream({ path: '/', idleMs: 5_000 })
    server.response().write('one')
    for await (const _ of body) break
    await until(() => server.sockets.size === 0)
    expect(clock.pending).toBe(0)
  })

  it('ends with the signal of the asker', async () => {
    const server = await dripping()
    const abort = new AbortController()
    const { body } = await clientOf(server.url).stream({ path: '/', idleMs: 5_000, signal: abort.signal })
    const waiting = failure(body[Symbol.asyncIterator]().next())
    abort.abort(new Error('the watch is closed'))
    expect((await waiting).code).toBe('CANCELLED')
    await until(() => server.sockets.size === 0)
  })
})
