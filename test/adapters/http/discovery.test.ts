import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { httpSettings } from '../../../src/adapters/http/options.ts'
import { createPools } from '../../../src/adapters/http/pools.ts'
import { type HttpTransport, httpTransport } from '../../../src/adapters/http/transport.ts'
import type { Endpoint } from '../../../src/core/contracts/source.ts'
import { createDiscovery, type Discovery } from '../../../src/discovery/discovery.ts'
import { type StaticSource, staticSource } from '../../../src/discovery/static-source.ts'
import { type CallTemplate, startCall } from '../../../src/policies/call.ts'
import { type Standard, type StandardOptions, standard } from '../../../src/policies/standard.ts'
import { fakeClock } from '../../../src/testing/fake-clock.ts'
import { createFaultServer, type FaultServer, fault } from '../../../src/testing/fault-server/index.ts'
import { seededRandom } from '../../../src/testing/seeded-random.ts'
import { call, failure, operation } from './support.ts'

let one: FaultServer
let other: FaultServer
let source: StaticSource
let discovery: Discovery
let transport: HttpTransport

const endpoint = (server: FaultServer, more: Partial<Endpoint> = {}): Endpoint => ({
  id: `${server.port}`,
  addresses: [{ host: server.host, port: server.port }],
  ...more,
})

beforeEach(async () => {
  one = await createFaultServer()
  other = await createFaultServer()
  source = staticSource({ stock: [endpoint(one), endpoint(other)] })
  discovery = createDiscovery({ source, balancer: 'round-robin', debounceMs: 0, random: seededRandom(1) })
  transport = httpTransport({ discovery })
})
afterEach(async () => {
  await transport.close()
  await discovery.close()
  await one.close()
  await other.close()
})

interface Service {
  readonly standard: Standard
  call(binding?: string, idempotent?: boolean): Promise<unknown>
}

/** What a proxy does with the transport. */
function service(options: StandardOptions = {}): Service {
  const shared = standard('stock', { retry: { backoffMs: 0 }, ...options }, transport.pick('stock'))
  return {
    standard: shared,
    call(binding = 'GET /a', idempotent = true) {
      const made = operation(binding, { idempotent })
      const template: CallTemplate = {
        service: 'stock',
        operation: 'get',
        idempotent,
        deadlineMs: 5_000,
        clock: shared.clock,
        resolver: transport.resolver('stock'),
      }
      const pipeline = shared.pipeline({}, (input: unknown, context) => transport.invoke(made, input, context))
      return startCall(pipeline, template, undefined, undefined)
    },
  }
}

