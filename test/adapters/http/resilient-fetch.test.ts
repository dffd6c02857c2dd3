import { afterEach, beforeEach, describe, expect, expectTypeOf, it } from 'vitest'
import {
  type ResilientFetch,
  type ResilientFetchOptions,
  resilientFetch,
} from '../../../src/adapters/http/resilient-fetch.ts'
import type { PipelineEvent } from '../../../src/core/events.ts'
import { isFairleadError } from '../../../src/errors/base.ts'
import { bulkhead } from '../../../src/policies/bulkhead.ts'
import { circuitBreaker } from '../../../src/policies/circuit-breaker.ts'
import { createFaultServer, type FaultServer, fault, refusedPort } from '../../../src/testing/fault-server/index.ts'
import { failure, turns, until } from './support.ts'

let server: FaultServer
const made: ResilientFetch[] = []
const make = (options: ResilientFetchOptions = {}): ResilientFetch => {
  const own = resilientFetch({ ...options, ...(options.retry === undefined ? { retry: { backoffMs: 0 } } : {}) })
  made.push(own)
  return own
}

beforeEach(async () => {
  server = await createFaultServer()
})
afterEach(async () => {
  await server.close()
  await Promise.all(made.splice(0).map((each) => each.close()))
})

describe('as fetch', () => {
  it('has its types', () => {
    expectTypeOf<ResilientFetch>().toExtend<typeof fetch>()
  })

  it('gives a Response', async () => {
    server.on('/a', fault.json({ level: 7 }, { status: 201, headers: { 'x-a': 'b' } }))
    const response = await make()(`${server.url}/a?q=1`, { method: 'POST', body: 'text', headers: { 'x-c': 'd' } })
    expect(response.status).toBe(201)
    expect(response.headers.get('x-a')).toBe('b')
    expect(await response.json()).toEqual({ level: 7 })
    expect(server.requests[0]).toMatchObject({ method: 'POST', target: '/a?q=1', headers: { 'x-c': 'd' } })
    expect(server.requests[0]?.text()).toBe('text')
  })

  it('takes a URL and a Request of Node itself, its body and headers too', async () => {
    const get = make()
    await get(new URL(`${server.url}/url`))
    await get(
      new Request(`${server.url}/request`, { method: 'PUT', body: 'from the request', headers: { 'x-a': '1' } }),
    )
    await get(new Request(`${server.url}/over`, { method: 'PUT', body: 'from the request' }), {
      method: 'POST',
      body: 'from the init',
    })
    expect(
      server.requests.map((request) => [request.method, request.path, request.text(), request.headers['x-a']]),
    ).toEqual([
      ['GET', '/url', '', undefined],
      ['PUT', '/request', 'from the request', '1'],
      ['POST', '/over', 'from the init', undefined],
    ])
  })

  it('takes FormData of Node itself', async () => {
    const form = new FormData()
    form.append('name', 'value')
    form.append('file', new Blob(['content']), 'a.txt')
    await make()(`${server.url}/a`, { method: 'POST', body: form })
    expect(server.requests[0]?.headers['content-type']).toMatch(/^multipart\/form-data/)
    expect(server.requests[0]?.text()).toContain('content')
  })

  it('follows redirects', async () => {
    server.on('/from', fault.status(302, { headers: { location: '/to' } }))
    const response = await make()(`${server.url}/from`)
    expect(response.url).toBe(`${server.url}/to`)
    expect(response.redirected).toBe(true)
  })

  it('unpacks', async () => {
    server.on('/a', fault.compressed({ n: 1 }))
    expect(await (await make()(`${server.url}/a`)).json()).toEqual({ n: 1 })
  })

  it('speaks TLS with a private authority, and HTTP/2', async () => {
    const secure = await createFaultServer({ protocol: 'h2' })
    const response = await make({ ca: secure.ca, allowH2: true })(`${secure.url}/a`)
    expect(await response.json()).toEqual({ ok: true })
    expect(secure.requests[0]?.stream).toBeGreaterThan(0)
    expect(await failure(make({ retry: false, allowH2: true })(`${secure.url}/a`))).toMatchObject({
      code: 'CERTIFICATE_INVALID',
      effect: 'none',
    })
    await secure.close()
  })

  it.each(['nonsense', '/relative', 'http://'])('refuses %j as INVALID_REQUEST', async (url) => {
    expect(await failure(make()(url))).toMatchObject({ code: 'INVALID_REQUEST', effect: 'none' })
  })

  it('refuses a header with a line break, and nothing is sent', async () => {
    const error = await failure(make()(`${server.url}/a`, { headers: { 'x-a': 'b\r\nx-evil: 1' } }))
    expect(isFairleadError(error)).toBe(true)
    expect(error.retryable).toBe(false)
    expect(server.seen.connections).toBe(0)
  })
})

