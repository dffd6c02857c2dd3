import { createSecureServer } from 'node:http2'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { httpTransport } from '../../../src/adapters/http/transport.ts'
import { deadlineIn } from '../../../src/core/deadline.ts'
import type { PipelineEvent } from '../../../src/core/events.ts'
import { createError } from '../../../src/errors/classes.ts'
import { fakeClock } from '../../../src/testing/fake-clock.ts'
import { createServerCertificate } from '../../../src/testing/fault-server/certificates.ts'
import { createFaultServer, type FaultServer, fault, refusedPort } from '../../../src/testing/fault-server/index.ts'
import { call, context, failure, operation, turns, until } from './support.ts'

let server: FaultServer
beforeEach(async () => {
  server = await createFaultServer()
})
afterEach(async () => {
  await server.close()
})

describe('a call', () => {
  it('sends what the route says and gives what came', async () => {
    const transport = httpTransport({ baseUrl: `${server.url}/api/` })
    server.on('/api/stock/A%2F1', fault.json({ level: 7 }, { headers: { 'x-more': ['a', 'b'] } }))
    const reply = await call(transport, 'POST /stock/:sku', { sku: 'A/1', quantity: 2 })
    expect(reply.output).toEqual({ level: 7 })
    expect(reply.headers?.['x-more']).toBe('a, b')
    const [seen] = server.requests
    expect(seen).toMatchObject({ method: 'POST', target: '/api/stock/A%2F1' })
    expect(seen?.text()).toBe('{"quantity":2}')
    expect(seen?.headers).toMatchObject({
      'content-type': 'application/json',
      accept: 'application/json, application/problem+json',
    })
    await transport.close()
  })

  it('sends no body, and no content type, where there is none', async () => {
    const transport = httpTransport({ baseUrl: server.url })
    await call(transport, 'GET /stock', { sku: 'A 1', tags: ['x', 'y'] })
    expect(server.requests[0]).toMatchObject({ target: '/stock?sku=A%201&tags=x&tags=y', bodyBytes: 0 })
    expect(server.requests[0]?.headers).not.toHaveProperty('content-type')
    await transport.close()
  })

  it('gives undefined for an empty reply and for HEAD', async () => {
    const transport = httpTransport({ baseUrl: server.url })
    server.on('/none', fault.status(204))
    expect((await call(transport, 'POST /none')).output).toBeUndefined()
    server.on('/empty', fault.status(200))
    expect((await call(transport, 'POST /empty')).output).toBeUndefined()
    expect((await call(transport, 'HEAD /head')).output).toBeUndefined()
    await transport.close()
  })

  it('puts a reply of many chunks together', async () => {
    const transport = httpTransport({ baseUrl: server.url })
    const value = { text: 'ü'.repeat(200_000) }
    server.on('/large', fault.json(value))
    expect((await call(transport, 'GET /large')).output).toEqual(value)
    await transport.close()
  })

  it('keeps its connection', async () => {
    const transport = httpTransport({ baseUrl: server.url })
    for (let n = 0; n < 5; n++) await call(transport, 'GET /a')
    // undici frees a connection a turn after the reply: a caller who calls again at once may open a second one, never a third.
    expect(server.seen.connections).toBeLessThanOrEqual(2)
    await transport.close()
  })
})

