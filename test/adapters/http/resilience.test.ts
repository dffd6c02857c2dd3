import { Agent, type Dispatcher, fetch, request } from 'undici'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type ResilienceOptions, resilience } from '../../../src/adapters/http/resilience.ts'
import { bulkhead } from '../../../src/policies/bulkhead.ts'
import { fakeClock } from '../../../src/testing/fake-clock.ts'
import { createFaultServer, type FaultServer, fault, refusedPort } from '../../../src/testing/fault-server/index.ts'
import { failure, turns, until } from './support.ts'

let server: FaultServer
const agents: Agent[] = []
const make = (options: ResilienceOptions = {}): Dispatcher => {
  const agent = new Agent()
  agents.push(agent)
  return agent.compose(resilience({ retry: { backoffMs: 0 }, ...options }))
}

beforeEach(async () => {
  server = await createFaultServer()
})
afterEach(async () => {
  await server.close()
  await Promise.all(agents.splice(0).map((each) => each.destroy()))
})

describe('with request()', () => {
  it('changes nothing of a good call', async () => {
    server.on('/a', fault.json({ n: 1 }, { status: 201, headers: { 'x-a': 'b' } }))
    const { statusCode, headers, body } = await request(`${server.url}/a`, {
      dispatcher: make(),
      method: 'POST',
      body: 'text',
    })
    expect([statusCode, headers['x-a'], await body.json()]).toEqual([201, 'b', { n: 1 }])
    expect(server.requests[0]?.text()).toBe('text')
  })

  it('repeats what is safe, and hands on one answer only', async () => {
    server.on('/a', fault.resetAfterRequest(), fault.status(503, { body: 'x'.repeat(200_000) }), fault.json({ n: 3 }))
    const { body } = await request(`${server.url}/a`, { dispatcher: make() })
    expect(await body.json()).toEqual({ n: 3 })
    expect(server.seen.requests('/a')).toBe(3)
  })

  it('hands on the last answer where none is good, whole', async () => {
    const page = 'x'.repeat(300_000)
    server.on(
      '/a',
      fault.status(500, { body: 'first' }),
      fault.status(503, { body: 'second' }),
      fault.status(502, { body: page }),
    )
    const { statusCode, body } = await request(`${server.url}/a`, { dispatcher: make() })
    expect(statusCode).toBe(502)
    expect(await body.text()).toBe(page)
    expect(server.seen.requests('/a')).toBe(3)
  })

  it('hands on a failed answer without a body', async () => {
    server.on('/a', fault.status(503))
    const { statusCode, body } = await request(`${server.url}/a`, { dispatcher: make() })
    expect([statusCode, await body.text()]).toEqual([503, ''])
    expect(server.seen.requests('/a')).toBe(3)
  })

  it('repeats a POST only with a key, or when nothing was sent', async () => {
    server.on('/a', fault.resetAfterRequest())
    const dispatcher = make()
    expect(await failure(request(`${server.url}/a`, { dispatcher, method: 'POST', body: '1' }))).toMatchObject({
      code: 'CONNECTION_LOST',
      effect: 'unknown',
    })
    expect(server.seen.requests('/a')).toBe(1)
    await failure(
      request(`${server.url}/a`, { dispatcher, method: 'POST', body: '1', headers: { 'Idempotency-Key': 'k' } }),
    )
    expect(server.seen.requests('/a')).toBe(4)
    await failure(
      request(`${server.url}/a`, { dispatcher, method: 'POST', body: '1', headers: ['Idempotency-Key', 'k'] }),
    )
    expect(server.seen.requests('/a')).toBe(7)
    const port = await refusedPort()
    const error = await failure(request(`http://127.0.0.1:${port.port}/a`, { dispatcher, method: 'POST', body: '1' }))
    expect(error).toMatchObject({ code: 'CONNECTION_REFUSED', effect: 'none', attempt: 3 })
  })

  it('sends a stream once', async () => {
    server.on('/a', fault.resetAfterRequest())
    const body = (async function* () {
      yield Buffer.from('once')
    })()
    const error = await failure(request(`${server.url}/a`, { dispatcher: make(), method: 'PUT', body: body as never }))
    expect(error).toMatchObject({ retryable: false, details: { stoppedBy: 'NOT_REPLAYABLE' } })
    expect(server.seen.requests('/a')).toBe(1)
  })

  it('does not repeat what broke off in the body', async () => {
    server.on('/a', fault.truncatedBody())
    const { body } = await request(`${server.url}/a`, { dispatcher: make() })
    expect(await failure(body.text())).toMatchObject({ code: 'REPLY_TRUNCATED' })
    expect(server.seen.requests('/a')).toBe(1)
  })

  it('opens the circuit of an origin', async () => {
    server.otherwise(fault.status(500))
    const dispatcher = make({ retry: false })
    for (let n = 0; n < 20; n++) await (await request(`${server.url}/a`, { dispatcher })).body.dump()
    expect(await failure(request(`${server.url}/a`, { dispatcher }))).toMatchObject({
      code: 'CIRCUIT_OPEN',
      service: server.url,
    })
    expect(server.seen.requests()).toBe(20)
  })

  it('bounds attempt, call and body', async () => {
    server.on('/hang', fault.hangBeforeHead())
    server.on('/body', fault.hangInBody())
    expect(
      await failure(request(`${server.url}/hang`, { dispatcher: make({ attemptTimeoutMs: 1_000, retry: false }) })),
    ).toMatchObject({ code: 'ATTEMPT_TIMEOUT', effect: 'unknown' })
    await server.aborted('/hang')
    expect(await failure(request(`${server.url}/hang`, { dispatcher: make({ deadlineMs: 1_000 }) }))).toMatchObject({
      code: 'DEADLINE_EXCEEDED',
    })
    const { body } = await request(`${server.url}/body`, { dispatcher: make({ deadlineMs: 1_500 }) })
    expect(await failure(body.text())).toMatchObject({ code: 'DEADLINE_EXCEEDED' })
    await server.aborted('/body')
  })

  it("ends with the caller's signal: in flight, between attempts and in the body", async () => {
    const clock = fakeClock()
    const dispatcher = make({ clock, retry: { backoffMs: 60_000, maxBackoffMs: 60_000 }, deadlineMs: 600_000 })
    server.on('/hang', fault.hangBeforeHead())
    const first = new AbortController()
    const flying = failure(request(`${server.url}/hang`, { dispatcher, signal: first.signal }))
    await server.arrived('/hang')
    first.abort(new Error('enough'))
    expect(await flying).toMatchObject({ message: 'enough' })
    await server.aborted('/hang')

    server.on('/wait', fault.resetAfterRequest())
    const second = new AbortController()
    const waiting = failure(request(`${server.url}/wait`, { dispatcher, signal: second.signal }))
    await server.arrived('/wait')
    await server.idle()
    await turns(20)
    second.abort(new Error('no more'))
    expect(await waiting).toMatchObject({ message: 'no more' })
    await until(() => clock.pending === 0)
    expect(server.seen.requests('/wait')).toBe(1)

    server.on('/body', fault.hangInBody())
    const third = new AbortController()
    const { body } = await request(`${server.url}/body`, { dispatcher, signal: third.signal })
    const text = failure(body.text())
    third.abort(new Error('stop'))
    expect(await text).toMatchObject({ message: 'stop' })
    await server.aborted('/body')
  })

  it('holds the slot until the body was read, and frees it whatever happens', async () => {
    const slots = bulkhead({ maxOutstanding: 1 })
    const dispatcher = make({ maxOutstanding: slots })
    server.on('/hang', fault.hangInBody({ body: 'x'.repeat(1_000) }))
    const { body } = await request(`${server.url}/hang`, { dispatcher })
    await turns()
    expect(slots.outstanding).toBe(1)
    expect(await failure(request(`${server.url}/a`, { dispatcher }))).toMatchObject({ code: 'OUTSTANDING_LIMIT' })
    server.release()
    await body.text()
    await until(() => slots.outstanding === 0)
    server.on('/b', fault.status(404), fault.truncatedBody(), fault.resetAfterRequest())
    await (await request(`${server.url}/b`, { dispatcher })).body.dump()
    await until(() => slots.outstanding === 0)
    await failure((await request(`${server.url}/b`, { dispatcher })).body.text())
    await until(() => slots.outstanding === 0)
  })

  it('frees the slot of a handler that throws, and tells it', async () => {
    const slots = bulkhead({ maxOutstanding: 1 })
    const dispatcher = make({ maxOutstanding: slots, deadlineMs: false })
    const told = await new Promise<Error>((resolve) => {
      dispatcher.dispatch({ origin: server.url, path: '/a', method: 'GET' }, {
        onRequestStart() {},
        onResponseStart() {
          throw new TypeError('a bug of the caller')
        },
        onResponseError: (_controller: unknown, error: Error) => resolve(error),
      } as unknown as Dispatcher.DispatchHandler)
    })
    expect(`${told.message} ${(told.cause as Error | undefined)?.message}`).toContain('a bug of the caller')
    await turns()
    expect(slots.outstanding).toBe(0)
    const { statusCode, body } = await request(`${server.url}/a`, { dispatcher })
    await body.dump()
    expect(statusCode).toBe(200)
  })

  it('gives the slot back before the next attempt, where an answer was not good', async () => {
    server.on('/a', fault.status(503, { body: 'busy' }), fault.status(200))
    const clock = fakeClock()
    const slots = bulkhead({ maxOutstanding: 1 })
    const dispatcher = make({ maxOutstanding: slots, clock, retry: { backoffMs: 50 } })
    const answer = request(`${server.url}/a`, { dispatcher })
    await until(() => server.seen.requests('/a') === 1 && slots.outstanding === 0)
    await clock.advance(50)
    const { statusCode, body } = await answer
    await body.dump()
    expect([statusCode, server.seen.requests('/a')]).toEqual([200, 2])
  })

  it("ends with the caller's signal while there is no connection yet", async () => {
    const agent = new Agent({ connect: () => {} })
    agents.push(agent)
    const slots = bulkhead({ maxOutstanding: 1 })
    const dispatcher = agent.compose(resilience({ deadlineMs: false, attemptTimeoutMs: false, maxOutstanding: slots }))
    const controller = new AbortController()
    const { signal } = controller
    const waiting = failure(request('http://stock.test/a', { dispatcher, signal }))
    await turns()
    expect(slots.outstanding).toBe(1)
    controller.abort(new Error('stop'))
    expect(await waiting).toMatchObject({ message: 'stop' })
    await until(() => slots.outstanding === 0)
    expect(await failure(request('http://stock.test/a', { dispatcher, signal }))).toMatchObject({ message: 'stop' })
    await until(() => slots.outstanding === 0)
  })

  it('keeps the pace of a slow reader', async () => {
    server.on('/huge', fault.hugeBody({ bytes: 20_000_000 }))
    const { body } = await request(`${server.url}/huge`, { dispatcher: make() })
    let bytes = 0
    for await (const chunk of body) {
      bytes += (chunk as Buffer).length
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(bytes).toBe(20_000_000)
  })
})

describe('with fetch()', () => {
  it('changes nothing of a good call, and repeats what is safe', async () => {
    server.on('/a', fault.resetAfterRequest(), fault.status(500, { body: 'not this' }), fault.json({ n: 1 }))
    const response = await fetch(`${server.url}/a`, { dispatcher: make() })
    expect([response.status, await response.json()]).toEqual([200, { n: 1 }])
    expect(server.seen.requests('/a')).toBe(3)
  })

  it('hands on the last answer, and follows redirects', async () => {
    server.on('/from', fault.status(307, { headers: { location: '/a' } }))
    server.on('/a', fault.status(503, { body: 'busy' }))
    const response = await fetch(`${server.url}/from`, { dispatcher: make() })
    expect([response.status, await response.text()]).toEqual([503, 'busy'])
    expect(server.seen.requests('/a')).toBe(3)
  })

  it('fails in the words of fairlead, as the cause', async () => {
    server.on('/hang', fault.hangBeforeHead())
    const error = await failure(
      fetch(`${server.url}/hang`, { dispatcher: make({ attemptTimeoutMs: 1_000, retry: false }) }),
    )
    expect(error.cause).toMatchObject({ code: 'ATTEMPT_TIMEOUT' })
  })

  it('sends bodies, once', async () => {
    server.on('/a', fault.resetAfterRequest())
    server.on('/b', fault.json(1))
    const dispatcher = make()
    await (await fetch(`${server.url}/b`, { dispatcher, method: 'POST', body: 'text' })).text()
    expect(server.requests[0]?.text()).toBe('text')
    await failure(fetch(`${server.url}/a`, { dispatcher, method: 'PUT', body: 'text' }))
    expect(server.seen.requests('/a')).toBe(1)
  })
})

describe('hooks', () => {
  it('that it does not know reach the handler, those of undici 6 do not', () => {
    const heard: unknown[] = []
    const dispatch = (_options: object, handler: Record<string, (...args: unknown[]) => void>): boolean => {
      handler['onSomethingNew']?.('a', 1)
      expect(handler['onSomethingElse']).toBeUndefined()
      expect(handler['onHeaders']).toBeUndefined()
      return true
    }
    const handler = {
      private: 'own',
      onRequestStart() {},
      onHeaders() {},
      onSomethingNew(...args: unknown[]) {
        heard.push(this.private, ...args)
      },
    }
    resilience()(dispatch)({ origin: 'http://a.test', path: '/', method: 'GET' }, handler)
    expect(heard).toEqual(['own', 'a', 1])
  })

  it('of one request share one controller over all attempts', async () => {
    server.on('/a', fault.resetAfterRequest(), fault.json(1))
    const heard: string[] = []
    const controllers = new Set<unknown>()
    const hear = (controller: unknown, what: string): void => {
      controllers.add(controller)
      if (heard.at(-1) !== what) heard.push(what)
    }
    await new Promise<void>((resolve, reject) => {
      make().dispatch({ origin: server.url, path: '/a', method: 'PUT', body: 'text' }, {
        onRequestStart: (controller: unknown) => hear(controller, 'start'),
        onResponseStart: (controller: unknown, status: number) => hear(controller, `head ${status}`),
        onResponseData: (controller: unknown) => hear(controller, 'data'),
        onResponseEnd: (controller: unknown) => {
          hear(controller, 'end')
          resolve()
        },
        onResponseError: (_controller: unknown, error: Error) => reject(error),
      } as Dispatcher.DispatchHandler)
    })
    expect(heard).toEqual(['start', 'head 200', 'data', 'end'])
    expect(controllers.size).toBe(1)
  })
})

describe('options', () => {
  it.each([
    [{ maxOrigins: 0 }, 'maxOrigins'],
    [{ baseUrl: 'http://a' }, 'baseUrl'],
  ])('names the one that makes no sense: %#', (options, name) => {
    expect(() => resilience(options as never)).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTIONS', message: expect.stringContaining(name) }),
    )
  })
})
