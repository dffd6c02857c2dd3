import { createServer, type Server } from 'node:http'
import { createSecureServer, type Http2SecureServer } from 'node:http2'
import { createServer as createTlsServer } from 'node:https'
import { Agent, interceptors, request } from 'undici'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { discoveryDispatcher, discoveryFetch } from '../../../src/adapters/http/discovery-dispatcher.ts'
import { discoveryInterceptor } from '../../../src/adapters/http/discovery-interceptor.ts'
import { resilience } from '../../../src/adapters/http/resilience.ts'
import type { Outcome, Resolver } from '../../../src/core/contracts/balancer.ts'
import type { Endpoint } from '../../../src/core/contracts/source.ts'
import {
  createFaultServer,
  createServerCertificate,
  type FaultServer,
  fault,
} from '../../../src/testing/fault-server/index.ts'

/** A discovery that the test steers: endpoints in their order, those that were tried last. */
function steered(...endpoints: readonly Endpoint[]) {
  let known = [...endpoints]
  const reports: (Outcome & { readonly id: string })[] = []
  const listeners = new Set<(endpoint: Endpoint) => void>()
  let waiting: (() => void) | undefined
  let hold = false
  const asked: string[] = []
  const keys: (string | undefined)[] = []
  const take = (avoid: ReadonlySet<string> | undefined) => {
    const endpoint = known.find(({ id }) => avoid?.has(id) !== true) ?? known[0]
    if (endpoint === undefined) throw Object.assign(new Error('nobody there'), { code: 'NO_ENDPOINT' })
    return { endpoint, report: (outcome: Outcome) => void reports.push({ id: endpoint.id, ...outcome }) }
  }
  const resolver = (service: string): Resolver => {
    asked.push(service)
    return {
      service,
      acquire(context) {
        keys.push(context?.key)
        return hold ? new Promise((resolve) => (waiting = () => resolve(take(context?.avoid)))) : take(context?.avoid)
      },
      untried: (avoid) => known.filter(({ id }) => !avoid.has(id)).length,
      onRemoved(listener) {
        listeners.add(listener)
        return () => listeners.delete(listener)
      },
      refresh() {},
      async close() {},
    }
  }
  return {
    resolver,
    reports,
    asked,
    keys,
    hold: () => (hold = true),
    go: () => waiting?.(),
    set: (...next: readonly Endpoint[]) => (known = [...next]),
    remove(endpoint: Endpoint) {
      known = known.filter((each) => each !== endpoint)
      for (const listener of listeners) listener(endpoint)
    },
  }
}

const at = (
  { host, port }: { readonly host: string; readonly port: number },
  more: Partial<Endpoint> = {},
): Endpoint => ({
  id: `${port}`,
  addresses: [{ host, port }],
  ...more,
})

const until = async (met: () => boolean): Promise<void> => {
  while (!met()) await new Promise((resolve) => setTimeout(resolve, 5))
}

let one: FaultServer
let other: FaultServer
const closing: (() => Promise<unknown>)[] = []

beforeEach(async () => {
  one = await createFaultServer()
  other = await createFaultServer()
  closing.push(
    () => one.close(),
    () => other.close(),
  )
})
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

const made = (discovery: ReturnType<typeof steered>, options: Parameters<typeof discoveryDispatcher>[1] = {}) => {
  const dispatcher = discoveryDispatcher(discovery, options)
  closing.push(() => dispatcher.destroy())
  return dispatcher as any
}