describe('headers', () => {
  it('carry the time left as whole milliseconds, rounded down, never below 1', async () => {
    const clock = fakeClock()
    const transport = httpTransport({ baseUrl: server.url, clock })
    await call(transport, 'GET /a', undefined, { deadline: deadlineIn(1_499.9, clock) })
    await call(transport, 'GET /a', undefined, { deadline: deadlineIn(0.3, clock) })
    await call(transport, 'GET /a')
    expect(server.requests.map((request) => request.headers['x-request-timeout-ms'])).toEqual(['1499', '1', undefined])
    await transport.close()
  })

  it('carry it under another name, or not at all', async () => {
    const clock = fakeClock()
    const renamed = httpTransport({ baseUrl: server.url, deadlineHeader: 'X-Budget' })
    const silent = httpTransport({ baseUrl: server.url, deadlineHeader: 'none' })
    await call(renamed, 'GET /a', undefined, { deadline: deadlineIn(10, clock) })
    await call(silent, 'GET /a', undefined, { deadline: deadlineIn(10, clock) })
    expect(server.requests[0]?.headers['x-budget']).toBe('10')
    expect(Object.keys(server.requests[1]?.headers ?? {}).filter((name) => /timeout|budget/.test(name))).toEqual([])
    await renamed.close()
    await silent.close()
  })

  it('carry the idempotency key, those of the call and those of the transport', async () => {
    const transport = httpTransport({
      baseUrl: server.url,
      headers: { Authorization: 'Bearer 1', 'x-who': 'transport' },
    })
    await call(
      transport,
      'POST /a',
      {},
      {
        idempotencyKey: 'k-1',
        headers: { traceparent: '00-1', 'X-Who': 'call', 'content-type': 'text/evil', 'Idempotency-Key': 'other' },
      },
    )
    expect(server.requests[0]?.headers).toMatchObject({
      authorization: 'Bearer 1',
      'idempotency-key': 'k-1',
      traceparent: '00-1',
      'x-who': 'call',
      'content-type': 'application/json',
    })
    await transport.close()
  })

  it('can be made for each call', async () => {
    let token = 0
    const transport = httpTransport({
      baseUrl: server.url,
      headers: (made) => ({ authorization: `${made.name} ${++token}` }),
    })
    await call(transport, 'GET /a')
    await call(transport, 'GET /a')
    expect(server.requests.map((request) => request.headers['authorization'])).toEqual(['get 1', 'get 2'])
    await transport.close()
  })

  it.each([
    ['a line break in a value', { headers: { 'x-a': 'b\r\nx-evil: 1' } }],
    ['a line feed alone', { headers: { 'x-a': 'b\nx-evil: 1' } }],
    ['a NUL', { headers: { 'x-a': 'b\0' } }],
    ['what is not Latin-1', { headers: { 'x-a': '☃' } }],
    ['a line break in a name', { headers: { 'x-a\r\nx-evil': '1' } }],
    ['a value that is no string', { headers: { 'x-a': { toString: () => 'x' } } as never }],
    ['framing', { headers: { 'Content-Length': '3' } }],
    ['smuggling', { headers: { 'transfer-encoding': 'chunked' } }],
    ['a line break in the idempotency key', { idempotencyKey: 'k\r\nx-evil: 1' }],
  ])('refuse %s, and nothing is sent', async (_what, init) => {
    const transport = httpTransport({ baseUrl: server.url })
    const error = await failure(call(transport, 'POST /a', {}, init))
    expect(error).toMatchObject({
      code: 'INVALID_REQUEST',
      kind: 'invalid',
      effect: 'none',
      service: 'stock',
      transport: 'http',
    })
    expect(server.seen.connections).toBe(0)
    await transport.close()
  })
})

describe('what cannot be sent', () => {
  const loop: { self?: unknown } = {}
  loop.self = loop
  it.each([
    ['a circle', loop],
    ['a bigint', { n: 1n }],
    ['a function', () => 1],
    [
      'a toJSON that throws',
      {
        toJSON: () => {
          throw new TypeError('no')
        },
      },
    ],
  ])('%s is refused and nothing is sent', async (_what, input) => {
    const transport = httpTransport({ baseUrl: server.url })
    expect(await failure(call(transport, 'POST /a', input))).toMatchObject({ kind: 'invalid', effect: 'none' })
    expect(server.seen.connections).toBe(0)
    await transport.close()
  })
})