describe('two endpoints', () => {
  it('share the calls', async () => {
    const stock = service()
    for (let n = 0; n < 20; n++) await stock.call()
    expect([one.seen.requests(), other.seen.requests()]).toEqual([10, 10])
  })

  it('calls with one key go to one of them, where the balancer sticks', async () => {
    await transport.close()
    const sticking = createDiscovery({ source, balancer: 'consistent-hash', debounceMs: 0, random: seededRandom(1) })
    transport = httpTransport({ discovery: sticking, stickyKey: ({ customer }: { customer?: string }) => customer })
    const shared = standard('stock', {}, transport.pick('stock'))
    const made = operation('GET /a', { idempotent: true })
    const template: CallTemplate = {
      service: 'stock',
      operation: 'get',
      idempotent: true,
      deadlineMs: 5_000,
      clock: shared.clock,
    }
    const pipeline = shared.pipeline({}, (input: unknown, context) => transport.invoke(made, input, context))
    const byProxy = async (): Promise<void> => {
      for (let n = 0; n < 10; n++) await startCall(pipeline, template, { customer: 'c1' }, undefined)
    }
    await byProxy()
    expect([one.seen.requests(), other.seen.requests()].sort()).toEqual([0, 10].sort())
    for (let n = 0; n < 10; n++) await call(transport, made, { customer: 'c1' })
    expect([one.seen.requests(), other.seen.requests()].sort()).toEqual([0, 20].sort())
    await sticking.close()
  })

  it('one dead from the start: no call fails, not even in a burst without retries, and the circuit stays closed', async () => {
    await one.refuse()
    const stock = service({ retry: false })
    await Promise.all(Array.from({ length: 64 }, () => stock.call('POST /a', false)))
    for (let n = 0; n < 50; n++) await stock.call('POST /a', false)
    expect(other.seen.requests()).toBe(114)
    expect(stock.standard.circuitBreaker?.state).toBe('closed')
  })

  it('one that dies on the way: no idempotent call fails, and it comes back when it is well', async () => {
    const clock = fakeClock()
    await discovery.close()
    discovery = createDiscovery({ source, balancer: 'round-robin', clock, random: seededRandom(1) })
    await transport.close()
    transport = httpTransport({ discovery })
    const stock = service()
    for (let n = 0; n < 10; n++) await stock.call()
    await one.refuse()
    for (let n = 0; n < 40; n++) await stock.call()
    expect(stock.standard.circuitBreaker?.state).toBe('closed')
    expect(other.seen.requests()).toBe(45)
    await one.listen()
    await clock.advance(60_000)
    for (let n = 0; n < 10; n++) await stock.call()
    expect(one.seen.requests()).toBeGreaterThan(5)
  })

  it('one that fails after the request was sent: the retry goes to the other, and is a second attempt at the servers', async () => {
    one.otherwise(fault.resetAfterRequest())
    const stock = service()
    const results = await Promise.all([stock.call(), stock.call()])
    expect(results).toMatchObject([{ output: { ok: true } }, { output: { ok: true } }])
    expect(one.seen.requests()).toBe(1)
    expect(other.seen.requests()).toBe(2)
  })

  it('one that fails after the request was sent: a call that is not idempotent is not repeated', async () => {
    one.otherwise(fault.resetAfterRequest())
    const stock = service()
    const results = await Promise.allSettled([stock.call('POST /a', false), stock.call('POST /a', false)])
    expect(results.map((each) => each.status).sort()).toEqual(['fulfilled', 'rejected'])
    expect(one.seen.requests() + other.seen.requests()).toBe(2)
  })

  it('one that always fails is left out after three calls, and its failures do not trip the circuit', async () => {
    one.otherwise(fault.status(500))
    const stock = service({ retry: false, circuitBreaker: { minimumCalls: 2, errorRate: 0.1 } })
    const results = await Promise.allSettled(
      Array.from({ length: 40 }, async (_, n) => n).map(() => stock.call('POST /a', false)),
    )
    // All of them at once: each was picked before any had failed.
    expect(results.filter((each) => each.status === 'rejected')).toHaveLength(20)
    for (let n = 0; n < 20; n++) await stock.call('POST /a', false)
    expect(one.seen.requests()).toBe(20)
    expect(stock.standard.circuitBreaker?.state).toBe('closed')
  })

  it.each([
    ['refuse', async () => void (await Promise.all([one.refuse(), other.refuse()]))],
    ['answer 500', async () => void [one, other].map((each) => each.otherwise(fault.status(500)))],
    ['answer 503', async () => void [one, other].map((each) => each.otherwise(fault.status(503)))],
  ])('when both %s, the circuit opens', async (_what, fail) => {
    await fail()
    const stock = service({ retry: false })
    for (let n = 0; n < 40; n++) await stock.call('POST /a', false).catch(() => {})
    expect(stock.standard.circuitBreaker?.state).toBe('open')
  })

  it('none left: NO_ENDPOINT', async () => {
    source.set('stock', [])
    expect(await failure(service().call())).toMatchObject({ code: 'NO_ENDPOINT', effect: 'none' })
    expect(await failure(call(transport, operation('GET /a', { service: 'nobody' })))).toMatchObject({
      code: 'NO_ENDPOINT',
    })
  })
})

describe('without a pick around it', () => {
  it('the transport picks for itself', async () => {
    for (let n = 0; n < 4; n++) await call(transport, 'GET /a')
    expect([one.seen.requests(), other.seen.requests()]).toEqual([2, 2])
  })
})

