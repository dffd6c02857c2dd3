// How requests to services end when something else ends first: the dispatcher, the endpoint, the caller, its upload; and pools that outlive nobody.
import { EventEmitter } from 'node:events'
import { createServer, type Server } from 'node:http'
import { createSecureServer, type ServerHttp2Stream } from 'node:http2'
import { Readable } from 'node:stream'
import { Agent, request } from 'undici'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { discoveryDispatcher } from '../../../src/adapters/http/discovery-dispatcher.ts'
import { discoveryInterceptor } from '../../../src/adapters/http/discovery-interceptor.ts'
import { httpSettings } from '../../../src/adapters/http/options.ts'
import { createPools } from '../../../src/adapters/http/pools.ts'
import { httpTransport } from '../../../src/adapters/http/transport.ts'
import type { Lease, Outcome, Resolver } from '../../../src/core/contracts/balancer.ts'
import type { Endpoint } from '../../../src/core/contracts/source.ts'
import { fakeClock } from '../../../src/testing/fake-clock.ts'
import {
  createFaultServer,
  createServerCertificate,
  type FaultServer,
  fault,
} from '../../../src/testing/fault-server/index.ts'
import { call, failure, turns, until } from './support.ts'

/** A discovery that has one endpoint a service, and says it when it is told to. */
function fixed(endpoints: Readonly<Record<string, Endpoint>> | Endpoint) {
  const outcomes: Outcome[] = []
  const removed = new Map<string, (endpoint: Endpoint) => void>()
  let waiting: (() => void) | undefined
  let holds = false
  const resolver = (service: string): Resolver => {
    const endpoint = 'addresses' in endpoints ? (endpoints as Endpoint) : (endpoints[service] as Endpoint)
    const lease = { endpoint, report: (outcome: Outcome) => void outcomes.push(outcome) } as Lease
    return {
      service,
      acquire: () => (holds ? new Promise((resolve) => (waiting = () => resolve(lease))) : lease),
      untried: () => 1,
      onRemoved(listener) {
        removed.set(service, listener)
        return () => removed.delete(service)
      },
      refresh() {},
      async close() {},
    }
  }
  return {
    resolver,
    outcomes,
    hold: () => (holds = true),
    go: () => waiting?.(),
    remove: (service: string, endpoint: Endpoint) => removed.get(service)?.(endpoint),
  }
}

const at = ({ host, port }: { readonly host: string; readonly port: number }, more: Partial<Endpoint> = {}) => ({
  id: 'a',
  addresses: [{ host, port }],
  ...more,
})

let server: FaultServer
const closing: (() => unknown)[] = []
beforeEach(async () => {
  server = await createFaultServer()
  closing.push(() => server.close())
})
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

const made = (discovery: ReturnType<typeof fixed>, options: Parameters<typeof discoveryDispatcher>[1] = {}) => {
  const dispatcher = discoveryDispatcher(discovery, options)
  closing.push(() => dispatcher.destroy())
  return dispatcher
}