describe('effect', () => {
  it('is none while nothing could be sent: nobody listens', async () => {
    const port = await refusedPort()
    const transport = httpTransport({ baseUrl: `http://127.0.0.1:${port.port}` })
    const { context: made } = context()
    const error = await failure(transport.invoke(operation('POST /a'), {}, made))
    expect(error).toMatchObject({ code: 'CONNECTION_REFUSED', effect: 'none', retryable: true })
    expect(made.effect).toBe('none')
    await transport.close()
  })

  it.each([
    ['reset after the request was read', fault.resetAfterRequest(), 'CONNECTION_LOST'],
    ['closed before the head', fault.finBeforeHead(), 'CONNECTION_LOST'],
    ['cut in the body', fault.truncatedBody(), 'REPLY_TRUNCATED'],
    ['not HTTP', fault.notHttp(), 'PROTOCOL_VIOLATION'],
  ])('is unknown once it was sent: %s', async (_what, behaviour, code) => {
    server.on('/a', behaviour)
    const transport = httpTransport({ baseUrl: server.url })
    const error = await failure(call(transport, 'POST /a', {}))
    expect(error).toMatchObject({ code, effect: 'unknown', retryable: false })
    expect(server.seen.requests('/a')).toBe(1)
    await transport.close()
  })

  it('is none for a TLS handshake that breaks off, although the socket was connected', async () => {
    const secure = await createFaultServer({ tls: 'good' })
    secure.next(fault.resetAtBytes())
    const transport = httpTransport({ baseUrl: secure.url, ca: secure.ca })
    expect(await failure(call(transport, 'POST /a', {}))).toMatchObject({ effect: 'none', retryable: true })
    expect(secure.seen.requests()).toBe(0)
    await transport.close()
    await secure.close()
  })

  it('starts anew when undici sends again by itself', async () => {
    const h2 = await createFaultServer({ protocol: 'h2' })
    h2.on('/a', fault.refusedStream(), fault.resetAfterRequest())
    const transport = httpTransport({ baseUrl: h2.url, ca: h2.ca, allowH2: true })
    const error = await failure(call(transport, 'POST /a', {}))
    // Refused alone would be `none`; what was sent the second time is not known.
    expect(error.effect).toBe(h2.seen.requests('/a') === 2 ? 'unknown' : 'none')
    await transport.close()
    await h2.close()
  })
})

describe('abort', () => {
  it('settles at once with its reason and ends the connection', async () => {
    server.on('/hang', fault.hangBeforeHead())
    const transport = httpTransport({ baseUrl: server.url })
    const { context: made, abort } = context()
    const work = failure(transport.invoke(operation('GET /hang'), undefined, made))
    await server.arrived('/hang')
    const reason = createError({ code: 'ATTEMPT_TIMEOUT' })
    abort(reason)
    expect(await work).toBe(reason)
    expect(made.effect).toBe('unknown')
    await server.aborted('/hang')
    await transport.close()
  })

  it('makes CANCELLED of a reason that is not ours', async () => {
    server.on('/hang', fault.hangBeforeHead())
    const transport = httpTransport({ baseUrl: server.url })
    const { context: made, abort } = context()
    const work = failure(transport.invoke(operation('GET /hang'), undefined, made))
    await server.arrived('/hang')
    abort('enough')
    expect(await work).toMatchObject({ code: 'CANCELLED', effect: 'unknown', cause: 'enough' })
    await transport.close()
  })

  it('before it began: nothing happens at all', async () => {
    const transport = httpTransport({ baseUrl: server.url })
    const { context: made, abort } = context()
    const reason = createError({ code: 'CANCELLED' })
    abort(reason)
    expect(await failure(transport.invoke(operation('GET /a'), undefined, made))).toBe(reason)
    expect(server.seen.connections).toBe(0)
    await transport.close()
  })

  it('of a call that waits for its connection settles at once, with effect none, and it is never sent', async () => {
    server.next(fault.hangAtAccept())
    const secure = await createFaultServer({ tls: 'good' })
    secure.next(fault.hangAtAccept())
    const transport = httpTransport({ baseUrl: secure.url, ca: secure.ca })
    const { context: made, abort } = context()
    let settled = false
    const work = failure(transport.invoke(operation('POST /a'), {}, made)).finally(() => (settled = true))
    await secure.accepted()
    abort(createError({ code: 'ATTEMPT_TIMEOUT', effect: 'none' }))
    await Promise.resolve()
    await Promise.resolve()
    await Promise.resolve()
    await Promise.resolve()
    expect(settled).toBe(true)
    expect(await work).toMatchObject({ code: 'ATTEMPT_TIMEOUT' })
    expect(made.effect).toBe('none')
    secure.release()
    // The handshake goes on now; the request must not follow it.
    await call(transport, 'GET /after')
    expect(secure.seen.requests('/a')).toBe(0)
    expect(secure.seen.requests('/after')).toBe(1)
    await transport.close()
    await secure.close()
  })

  it('in the body settles at once, too', async () => {
    server.on('/hang', fault.hangInBody())
    const transport = httpTransport({ baseUrl: server.url })
    const { context: made, abort } = context()
    const work = failure(transport.invoke(operation('GET /hang'), undefined, made))
    await server.arrived('/hang')
    abort(createError({ code: 'DEADLINE_EXCEEDED' }))
    expect(await work).toMatchObject({ code: 'DEADLINE_EXCEEDED' })
    await server.aborted('/hang')
    await transport.close()
  })
})