describe('an endpoint', () => {
  it('has one pool, kept over a refresh, and a new one at a new address', async () => {
    source.set('stock', [endpoint(one, { id: 'pod-1' })])
    await call(transport, 'GET /a')
    source.set('stock', [endpoint(one, { id: 'pod-1', zone: 'b' })])
    await call(transport, 'GET /a')
    expect(one.seen.connections).toBeLessThanOrEqual(2)
    source.set('stock', [endpoint(other, { id: 'pod-1' })])
    await call(transport, 'GET /a')
    expect(other.seen.requests()).toBe(1)
    await one.idle()
  })

  it('of two services at one address has a pool for each name, and one for both where they have the same', async () => {
    const pools = createPools(httpSettings({ discovery }))
    const at443 = { id: '10.0.0.1:443', addresses: [{ host: '10.0.0.1', port: 443 }], secure: true }
    const api = { ...at443, hostname: 'api.example.com' }
    const auth = { ...at443, hostname: 'auth.example.com' }
    const apiPool = pools.route(api, 'api').dispatcher
    const authPool = pools.route(auth, 'auth').dispatcher
    expect(authPool).not.toBe(apiPool)
    expect(pools.route(api, 'api').dispatcher).toBe(apiPool)
    pools.release(at443.id, 'auth')
    expect(pools.route(api, 'api').dispatcher).toBe(apiPool)
    expect(pools.route(auth, 'auth').dispatcher).not.toBe(authPool)
    expect(pools.route({ ...api }, 'api too').dispatcher).toBe(apiPool)
    // One of the two moves, or has it no more: the other goes on.
    pools.route({ ...api, addresses: [{ host: '10.0.0.2', port: 443 }] }, 'api too')
    expect(pools.route(api, 'api').dispatcher).toBe(apiPool)
    pools.route({ ...api }, 'api too')
    pools.release(at443.id, 'api too')
    expect(pools.route(api, 'api').dispatcher).toBe(apiPool)
    pools.release(at443.id, 'api')
    expect(pools.route(api, 'api').dispatcher).not.toBe(apiPool)
    await pools.destroy()
  })

  it('that is gone from one service keeps its pool for another', async () => {
    source.set('stock', [endpoint(one)])
    source.set('price', [endpoint(one)])
    const price = operation('GET /a', { service: 'price' })
    for (const each of ['GET /a', price] as const) await call(transport, each)
    const { connections } = one.seen
    source.set('price', [endpoint(other)])
    await call(transport, price)
    await call(transport, 'GET /a')
    expect(one.seen.connections).toBe(connections)
  })

  it('that vanished has its connections closed within two minutes', async () => {
    const clock = fakeClock()
    const timed = httpTransport({ discovery, clock })
    for (let n = 0; n < 4; n++) await call(timed, 'GET /a')
    source.set('stock', [endpoint(other)])
    await clock.advance(60_000)
    await call(timed, 'GET /a')
    await clock.advance(60_000)
    await one.idle()
    expect(other.seen.open).toBeGreaterThan(0)
    await timed.close()
    expect(clock.pending).toBe(0)
  })

  it('is called at its address with the name in Host', async () => {
    source.set('stock', [endpoint(one, { hostname: 'stock.internal' })])
    await call(transport, 'GET /a')
    expect(one.requests[0]?.headers['host']).toBe(`stock.internal:${one.port}`)
  })

  it('is checked by its name in TLS, although it is called at its address', async () => {
    const secure = await createFaultServer({ tls: 'good' })
    const wrong = await createFaultServer({ tls: 'wrong-name' })
    const tls = httpTransport({ discovery, ca: secure.ca })
    const strict = httpTransport({ discovery, ca: wrong.ca })
    source.set('stock', [endpoint(secure, { hostname: 'localhost', secure: true })])
    expect((await call(tls, 'GET /a')).output).toEqual({ ok: true })
    source.set('stock', [endpoint(secure, { hostname: 'somebody.else', secure: true })])
    expect(await failure(call(tls, 'GET /a'))).toMatchObject({ code: 'CERTIFICATE_INVALID' })
    source.set('stock', [endpoint(wrong, { secure: true })])
    expect(await failure(call(strict, 'GET /a'))).toMatchObject({ code: 'CERTIFICATE_INVALID' })
    await Promise.all([tls.close(), strict.close(), secure.close(), wrong.close()])
  })

  it('with several addresses is called at one that answers', async () => {
    source.set('stock', [
      endpoint(one, {
        hostname: 'stock.internal',
        addresses: [
          { host: '127.0.0.1', port: one.port },
          { host: '::1', port: one.port },
        ],
      }),
    ])
    expect((await call(transport, 'GET /a')).output).toEqual({ ok: true })
  })
})