describe('the dispatcher', () => {
  it.each(['close', 'destroy'] as const)('is closed for good by %s, for services and for other hosts', async (end) => {
    const discovery = fixed(at(server))
    const dispatcher = made(discovery, { serviceOf: (host) => (host === 'stock' ? host : undefined) })
    await (await request('http://stock/', { dispatcher })).body.dump()
    discovery.hold()
    const late = failure(request('http://stock/', { dispatcher }))
    await dispatcher[end]()
    discovery.go()
    expect(await late).toMatchObject({ code: 'SHUTDOWN' })
    expect(await failure(request('http://stock/', { dispatcher }))).toMatchObject({ code: 'SHUTDOWN' })
    expect(await failure(request(server.url, { dispatcher }))).toMatchObject({ code: 'SHUTDOWN' })
    expect(server.seen.requests()).toBe(1)
    await dispatcher.close()
    await dispatcher.destroy()
  })

  it('breaks off what is sent to an endpoint that is gone when it is destroyed', async () => {
    server.on('/hang', fault.hangBeforeHead())
    const endpoint = at(server)
    const discovery = fixed(endpoint)
    const dispatcher = made(discovery)
    const hanging = failure(request('http://stock/hang', { dispatcher }))
    await server.arrived('/hang')
    discovery.remove('stock', endpoint)
    await dispatcher.destroy()
    expect(await hanging).toMatchObject({ code: 'UND_ERR_DESTROYED' })
    expect(discovery.outcomes).toHaveLength(1)
  })

  it('waits 30 seconds for what is sent to an endpoint that is gone', async () => {
    server.on('/hang', fault.hangBeforeHead())
    const clock = fakeClock()
    const endpoint = at(server)
    const discovery = fixed(endpoint)
    const dispatcher = made(discovery, { clock })
    const hanging = failure(request('http://stock/hang', { dispatcher }))
    await server.arrived('/hang')
    discovery.remove('stock', endpoint)
    await clock.advance(29_999)
    await turns()
    expect(server.seen.open).toBe(1)
    await clock.advance(1)
    expect(await hanging).toMatchObject({ code: 'CONNECTION_LOST' })
    await dispatcher.close()
    expect(clock.pending).toBe(0)
  })

  it('has the timeouts of undici, and the transport has not', async () => {
    server.on('/hang', fault.hangBeforeHead())
    const dispatcher = made(fixed(at(server)))
    const hanging = failure(request('http://stock/hang', { dispatcher }))
    await server.arrived('/hang')
    // The transport's own are exact, and it needs no others.
    const transport = httpTransport({ discovery: fixed(at(server)) })
    closing.push(() => transport.close())
    const calling = call(transport, 'GET /hang')
    await until(() => server.seen.requests('/hang') === 2)
    // Their own way to move their timers on.
    const timers = (await import('undici/lib/util/timers.js' as string)) as { default: { tick(ms: number): void } }
    timers.default.tick(301_000)
    timers.default.tick(301_000)
    expect(await hanging).toMatchObject({ code: 'UND_ERR_HEADERS_TIMEOUT' })
    server.release()
    expect((await calling).output).toEqual({ ok: true })
  })

  it('tells who broke an upload over HTTP/2, where both look alike', async () => {
    const { key, cert, ca } = createServerCertificate('good')
    let end: (stream: ServerHttp2Stream) => void = () => {}
    const second = createSecureServer({ key, cert }).on('stream', (stream) => {
      stream.on('error', () => {}).once('data', () => end(stream))
    })
    await new Promise<void>((ready) => second.listen(0, '127.0.0.1', ready))
    closing.push(() => second.close())
    const body = (): Readable => {
      const upload = new Readable({ read() {} })
      upload.push('begin')
      return upload
    }
    const discovery = fixed(at({ host: '127.0.0.1', port: (second.address() as { port: number }).port }))
    const send = (upload: Readable): Promise<unknown> =>
      failure(
        request('https://localhost/', {
          dispatcher: made(discovery, { allowH2: true, ca }),
          method: 'PUT',
          body: upload,
        }),
      )
    for (const theirs of [
      (stream: ServerHttp2Stream) => stream.close(2),
      (stream: ServerHttp2Stream) => stream.session?.destroy(),
    ]) {
      end = theirs
      await send(body())
    }
    for (const own of [new Error('no more'), undefined]) {
      const upload = body()
      end = () => upload.destroy(own)
      await send(upload)
    }
    expect(discovery.outcomes.map(({ kind }) => kind)).toEqual(['failure', 'failure', 'cancelled', 'cancelled'])
  })

  it('keeps what two services call alike apart, also after one of them was gone', async () => {
    const discovery = fixed({ stock: at(server), orders: at(server) })
    const dispatcher = made(discovery)
    const get = async (url: string): Promise<void> => void (await (await request(url, { dispatcher })).body.dump())
    await get('http://stock/')
    await get('http://orders/')
    expect(server.seen.open).toBe(2)
    discovery.remove('stock', at(server))
    await until(() => server.seen.open === 1)
    await get('http://orders/')
    expect(server.seen.connections).toBe(2)
    await get('http://stock/')
    await get('http://stock/')
    discovery.remove('stock', at(server))
    discovery.remove('orders', at(server))
    await until(() => server.seen.open === 0)
  })
})