describe('replies that are no good', () => {
  it.each([
    [fault.malformedJson(), 'REPLY_UNDECODABLE', 'done'],
    [fault.wrongContentType(), 'REPLY_UNDECODABLE', 'done'],
    [fault.brokenCompression(), 'REPLY_UNDECODABLE', 'done'],
    [fault.compressed({}, 'gzip'), undefined, undefined],
    [fault.status(404), 'NOT_FOUND', 'none'],
    [fault.status(500), 'SERVER_ERROR', 'unknown'],
    [fault.status(302, { headers: { location: '/elsewhere' } }), 'UNEXPECTED_REDIRECT', undefined],
    [fault.json({}, { headers: { 'content-encoding': 'zstd, gzip, br, gzip' } }), 'REPLY_UNDECODABLE', 'done'],
  ])('%#', async (behaviour, code, effect) => {
    server.on('/a', behaviour)
    const transport = httpTransport({ baseUrl: server.url })
    const work = call(transport, 'POST /a', {})
    if (code === undefined) expect((await work).output).toEqual({})
    else {
      const error = await failure(work)
      expect(error).toMatchObject({ code, service: 'stock', operation: 'get', transport: 'http' })
      if (effect !== undefined) expect(error.effect).toBe(effect)
    }
    expect(server.seen.requests('/a')).toBe(1)
    await transport.close()
  })

  it('says when to come again', async () => {
    const clock = fakeClock()
    const transport = httpTransport({ baseUrl: server.url, clock })
    server.on('/seconds', fault.retryAfter(3, { status: 429 }))
    server.on('/date', fault.retryAfter({ at: clock.wallNow() + 5_000 }))
    expect(await failure(call(transport, 'POST /seconds', {}))).toMatchObject({
      code: 'TOO_MANY_REQUESTS',
      retryAfterMs: 3_000,
      overload: true,
    })
    expect(await failure(call(transport, 'POST /date', {}))).toMatchObject({ code: 'UNAVAILABLE', retryAfterMs: 5_000 })
    await transport.close()
  })

  it('reads a problem as the error that it was', async () => {
    const transport = httpTransport({ baseUrl: server.url })
    const problem = {
      type: 'urn:fairlead:CIRCUIT_OPEN',
      kind: 'rejected',
      status: 503,
      effect: 'none',
      transient: true,
      service: 'bank',
    }
    server.on('/a', fault.json(problem, { status: 503, headers: { 'content-type': 'application/problem+json' } }))
    expect(await failure(call(transport, 'POST /a', {}))).toMatchObject({
      code: 'CIRCUIT_OPEN',
      kind: 'rejected',
      effect: 'none',
      refusedBy: 'peer',
    })
    await transport.close()
  })

  it('reads a problem that lies by its status', async () => {
    const transport = httpTransport({ baseUrl: server.url })
    server.on('/a', fault.status(500, { headers: { 'content-type': 'application/problem+json' }, body: '{"type": ["' }))
    expect(await failure(call(transport, 'POST /a', {}))).toMatchObject({ code: 'SERVER_ERROR', effect: 'unknown' })
    await transport.close()
  })

  it('gives a declared failure as an answer, an undeclared one as an error', async () => {
    const transport = httpTransport({ baseUrl: server.url })
    const headers = { 'content-type': 'application/problem+json', 'fairlead-failure': 'outOfStock' }
    server.on('/a', fault.json({ failure: 'outOfStock', data: { left: 2 } }, { status: 422, headers }))
    const reply = await call(transport, operation('POST /a', { failures: ['outOfStock'] }), {})
    expect(reply).toMatchObject({ failure: 'outOfStock', output: { left: 2 } })
    expect(await failure(call(transport, operation('POST /a'), {}))).toMatchObject({ code: 'UNPROCESSABLE' })
    await transport.close()
  })

  it('is no JSON where it is no UTF-8; a replacement character that was sent is one', async () => {
    server.on(
      '/a',
      fault.status(200, { headers: { 'content-type': 'application/json' }, body: Buffer.from([0x22, 0xff, 0x22]) }),
      fault.json('\ufffd'),
    )
    const transport = httpTransport({ baseUrl: server.url })
    expect(await failure(call(transport, 'GET /a'))).toMatchObject({ code: 'REPLY_UNDECODABLE', effect: 'done' })
    expect((await call(transport, 'GET /a')).output).toBe('\ufffd')
    await transport.close()
  })

  it('does not let `__proto__` in', async () => {
    const transport = httpTransport({ baseUrl: server.url })
    const poison = '{"__proto__":{"admin":true},"constructor":{"prototype":{"admin":true}},"ok":1}'
    server.on('/a', fault.status(200, { headers: { 'content-type': 'application/json' }, body: poison }))
    const { output } = await call(transport, 'POST /a', JSON.parse(poison))
    expect(output).toEqual({ ok: 1 })
    expect((output as { admin?: unknown }).admin).toBeUndefined()
    expect(({} as { admin?: unknown }).admin).toBeUndefined()
    await transport.close()
  })

  it('survives headers named like parts of a prototype', async () => {
    const transport = httpTransport({ baseUrl: server.url })
    server.on(
      '/a',
      fault.json({ ok: 1 }, { headers: { __proto__: 'x', constructor: 'y', hasOwnProperty: 'z' } as never }),
    )
    const reply = await call(transport, 'GET /a')
    expect(reply.output).toEqual({ ok: 1 })
    expect(reply.headers?.['constructor']).toContain('y')
    await transport.close()
  })
})