describe('statuses', () => {
  it('are answers: the last one is what the caller gets, after the attempts that were safe', async () => {
    server.on(
      '/a',
      fault.status(503, { body: 'one' }),
      fault.status(500, { body: 'two' }),
      fault.status(502, { body: 'three' }),
    )
    const response = await make()(`${server.url}/a`)
    expect([response.status, await response.text()]).toEqual([502, 'three'])
    expect(server.seen.requests('/a')).toBe(3)
  })

  it('that come right at last are good answers', async () => {
    server.on('/a', fault.status(503, { body: 'busy' }), fault.json({ ok: 1 }))
    const response = await make()(`${server.url}/a`)
    expect(await response.json()).toEqual({ ok: 1 })
    expect(server.seen.requests('/a')).toBe(2)
  })

  it.each([404, 400, 501])('%d is not tried again', async (status) => {
    server.on('/a', fault.status(status))
    expect((await make()(`${server.url}/a`)).status).toBe(status)
    expect(server.seen.requests('/a')).toBe(1)
  })

  it('count for the circuit breaker, each for its origin', async () => {
    const other = await createFaultServer()
    server.otherwise(fault.status(500))
    const get = make({ retry: false })
    for (let n = 0; n < 20; n++) expect((await get(`${server.url}/a`)).status).toBe(500)
    expect(await failure(get(`${server.url}/a`))).toMatchObject({ code: 'CIRCUIT_OPEN', service: server.url })
    expect(server.seen.requests()).toBe(20)
    expect((await get(`${other.url}/a`)).status).toBe(200)
    await other.close()
  })

  it('404 counts for nobody', async () => {
    server.otherwise(fault.status(404))
    const get = make()
    for (let n = 0; n < 30; n++) expect((await get(`${server.url}/a`)).status).toBe(404)
    expect(server.seen.requests()).toBe(30)
  })
})

describe('repeating', () => {
  const lost = (): void => void server.on('/a', fault.resetAfterRequest(), fault.json({ ok: 1 }))

  it.each(['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS'])('%s is repeated', async (method) => {
    lost()
    expect((await make()(`${server.url}/a`, { method })).status).toBe(200)
    expect(server.seen.requests('/a')).toBe(2)
  })

  it('POST and PATCH are not', async () => {
    server.on('/a', fault.resetAfterRequest())
    const get = make()
    expect(await failure(get(`${server.url}/a`, { method: 'POST', body: '1' }))).toMatchObject({
      code: 'CONNECTION_LOST',
      effect: 'unknown',
      retryable: false,
    })
    expect(await failure(get(`${server.url}/a`, { method: 'PATCH', body: '1' }))).toMatchObject({ effect: 'unknown' })
    expect(server.seen.requests('/a')).toBe(2)
  })

  it('POST with an Idempotency-Key is', async () => {
    lost()
    const response = await make()(`${server.url}/a`, {
      method: 'POST',
      body: 'twice',
      headers: new Headers({ 'Idempotency-Key': 'k' }),
    })
    expect(response.status).toBe(200)
    expect(server.requests.map((request) => request.text())).toEqual(['twice', 'twice'])
  })

  it('POST that surely was not sent is: nothing listened at first', async () => {
    const port = await refusedPort()
    const get = make()
    const error = await failure(get(`http://127.0.0.1:${port.port}/a`, { method: 'POST', body: '1' }))
    expect(error).toMatchObject({ code: 'CONNECTION_REFUSED', effect: 'none', retryable: true, attempt: 3 })
  })

  it('a stream is sent once, although the method could be repeated', async () => {
    server.on('/a', fault.resetAfterRequest())
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode('once'))
        controller.close()
      },
    })
    const error = await failure(make()(`${server.url}/a`, { method: 'PUT', body, duplex: 'half' } as RequestInit))
    expect(error).toMatchObject({ code: 'CONNECTION_LOST', retryable: false, details: { stoppedBy: 'NOT_REPLAYABLE' } })
    expect(server.seen.requests('/a')).toBe(1)
  })

  it('a body that was read already cannot be sent', async () => {
    const request = new Request(`${server.url}/a`, { method: 'POST', body: 'text' })
    await request.text()
    expect(await failure(make()(request))).toMatchObject({ retryable: false })
    expect(server.seen.requests()).toBe(0)
  })
})