describe.each(['dispatcher', 'interceptor'] as const)('by %s', (form) => {
  const through = (discovery: ReturnType<typeof fixed>): any => {
    if (form === 'dispatcher') return made(discovery)
    const agent = new Agent()
    closing.push(() => agent.destroy())
    return agent.compose(discoveryInterceptor(discovery) as never)
  }

  it('an upload that breaks by itself says nothing of the endpoint', async () => {
    const aborted = (): Error => Object.assign(new Error('aborted'), { code: 'ECONNRESET' })
    for (const [n, error] of [new Error('no more'), aborted(), undefined].entries()) {
      const discovery = fixed(at(server))
      const body = new Readable({ read() {} })
      body.push('begin')
      const answer = failure(request('http://stock/', { dispatcher: through(discovery), method: 'PUT', body }))
      await until(() => server.seen.connections > n)
      await turns()
      body.destroy(error)
      await answer
      await until(() => discovery.outcomes.length > 0)
      expect(discovery.outcomes).toMatchObject([{ kind: 'cancelled' }])
    }
  })

  it('an upload that the endpoint breaks is a failure of the endpoint', async () => {
    const resetting: Server = createServer((incoming) => incoming.once('data', () => incoming.socket.resetAndDestroy()))
    await new Promise<void>((ready) => resetting.listen(0, '127.0.0.1', ready))
    closing.push(() => resetting.close())
    const discovery = fixed(at({ host: '127.0.0.1', port: (resetting.address() as { port: number }).port }))
    const body = new Readable({ read() {} })
    body.push('begin')
    await failure(request('http://stock/', { dispatcher: through(discovery), method: 'PUT', body }))
    expect(discovery.outcomes).toMatchObject([{ kind: 'failure' }])
  })

  it('hears of the abort while it waits for the first word of discovery', async () => {
    const discovery = fixed(at(server))
    discovery.hold()
    const dispatcher = through(discovery)
    const leaving = new AbortController()
    const waiting = failure(request('http://stock/', { dispatcher, signal: leaving.signal }))
    await turns()
    leaving.abort(new Error('enough'))
    expect(await waiting).toMatchObject({ message: 'enough' })
    discovery.go()
    await until(() => discovery.outcomes.length > 0)
    expect(discovery.outcomes).toMatchObject([{ kind: 'cancelled' }])
    expect(server.seen.requests()).toBe(0)
    const gone = failure(request('http://stock/', { dispatcher, signal: leaving.signal }))
    expect(await gone).toMatchObject({ message: 'enough' })
    // The other kind that undici takes.
    const emitter = new EventEmitter()
    const another = failure(request('http://stock/', { dispatcher, signal: emitter }))
    await turns()
    emitter.emit('abort')
    expect(await another).toMatchObject({ code: 'CANCELLED' })
  })

  it('leaves nothing on the signal of the caller when it no longer waits', async () => {
    const discovery = fixed(at(server))
    discovery.hold()
    const emitter = new EventEmitter()
    const answer = request('http://stock/', { dispatcher: through(discovery), signal: emitter })
    await turns()
    const before = emitter.listenerCount('abort')
    discovery.go()
    await (await answer).body.dump()
    expect([before, emitter.listenerCount('abort')]).toEqual([2, 0])
    expect(discovery.outcomes).toMatchObject([{ kind: 'success' }])
  })
})

describe('the pool of an endpoint', () => {
  it('with several addresses uses those that are found, and only with the port of the first', async () => {
    const nowhere = { host: 'no-such-host.invalid', port: server.port }
    const found = fixed({ id: 'a', addresses: [nowhere, { host: '127.0.0.1', port: server.port }] })
    const { statusCode, body } = await request('http://stock/', { dispatcher: made(found) })
    await body.dump()
    expect(statusCode).toBe(200)
    const elsewhere = fixed({ id: 'a', addresses: [nowhere, { host: '127.0.0.1', port: server.port + 1 }] })
    await failure(request('http://stock/', { dispatcher: made(elsewhere) }))
    expect(elsewhere.outcomes).toMatchObject([{ kind: 'not-sent' }])
    expect(server.seen.requests()).toBe(1)
  })

  it('never connects to a name that is an address, however it is written', async () => {
    const pools = createPools(httpSettings({ discovery: fixed(at(server)) }))
    closing.push(() => pools.close())
    const addresses = [{ host: '10.0.0.1', port: 80 }]
    const origins = [
      '127.0.0.1',
      '0x7f.1',
      '2130706433',
      '127.1',
      '::1',
      '[::1]',
      '１２７.0.0.1',
      'a@127.0.0.1',
      'a b',
    ].map((hostname, n) => pools.route({ id: `${n}`, hostname, addresses }).origin)
    expect(new Set(origins)).toEqual(new Set(['http://10.0.0.1:80']))
    expect(pools.route({ id: 'named', hostname: 'Stock_1.internal', addresses }).origin).toBe(
      'http://Stock_1.internal:80',
    )
  })
})
