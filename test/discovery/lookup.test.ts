// The look-up function with real clients over real servers: several addresses of this machine, all with the same port.

import { Agent, createServer, get, type IncomingMessage, type Server } from 'node:http'
import { type AddressInfo, connect, createServer as createTcpServer, Socket } from 'node:net'
import axios from 'axios'
import got from 'got'
import { AbstractConnector, Redis } from 'ioredis'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import type { Outcome } from '../../src/core/contracts/balancer.ts'
import type { Source, SourceUpdate } from '../../src/core/contracts/source.ts'
import { createDiscovery } from '../../src/discovery/discovery.ts'
import { discoveryLookup, type LookupAddress, type LookupFunction } from '../../src/discovery/lookup.ts'
import { staticSource } from '../../src/discovery/static-source.ts'
import { createError } from '../../src/errors/classes.ts'

// All of 127.0.0.0/8 is this machine on Linux; elsewhere only 127.0.0.1 is.
const HOSTS = process.platform === 'linux' ? ['127.0.0.2', '127.0.0.3', '127.0.0.4', '127.0.0.5'] : ['127.0.0.1']
const servers: Server[] = []
let port = 0

beforeAll(async () => {
  for (const host of HOSTS) {
    const server = createServer((_, response) => response.end(host))
    servers.push(server)
    await new Promise<void>((ready, fail) => server.once('error', fail).listen(port, host, ready))
    port = (server.address() as AddressInfo).port
  }
})
afterAll(async () => {
  for (const server of servers) {
    server.closeAllConnections()
    await new Promise((closed) => server.close(closed))
  }
})

const ends: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0)) await end()
})

const lookupOf = (hosts: readonly string[] = HOSTS): LookupFunction => {
  const source = staticSource({ inventory: hosts.map((host) => `${host.includes(':') ? `[${host}]` : host}:${port}`) })
  const discovery = createDiscovery({ source, balancer: 'round-robin' })
  ends.push(() => discovery.close())
  return discoveryLookup(discovery)
}

// The global agent keeps connections alive, and knows them by host and port only.
const fresh = (): Agent => new Agent({ keepAlive: false })

const read = async (response: IncomingMessage): Promise<string> => {
  let text = ''
  for await (const chunk of response) text += String(chunk)
  return text
}

const call = (lookup: LookupFunction, host: string, agent?: Agent): Promise<string> =>
  new Promise((resolve, reject) => {
    const options = agent === undefined ? { lookup, agent: false as const } : { lookup, agent }
    get(`http://${host}:${port}/`, options, (response) => resolve(read(response))).on('error', reject)
  })

const ask = (
  lookup: LookupFunction,
  host: string,
  options: Parameters<LookupFunction>[1] = {},
): Promise<readonly [string | LookupAddress[], number | undefined]> =>
  new Promise((resolve, reject) => {
    lookup(host, options, (error, address, family) => (error === null ? resolve([address, family]) : reject(error)))
  })