describe.each(['dispatcher', 'interceptor'] as const)('by %s', (form) => {
  const through = (discovery: ReturnType<typeof steered>, ...outer: readonly any[]): any =>
    keyed(discovery, {}, ...outer)
  const keyed = (
    discovery: ReturnType<typeof steered>,
    options: Parameters<typeof discoveryInterceptor>[1],
    ...outer: readonly any[]
  ): any => {
    if (form === 'dispatcher') {
      const dispatcher = made(discovery, options)
      return outer.length === 0 ? dispatcher : dispatcher.compose(...outer)
    }
    const agent = new Agent()
    closing.push(() => agent.destroy())
    return agent.compose(discoveryInterceptor(discovery, options) as never, ...outer)
  }

  it('sends a request to an endpoint of the service that the URL names, with the name as Host', async () => {
    one.on('/items', fault.json({ level: 5 }))
    const discovery = steered(at(one))
    const { statusCode, body } = await request('http://inventory/items?a=1', { dispatcher: through(discovery) })
    expect([statusCode, await body.json()]).toEqual([200, { level: 5 }])
    expect(one.requests[0]?.headers['host']).toBe(`inventory:${one.port}`)
    expect(discovery.asked).toEqual(['inventory'])
    expect(discovery.reports).toEqual([{ id: `${one.port}`, kind: 'success', latencyMs: expect.any(Number) }])
  })

  it('keeps a Host of the caller, in each way of giving headers', async () => {
    one.on('/', fault.json(1))
    const dispatcher = through(steered(at(one)))
    for (const headers of [{ Host: 'own' }, ['host', 'own'], new Map([['host', 'own']])]) {
      const { body } = await request('http://inventory/', { dispatcher, headers: headers as never })
      await body.dump()
    }
    expect(one.requests.map(({ headers }) => headers['host'])).toEqual(['own', 'own', 'own'])
  })

  it('waits for the first word of discovery, and says when there is nobody', async () => {
    one.on('/', fault.json(1))
    const discovery = steered(at(one))
    const dispatcher = through(discovery)
    discovery.hold()
    const answer = request('http://inventory/', { dispatcher })
    await new Promise((resolve) => setImmediate(resolve))
    discovery.go()
    await (await answer).body.dump()
    const none = through(steered())
    await expect(request('http://inventory/', { dispatcher: none })).rejects.toMatchObject({ code: 'NO_ENDPOINT' })
  })

  it('reports each outcome once: statuses that speak against the endpoint, overload, a cut, a refusal, an abort', async () => {
    one.on('/500', fault.status(500))
    one.on('/503', fault.status(503, { headers: { 'retry-after': '7' } }))
    one.on('/404', fault.status(404))
    one.on('/501', fault.status(501))
    one.on('/cut', fault.resetAfterRequest())
    one.on('/hang', fault.hangBeforeHead())
    const discovery = steered(at(one))
    const dispatcher = through(discovery)
    for (const path of ['/500', '/503', '/404'])
      await (await request(`http://inventory${path}`, { dispatcher })).body.dump()
    await expect(request('http://inventory/cut', { dispatcher })).rejects.toThrow()
    const leaving = new AbortController()
    const left = request('http://inventory/hang', { dispatcher, signal: leaving.signal })
    await one.arrived('/hang')
    leaving.abort()
    await expect(left).rejects.toThrow()
    await until(() => discovery.reports.length === 5)
    expect(discovery.reports.map(({ kind }) => kind)).toEqual([
      'failure',
      'overload',
      'success',
      'failure',
      'cancelled',
    ])
    expect(discovery.reports[1]?.retryAfterMs).toBe(7_000)
    discovery.set({ id: 'gone', addresses: [{ host: '127.0.0.1', port: 9 }] })
    await expect(request('http://inventory/', { dispatcher })).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    expect(discovery.reports.at(-1)).toMatchObject({ id: 'gone', kind: 'not-sent' })
    expect(discovery.reports).toHaveLength(6)
  })

  it('gives the key of a request along', async () => {
    one.on('/orders/c-1', fault.json(1))
    const discovery = steered(at(one))
    const stickyKey = ({ path }: { readonly path?: string | undefined }) => path?.split('/')[2]
    const dispatcher = keyed(discovery, { stickyKey })
    await (await request('http://orders/orders/c-1', { dispatcher })).body.dump()
    await (await request('http://orders/', { dispatcher })).body.dump()
    expect(discovery.keys).toEqual(['c-1', undefined])
    const failing = keyed(discovery, {
      stickyKey: () => {
        throw new Error('no customer')
      },
    })
    await expect(request('http://orders/', { dispatcher: failing })).rejects.toThrow('no customer')
    expect(discovery.keys).toHaveLength(2)
    expect(() => keyed(discovery, { stickyKey: 'c-1' as never })).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTIONS', message: expect.stringContaining('stickyKey') }),
    )
  })

  it('a retry around it goes to another endpoint', async () => {
    one.on('/', fault.status(503))
    other.on('/', fault.json('well'))
    for (const outer of [
      interceptors.retry({ minTimeout: 1, maxTimeout: 1 }),
      resilience({ retry: { backoffMs: 0 } }),
    ]) {
      const discovery = steered(at(one), at(other))
      const { statusCode, body } = await request('http://inventory/', { dispatcher: through(discovery, outer) })
      expect([statusCode, await body.json()]).toEqual([200, 'well'])
      expect(discovery.reports.map(({ id }) => id)).toEqual([`${one.port}`, `${other.port}`])
    }
  })
})