describe('limits', () => {
  it('cuts a reply that is too large: at its announcement', async () => {
    server.on('/huge', fault.hugeBody({ bytes: 2 ** 30 }))
    const transport = httpTransport({ baseUrl: server.url, maxResponseBytes: 1_000 })
    const error = await failure(call(transport, 'GET /huge'))
    expect(error).toMatchObject({ code: 'REPLY_TOO_LARGE', effect: 'done', retryable: false })
    await server.aborted('/huge')
    await transport.close()
  })

  it('cuts a reply that is too large: while it comes', async () => {
    server.on('/huge', fault.hugeBody({ bytes: 2 ** 30, withoutLength: true }))
    const events: PipelineEvent[] = []
    const transport = httpTransport({
      baseUrl: server.url,
      maxResponseBytes: 100_000,
      onEvent: (event) => events.push(event),
    })
    expect(await failure(call(transport, 'GET /huge'))).toMatchObject({ code: 'REPLY_TOO_LARGE' })
    await server.aborted('/huge')
    expect(events).toHaveLength(1)
    expect((events[0] as { received: number }).received).toBeLessThan(400_000)
    await transport.close()
  })

  it('goes by the status of an error page, however large', async () => {
    server.on('/huge', fault.status(502, { body: 'x'.repeat(1_000_000) }))
    const transport = httpTransport({ baseUrl: server.url })
    expect(await failure(call(transport, 'GET /huge'))).toMatchObject({ code: 'BAD_GATEWAY' })
    await transport.close()
  })

  it.each(['gzip', 'br', 'deflate'] as const)('does not unpack a %s bomb', async (encoding) => {
    const bomb = fault.compressed('x'.repeat(30_000_000), encoding)
    server.on('/bomb', bomb)
    const transport = httpTransport({ baseUrl: server.url, maxResponseBytes: 100_000 })
    expect(await failure(call(transport, 'GET /bomb'))).toMatchObject({ code: 'REPLY_TOO_LARGE', effect: 'done' })
    await transport.close()
  })

  it.each(['gzip', 'br', 'deflate'] as const)('understands %s', async (encoding) => {
    server.on('/a', fault.compressed({ level: 7 }, encoding))
    const transport = httpTransport({ baseUrl: server.url, compression: true })
    expect((await call(transport, 'GET /a')).output).toEqual({ level: 7 })
    expect(server.requests[0]?.headers['accept-encoding']).toBe('br, gzip, deflate')
    await transport.close()
  })

  it('does not ask for compression unless told', async () => {
    const transport = httpTransport({ baseUrl: server.url })
    await call(transport, 'GET /a')
    expect(server.requests[0]?.headers).not.toHaveProperty('accept-encoding')
    await transport.close()
  })

  it('does not send a request that is too large; what counts is bytes, not characters', async () => {
    const transport = httpTransport({ baseUrl: server.url, maxRequestBytes: 20 })
    expect(await failure(call(transport, 'POST /a', 'üüüüüüüüüü'))).toMatchObject({
      code: 'PAYLOAD_TOO_LARGE',
      effect: 'none',
    })
    expect(server.seen.connections).toBe(0)
    await call(transport, 'POST /a', 'üüüüüüüüü')
    expect(server.requests[0]?.bodyBytes).toBe(20)
    await transport.close()
  })
})