describe('with real clients', () => {
  it('node:http reaches each endpoint in turn, by the name of the service and with .fairlead', async () => {
    const lookup = lookupOf()
    const answers: string[] = []
    for (const _ of HOSTS) answers.push(await call(lookup, 'inventory'))
    expect(answers.sort()).toEqual(HOSTS)
    expect(HOSTS).toContain(await call(lookup, 'inventory.fairlead'))
  })

  it('a kept connection stays where it was opened to: the caveat', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    ends.push(() => agent.destroy())
    const lookup = lookupOf()
    const answers = new Set<string>()
    for (let calls = 0; calls < 5; calls++) answers.add(await call(lookup, 'inventory', agent))
    expect(answers.size).toBe(1)
  })

  it('axios', async () => {
    const lookup = lookupOf()
    const answers: unknown[] = []
    for (const _ of HOSTS)
      answers.push((await axios.get(`http://inventory:${port}/`, { lookup, proxy: false, httpAgent: fresh() })).data)
    expect(answers.sort()).toEqual(HOSTS)
  })

  it('got', async () => {
    const client = got.extend({ dnsLookup: lookupOf() as never, retry: { limit: 0 }, agent: { http: fresh() } })
    const answers: string[] = []
    for (const _ of HOSTS) answers.push(await client(`http://inventory:${port}/`).text())
    expect(answers.sort()).toEqual(HOSTS)
  })

  it('net.connect', async () => {
    const socket = connect({ host: 'inventory', port, lookup: lookupOf() })
    await new Promise<void>((ready, fail) => socket.once('connect', ready).once('error', fail))
    expect(HOSTS).toContain(socket.remoteAddress)
    socket.destroy()
  })

  // What was dialled is enough: no database and no Redis stand behind these.
  const dialled = async (): Promise<{ readonly port: number; readonly hosts: string[] }> => {
    const hosts: string[] = []
    const server = createTcpServer((socket) => {
      hosts.push(socket.localAddress ?? '')
      socket.destroy()
    })
    await new Promise<void>((ready) => server.listen(0, '0.0.0.0', ready))
    ends.push(() => new Promise((closed) => server.close(closed)))
    return { port: (server.address() as AddressInfo).port, hosts }
  }

  it('pg, by a socket that looks up so', async () => {
    const { port, hosts } = await dialled()
    const lookup = lookupOf()
    const stream = (): Socket => {
      const socket = new Socket()
      const open = socket.connect.bind(socket) as (options: object) => Socket
      return Object.assign(socket, { connect: (port: number, host: string) => open({ port, host, lookup }) })
    }
    for (const _ of HOSTS) {
      const client = new pg.Client({ host: 'inventory', port, stream } as pg.ClientConfig)
      client.on('error', () => {})
      await client.connect().catch(() => {})
    }
    expect(hosts.sort()).toEqual(HOSTS)
  })

  it('ioredis, by a connector that looks up so', async () => {
    const { port, hosts } = await dialled()
    const lookup = lookupOf()
    class Connector extends AbstractConnector {
      constructor() {
        super(2_000)
      }
      async connect(): Promise<Socket> {
        this.connecting = true
        return (this.stream = connect({ port, host: 'inventory', lookup }))
      }
    }
    for (const _ of HOSTS) {
      const client = new Redis({ Connector: Connector as never, lazyConnect: true, retryStrategy: () => null })
      client.on('error', () => {})
      await client.connect().catch(() => {})
      client.disconnect()
    }
    expect(hosts.sort()).toEqual(HOSTS)
  })
})