describe('the dispatcher', () => {
  it('serves fetch', async () => {
    one.on('/items', fault.json({ level: 5 }))
    const get = discoveryFetch(made(steered(at(one))))
    expect(await (await get('http://inventory/items')).json()).toEqual({ level: 5 })
  })

  it('leaves hosts alone that are no services', async () => {
    one.on('/', fault.json('direct'))
    const discovery = steered()
    const dispatcher = made(discovery, { serviceOf: (host) => (host.endsWith('.internal') ? host : undefined) })
    const { body } = await request(one.url, { dispatcher })
    expect(await body.json()).toBe('direct')
    expect(discovery.asked).toEqual([])
  })

  it('closes the pool of an endpoint that is gone, once its answers were read', async () => {
    const sockets = new Set<object>()
    const hold: (() => void)[] = []
    const server: Server = createServer((_, response) => {
      response.write('a')
      hold.push(() => response.end('b'))
    }).on('connection', (socket) => {
      sockets.add(socket)
      socket.once('close', () => sockets.delete(socket))
    })
    await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready))
    closing.push(() => new Promise((done) => void server.close(done)))
    const endpoint = at({ host: '127.0.0.1', port: (server.address() as { port: number }).port })
    const discovery = steered(endpoint)
    const { body } = await request('http://inventory/', { dispatcher: made(discovery) })
    discovery.remove(endpoint)
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(sockets.size).toBe(1)
    hold[0]?.()
    expect(await body.text()).toBe('ab')
    await until(() => sockets.size === 0)
  })

  it('asks for the name of the URL in TLS and checks it, with an authority of one’s own; so does HTTP/2', async () => {
    const { key, cert, ca } = createServerCertificate('good')
    const names: (string | false | undefined)[] = []
    const hosts: unknown[] = []
    const asked = (name: string, done: (error: null) => void): void => {
      names.push(name)
      done(null)
    }
    const plain = createTlsServer({ key, cert, SNICallback: asked }, (req, res) => {
      hosts.push(req.headers.host)
      res.end('h1')
    })
    const second: Http2SecureServer = createSecureServer({
      key,
      cert,
      SNICallback: asked,
    })
    second.on('request', (req, res) => {
      hosts.push(req.headers[':authority'])
      res.end('h2')
    })
    for (const server of [plain, second]) {
      await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready))
      closing.push(() => new Promise((done) => void server.close(() => done(undefined))))
    }
    for (const [server, allowH2] of [
      [plain, false],
      [second, true],
    ] as const) {
      const { port } = server.address() as { port: number }
      const dispatcher = made(steered(at({ host: '127.0.0.1', port })), { ca, allowH2 })
      const { body } = await request('https://localhost/', { dispatcher })
      await body.text()
      const untrusted = made(steered(at({ host: '127.0.0.1', port })), { allowH2 })
      await expect(request('https://localhost/', { dispatcher: untrusted })).rejects.toThrow()
      const wrong = made(steered(at({ host: '127.0.0.1', port })), { ca, allowH2 })
      await expect(request('https://inventory.example/', { dispatcher: wrong })).rejects.toMatchObject({
        code: 'ERR_TLS_CERT_ALTNAME_INVALID',
      })
      expect(hosts.at(-1)).toBe(`localhost:${port}`)
    }
    expect(names).toContain('localhost')
    expect(names).toContain('inventory.example')
  })

  it('serves whoever has handlers of the older form', async () => {
    one.on('/', fault.json('old'))
    const dispatcher = made(steered(at(one)))
    const chunks: Buffer[] = []
    await new Promise<void>((resolve, reject) => {
      dispatcher.dispatch(
        { origin: 'http://inventory', path: '/', method: 'GET' },
        {
          onConnect() {},
          onHeaders: () => true,
          onData: (chunk: Buffer) => chunks.push(chunk) > 0,
          onComplete: () => resolve(),
          onError: reject,
        },
      )
    })
    expect(Buffer.concat(chunks).toString()).toBe('"old"')
  })
})