describe('time', () => {
  it('bounds an attempt and the whole call, and the server sees the connection go', async () => {
    server.on('/hang', fault.hangBeforeHead())
    const error = await failure(make({ attemptTimeoutMs: 1_000, retry: false })(`${server.url}/hang`))
    expect(error).toMatchObject({ code: 'ATTEMPT_TIMEOUT', effect: 'unknown' })
    await server.aborted('/hang')
    expect(await failure(make({ deadlineMs: 30, retry: false })(`${server.url}/hang`))).toMatchObject({
      code: 'DEADLINE_EXCEEDED',
    })
  })

  it('bounds the body, too', async () => {
    server.on('/hang', fault.hangInBody())
    const response = await make({ deadlineMs: 1_500 })(`${server.url}/hang`)
    expect(response.status).toBe(200)
    expect(await failure(response.text())).toMatchObject({ code: 'DEADLINE_EXCEEDED' })
    await server.aborted('/hang')
  })

  it("the caller's signal ends it before the head, and in the body", async () => {
    server.on('/head', fault.hangBeforeHead())
    server.on('/body', fault.hangInBody())
    const get = make()
    const first = new AbortController()
    const call = failure(get(`${server.url}/head`, { signal: first.signal }))
    await server.arrived('/head')
    first.abort('enough')
    expect(await call).toMatchObject({ code: 'CANCELLED', cause: 'enough' })
    const second = new AbortController()
    const response = await get(`${server.url}/body`, { signal: second.signal })
    second.abort(new Error('no more'))
    await expect(response.text()).rejects.toThrow('no more')
    await server.aborted('/body')
    expect(server.seen.requests()).toBe(2)
  })
})

describe('the slot', () => {
  it('is held until the body was read', async () => {
    server.on('/hang', fault.hangInBody({ body: 'x'.repeat(100) }))
    const slots = bulkhead({ maxOutstanding: 1 })
    const get = make({ maxOutstanding: slots })
    const response = await get(`${server.url}/hang`)
    await turns()
    expect(slots.outstanding).toBe(1)
    expect(await failure(get(`${server.url}/a`))).toMatchObject({ code: 'OUTSTANDING_LIMIT' })
    server.release()
    await response.text()
    await until(() => slots.outstanding === 0)
  })

  it('is held until the body was cancelled', async () => {
    server.on('/hang', fault.hangInBody({ body: 'x'.repeat(100) }))
    const slots = bulkhead({ maxOutstanding: 1 })
    const response = await make({ maxOutstanding: slots })(`${server.url}/hang`)
    await turns()
    expect(slots.outstanding).toBe(1)
    await response.body?.cancel()
    await until(() => slots.outstanding === 0)
  })

  it('is free again after failures, refusals and answers that were not wanted', async () => {
    server.on('/a', fault.status(503, { body: 'x'.repeat(300_000) }), fault.resetAfterRequest(), fault.json(1))
    const slots = bulkhead({ maxOutstanding: 5 })
    const response = await make({ maxOutstanding: slots })(`${server.url}/a`)
    expect(await response.json()).toBe(1)
    await until(() => slots.outstanding === 0)
    expect(server.seen.requests()).toBe(3)
  })
})

describe('a million origins', () => {
  it('are bounded, and an open circuit is not forgotten', async () => {
    server.otherwise(fault.status(500))
    const get = make({ retry: false, maxOrigins: 50, circuitBreaker: { openMs: 600_000, maxOpenMs: 600_000 } })
    for (let n = 0; n < 20; n++) await get(`${server.url}/a`)
    const refused = {
      dispatch: (
        _options: object,
        handler: { onError?(error: Error): void; onResponseError?(_: unknown, error: Error): void },
      ) => {
        const error = Object.assign(new Error('refused'), { code: 'ECONNREFUSED', syscall: 'connect' })
        if (handler.onResponseError !== undefined) handler.onResponseError(undefined, error)
        else handler.onError?.(error)
        return true
      },
    }
    for (let n = 0; n < 2_000; n++) await failure(get(`http://host-${n}.test/`, { dispatcher: refused } as RequestInit))
    expect(await failure(get(`${server.url}/a`))).toMatchObject({ code: 'CIRCUIT_OPEN' })
    expect(server.seen.requests()).toBe(20)
  })
})

describe('options', () => {
  it('shares a breaker that is given', async () => {
    const breaker = circuitBreaker()
    breaker.forceOpen()
    expect(await failure(make({ circuitBreaker: breaker })(`${server.url}/a`))).toMatchObject({
      code: 'CIRCUIT_ISOLATED',
    })
  })

  it('tells events', async () => {
    const events: PipelineEvent[] = []
    await make({ onEvent: (event) => events.push(event) })(`${server.url}/a`)
    expect(events.find((event) => event.type === 'call')).toMatchObject({ service: server.url, operation: 'GET' })
  })

  it.each([
    [{ maxOrigins: 0 }, 'maxOrigins'],
    [{ deadlineMs: -1 }, 'deadlineMs'],
    [{ timeout: 1 }, 'timeout'],
    [{ dispatcher: {} }, 'dispatcher'],
  ])('names the one that makes no sense: %#', (options, name) => {
    expect(() => resilientFetch(options as never)).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTIONS', message: expect.stringContaining(name) }),
    )
  })

  it('refuses once closed', async () => {
    const get = make()
    await get.close()
    expect(await failure(get(`${server.url}/a`))).toMatchObject({ code: 'SHUTDOWN' })
  })
})