describe('the answer', () => {
  const told = (update: SourceUpdate) => {
    const outcomes: Outcome[] = []
    const endpoint = update.type === 'snapshot' ? update.endpoints[0] : undefined
    const resolver = {
      acquire() {
        if (endpoint === undefined) throw createError({ code: 'NO_ENDPOINT', message: 'nobody' })
        return { endpoint, report: (outcome: Outcome) => void outcomes.push(outcome) }
      },
    }
    const system: LookupFunction = (_host, options, callback) =>
      callback(null, options.all === true ? [{ address: '10.9.9.9', family: 4 }] : '10.9.9.9', 4)
    return {
      lookup: discoveryLookup({ resolver: () => resolver }, { lookup: system }),
      resolver: () => resolver,
      outcomes,
    }
  }
  const at = (...hosts: readonly string[]): SourceUpdate => ({
    type: 'snapshot',
    endpoints: [{ id: 'one', addresses: hosts.map((host) => ({ host, port: 80 })) }],
  })

  it('is one address, or all of the endpoint, of the family that is asked for', async () => {
    const { lookup } = told(at('10.0.0.1', 'fd00::1'))
    expect(await ask(lookup, 'x')).toEqual(['10.0.0.1', 4])
    expect(await ask(lookup, 'x', { family: 6 })).toEqual(['fd00::1', 6])
    expect(await ask(lookup, 'x', { family: 'IPv6' })).toEqual(['fd00::1', 6])
    expect(await ask(lookup, 'x', { family: 'IPv4', all: true })).toEqual([
      [{ address: '10.0.0.1', family: 4 }],
      undefined,
    ])
    expect(await ask(lookup, 'x', { all: true, family: 0 })).toEqual([
      [
        { address: '10.0.0.1', family: 4 },
        { address: 'fd00::1', family: 6 },
      ],
      undefined,
    ])
  })

  it('is right for callers that leave the options out, or give the family in their place', async () => {
    const { lookup } = told(at('10.0.0.1', 'fd00::1'))
    const bare = lookup as unknown as (...parts: unknown[]) => void
    expect(await new Promise((done) => bare('x', (_: unknown, address: string) => done(address)))).toBe('10.0.0.1')
    expect(await new Promise((done) => bare('x', 6, (_: unknown, address: string) => done(address)))).toBe('fd00::1')
  })

  it('resolves an endpoint whose address is a name', async () => {
    expect(await ask(told(at('db.example')).lookup, 'x')).toEqual(['10.9.9.9', 4])
  })

  it('is what was found, where one of several names does not exist; fails when nothing was', async () => {
    const { resolver } = told(at('gone.example', '10.0.0.1', 'db.example'))
    const gone = Object.assign(new Error('nobody knows'), { code: 'ENOTFOUND' })
    const lookup = discoveryLookup(
      { resolver },
      {
        lookup: (host, _options, callback) =>
          host === 'gone.example' ? callback(gone, '') : callback(null, [{ address: '10.9.9.9', family: 4 }]),
      },
    )
    expect(await ask(lookup, 'x', { all: true })).toEqual([
      [
        { address: '10.0.0.1', family: 4 },
        { address: '10.9.9.9', family: 4 },
      ],
      undefined,
    ])
    expect(await ask(lookup, 'x')).toEqual(['10.0.0.1', 4])
    const none = discoveryLookup({ resolver }, { lookup: (_host, _options, callback) => callback(gone, '') })
    await expect(ask(none, 'x', { family: 6 })).rejects.toBe(gone)
  })

  it('fails with what acquire fails with, and where the endpoint has no such address', async () => {
    await expect(ask(told({ type: 'absent' }).lookup, 'x')).rejects.toMatchObject({ code: 'NO_ENDPOINT' })
    await expect(ask(told(at('10.0.0.1')).lookup, 'x', { family: 6 })).rejects.toMatchObject({ code: 'NAME_NOT_FOUND' })
  })

  it('reports each lease, once and as neutral, before anybody has connected', async () => {
    const { lookup, outcomes } = told(at('10.0.0.1'))
    await ask(lookup, 'x')
    await ask(lookup, 'x', { family: 6 }).catch(() => {})
    expect(outcomes).toEqual([
      { kind: 'cancelled', latencyMs: 0 },
      { kind: 'cancelled', latencyMs: 0 },
    ])
  })

  it('takes no probe of an ejected endpoint: how that went would never be known', async () => {
    const asked = vi.fn(() => ({ endpoint: { id: 'one', addresses: [{ host: '10.0.0.1', port: 80 }] }, report() {} }))
    await ask(discoveryLookup({ resolver: () => ({ acquire: asked }) }), 'x')
    expect(asked).toHaveBeenCalledWith({ noProbe: true })
  })

  it('comes later, never within the call', async () => {
    const heard = vi.fn()
    told(at('10.0.0.1')).lookup('x', {}, heard)
    expect(heard).not.toHaveBeenCalled()
    await vi.waitFor(() => expect(heard).toHaveBeenCalledTimes(1))
  })

  it('waits for the first word of the source', async () => {
    let tell: ((update: SourceUpdate) => void) | undefined
    const source: Source = {
      name: 'late',
      watch(_, sink) {
        tell = sink
        return { refresh: () => {}, close: async () => {} }
      },
    }
    const discovery = createDiscovery({ source })
    ends.push(() => discovery.close())
    const answer = ask(discoveryLookup(discovery), 'x')
    await vi.waitFor(() => expect(tell).toBeDefined())
    tell?.(at('10.0.0.1'))
    expect(await answer).toEqual(['10.0.0.1', 4])
  })
})

describe('which service', () => {
  const names = async (options: Parameters<typeof discoveryLookup>[1], host: string): Promise<string> => {
    let asked = ''
    const lookup = discoveryLookup(
      {
        resolver(service) {
          asked = service
          throw createError({ code: 'NO_ENDPOINT' })
        },
      },
      options,
    )
    await ask(lookup, host).catch(() => {})
    return asked
  }

  it('is the host name without .fairlead, or what the options say', async () => {
    expect(await names({}, 'Inventory')).toBe('Inventory')
    expect(await names({}, 'inventory.fairlead')).toBe('inventory')
    expect(await names({ service: 'db' }, 'whatever')).toBe('db')
    expect(await names({ service: (host) => host.slice(2) }, 'a.b')).toBe('b')
  })

  it('refuses options that make no sense', () => {
    const invalid = expect.objectContaining({ code: 'INVALID_OPTIONS' }) as Error
    const discovery = { resolver: () => ({ acquire: () => Promise.reject(new Error('never')) }) }
    expect(() => discoveryLookup({} as never)).toThrow(invalid)
    expect(() => discoveryLookup(discovery, { service: '' })).toThrow(invalid)
    expect(() => discoveryLookup(discovery, { name: 'x' } as never)).toThrow(invalid)
  })
})