describe('events', () => {
  it('tell bytes', async () => {
    const events: PipelineEvent[] = []
    const transport = httpTransport({ baseUrl: server.url, onEvent: (event) => events.push(event) })
    await call(transport, 'POST /a', { a: 1 })
    expect(events).toMatchObject([{ type: 'bytes', service: 'stock', operation: 'get', sent: 7, received: 11 }])
    await transport.close()
  })
})

describe('TLS', () => {
  it('pulls a stream of the caller no further once the reply was left, over HTTP/2 too', async () => {
    const { key, cert, ca } = createServerCertificate('good')
    const server = createSecureServer({ key, cert })
    server.on('stream', (stream) => {
      stream.respond({ ':status': 200, 'content-type': 'application/x-ndjson' })
      stream.on('error', () => {}).pipe(stream)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as { port: number }
    const transport = httpTransport({ baseUrl: `https://127.0.0.1:${port}`, tls: { ca }, allowH2: true })
    let ended = false
    const items = async function* (): AsyncGenerator<unknown> {
      try {
        for (let n = 0; ; n++) {
          yield n
          await turns(1)
        }
      } finally {
        ended = true
      }
    }
    const { output } = await call(transport, operation('POST /echo', { streaming: 'both' }), items())
    for await (const n of output as AsyncIterable<number>) if (n === 3) break
    await until(() => ended)
    await transport.close()
    server.close()
  })

  it('trusts a private authority when told to, speaks HTTP/2 when told to', async () => {
    const secure = await createFaultServer({ tls: 'good' })
    const h2 = await createFaultServer({ protocol: 'h2' })
    const one = httpTransport({ baseUrl: secure.url, ca: secure.ca })
    expect((await call(one, 'GET /a')).output).toEqual({ ok: true })
    const two = httpTransport({ baseUrl: h2.url, tls: { ca: h2.ca }, allowH2: true })
    expect((await call(two, 'POST /a', { n: 1 })).output).toEqual({ ok: true })
    expect(h2.requests[0]?.stream).toBeGreaterThan(0)
    expect(h2.requests[0]?.text()).toBe('{"n":1}')
    await Promise.all([one.close(), two.close(), secure.close(), h2.close()])
  })

  it.each([
    ['good', undefined],
    ['expired', 'own'],
  ] as const)('does not trust a %s certificate with ca %s', async (kind, ca) => {
    const secure = await createFaultServer({ tls: kind })
    const transport = httpTransport({ baseUrl: secure.url, ...(ca === undefined ? {} : { ca: secure.ca }) })
    expect(await failure(call(transport, 'GET /a'))).toMatchObject({
      code: 'CERTIFICATE_INVALID',
      kind: 'arbitrary',
      effect: 'none',
      retryable: false,
    })
    expect(secure.seen.requests()).toBe(0)
    await transport.close()
    await secure.close()
  })
})

describe('close', () => {
  it('lets what is on its way come in, then refuses', async () => {
    server.on('/hang', fault.hangBeforeHead())
    const transport = httpTransport({ baseUrl: server.url })
    const work = call(transport, 'GET /hang')
    await server.arrived('/hang')
    const closed = transport.close()
    expect(await failure(call(transport, 'GET /a'))).toMatchObject({
      code: 'SHUTDOWN',
      kind: 'rejected',
      effect: 'none',
    })
    server.release()
    expect((await work).output).toEqual({ ok: true })
    await closed
    await server.idle()
    await transport.close()
  })
})

describe('a dispatcher of your own', () => {
  it('is used, and not closed', async () => {
    const { Agent } = await import('undici')
    const agent = new Agent()
    const transport = httpTransport({ baseUrl: server.url, dispatcher: agent })
    expect((await call(transport, 'GET /a')).output).toEqual({ ok: true })
    await transport.close()
    expect(agent.closed).toBe(false)
    await agent.close()
  })
})

describe('options', () => {
  it.each([
    [{}, 'baseUrl'],
    [{ baseUrl: 'http://a', discovery: { resolver: () => ({}) } }, 'baseUrl'],
    [{ baseUrl: 'inventory:8080' }, 'baseUrl'],
    [{ baseUrl: 'http://user:secret@a' }, 'baseUrl'],
    [{ baseUrl: 'http://a?x=1' }, 'baseUrl'],
    [{ baseUrl: 'http://a', basePath: 'api' }, 'basePath'],
    [{ baseUrl: 'http://a', maxResponseBytes: 0 }, 'maxResponseBytes'],
    [{ baseUrl: 'http://a', maxRequestBytes: Number.NaN }, 'maxRequestBytes'],
    [{ baseUrl: 'http://a', connectTimeoutMs: -1 }, 'connectTimeoutMs'],
    [{ baseUrl: 'http://a', dispatcher: {} }, 'dispatcher'],
    [{ discovery: {} }, 'discovery'],
    [{ baseUrl: 'http://a', timeout: 5 }, 'timeout'],
  ])('names the one that makes no sense: %#', (options, name) => {
    expect(() => httpTransport(options as never)).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTIONS', message: expect.stringContaining(name) }),
    )
  })
})
