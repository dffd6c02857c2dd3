// A server of one's own: real sockets, a registrar that writes down what it is told.
import { Agent, request } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import { networkInterfaces } from 'node:os'
import { afterEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import type { Endpoint, Registrar } from '../../src/core/contracts/source.ts'
import { createError } from '../../src/errors/index.ts'
import {
  createServerAdapter,
  defineContract,
  type Listening,
  type ListenOptions,
  type ServerAdapter,
} from '../../src/rpi/index.ts'

const Shop = defineContract('shop', {
  stock: { http: 'GET /stock/:sku', input: z.object({ sku: z.string() }), output: z.object({ level: z.number() }) },
})

const ends: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

interface Gate {
  readonly entered: Promise<void>
  readonly open: () => void
}

// A handler that is inside until it is let out.
function shop(drainMs = 5_000): { readonly adapter: ServerAdapter; readonly hold: () => Gate } {
  let gate: { enter: () => void; opened: Promise<void> } | undefined
  const adapter = createServerAdapter(
    Shop,
    {
      stock: async ({ sku }) => {
        const at = gate
        at?.enter()
        await at?.opened
        return { level: sku.length }
      },
    },
    { drainMs },
  )
  return {
    adapter,
    hold() {
      let open = (): void => {}
      let enter = (): void => {}
      const opened = new Promise<void>((resolve) => (open = resolve))
      const entered = new Promise<void>((resolve) => (enter = resolve))
      gate = { enter, opened }
      return {
        entered,
        open: () => {
          gate = undefined
          open()
        },
      }
    },
  }
}

interface Book extends Registrar {
  readonly said: string[]
  readonly endpoints: Endpoint[]
  fault: Error | undefined
}

function book(staleMs = 0): Book {
  const said: string[] = []
  const endpoints: Endpoint[] = []
  const self: Book = {
    name: 'book',
    staleMs,
    said,
    endpoints,
    fault: undefined,
    async register(service, endpoint) {
      if (self.fault !== undefined) throw self.fault
      said.push(`${service} ${endpoint.state}`)
      endpoints.push(endpoint)
      return {
        endpoint,
        onLost: () => () => {},
        async setState(state) {
          said.push(state)
        },
        async deregister() {
          said.push('gone')
        },
      }
    },
  }
  return self
}

async function listening(adapter: ServerAdapter, options: ListenOptions = {}): Promise<Listening> {
  const server = await adapter.listen({ host: '127.0.0.1', signals: [], ...options })
  ends.push(() => server.close())
  return server
}

interface Answered {
  readonly status: number
  readonly connection: string | undefined
}

// Without an agent: a connection of its own.
function ask(url: string, agent: Agent | false = false): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const call = request(`${url}/stock/abc`, { agent }, (response) => {
      response.resume()
      response.on('end', () => resolve({ status: response.statusCode ?? 0, connection: response.headers.connection }))
    })
    call.on('error', reject)
    call.end()
  })
}

describe('listen', () => {
  it('serves on a port that is free, and is gone when it is closed', async () => {
    const { adapter } = shop()
    const server = await listening(adapter)
    expect(server.port).toBeGreaterThan(0)
    expect(server.url).toBe(`http://127.0.0.1:${server.port}`)
    expect((await ask(server.url)).status).toBe(200)
    expect(server.registered).toBe(false)
    await server.close()
    await expect(ask(server.url)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  })

  it('announces what it listens on', async () => {
    const { adapter } = shop()
    const registrar = book()
    const server = await listening(adapter, {
      register: { registrar, zone: 'a', weight: 3, metadata: { version: '1' }, ports: { admin: 9 } },
    })
    expect(registrar.said).toEqual(['shop ready'])
    expect(registrar.endpoints).toEqual([
      {
        id: `127.0.0.1:${server.port}`,
        addresses: [{ host: '127.0.0.1', port: server.port }],
        zone: 'a',
        weight: 3,
        metadata: { version: '1' },
        ports: { admin: 9 },
        state: 'ready',
      },
    ])
    expect(server.registered).toBe(true)
  })

  it('announces what it is told to, where clients come another way', async () => {
    const registrar = book()
    const server = await listening(shop().adapter, {
      register: { registrar, service: 'shop-v2', id: 'one', host: '2001:db8::7', port: 80 },
    })
    expect(registrar.said).toEqual(['shop-v2 ready'])
    expect(registrar.endpoints[0]).toMatchObject({ id: 'one', addresses: [{ host: '2001:db8::7', port: 80 }] })
    expect(server.url).toBe('http://[2001:db8::7]:80')
  })

  it.each(['0.0.0.0', undefined])('announces no address that nobody can call (%s)', async (host) => {
    const registrar = book()
    await listening(shop().adapter, { host, register: { registrar } })
    const said = registrar.endpoints[0]?.addresses[0]?.host as string
    const own = Object.values(networkInterfaces()).flatMap((each) => each ?? [])
    const outside = own.filter(({ internal, address }) => !internal && !address.startsWith('fe80'))
    if (outside.length === 0) expect(said).toBe('127.0.0.1')
    else expect(outside.map(({ address }) => address)).toContain(said)
  })

  it('finishes what is in flight before it is closed', async () => {
    const { adapter, hold } = shop()
    const registrar = book()
    const server = await listening(adapter, { register: { registrar } })
    const { entered, open } = hold()
    const answer = ask(server.url)
    await entered
    let left = false
    const leaving = server.leave().then(() => {
      left = true
    })
    await until(() => registrar.said.at(-1) === 'gone')
    expect(registrar.said).toEqual(['shop ready', 'draining', 'gone'])
    expect([left, adapter.inFlight]).toEqual([false, 1])
    open()
    expect((await answer).status).toBe(200)
    await leaving
    expect(server.server.listening).toBe(false)
  })

  it('answers while it drains, and asks for no further use of the connection', async () => {
    const registrar = book(60_000)
    const server = await listening(shop().adapter, { register: { registrar } })
    const agent = new Agent({ keepAlive: true })
    ends.push(() => agent.destroy())
    expect((await ask(server.url, agent)).connection).toBe('keep-alive')
    const leaving = server.leave()
    await until(() => registrar.said.at(-1) === 'draining')
    // `draining` is told before answers say so.
    await new Promise((resolve) => setImmediate(resolve))
    expect(await ask(server.url, agent)).toEqual({ status: 200, connection: 'close' })
    expect(registrar.said).toEqual(['shop ready', 'draining'])
    await server.close()
    await leaving
    expect(registrar.said).toEqual(['shop ready', 'draining', 'gone'])
  })

  it('leaves at a signal, also where it is announced nowhere', async () => {
    const before = process.listenerCount('SIGUSR2')
    const server = await listening(shop().adapter, { signals: ['SIGUSR2'] })
    expect(process.listenerCount('SIGUSR2')).toBe(before + 1)
    process.emit('SIGUSR2')
    await until(() => !server.server.listening)
    await server.leave()
    expect(process.listenerCount('SIGUSR2')).toBe(before)
  })

  it('does not wait for connections on which nothing is asked', async () => {
    const server = await listening(shop().adapter)
    const agent = new Agent({ keepAlive: true })
    ends.push(() => agent.destroy())
    await ask(server.url, agent)
    await server.close()
    expect(server.server.listening).toBe(false)
  })

  it('gives up what never ends after drainMs', async () => {
    const { adapter, hold } = shop(50)
    const server = await listening(adapter)
    const { entered, open } = hold()
    const answer = ask(server.url).catch((error: unknown) => error)
    await entered
    await server.close()
    expect(await answer).toMatchObject({ code: 'ECONNRESET' })
    open()
  })

  it('says of a port that is taken what Node says', async () => {
    const other = createServer()
    await new Promise<void>((ready) => other.listen(0, '127.0.0.1', ready))
    ends.push(() => new Promise((closed) => other.close(closed)))
    const registrar = book()
    const { port } = other.address() as AddressInfo
    await expect(listening(shop().adapter, { port, register: { registrar } })).rejects.toMatchObject({
      code: 'EADDRINUSE',
    })
    expect(registrar.said).toEqual([])
  })

  it('does not listen on where it has to be registered and is not', async () => {
    const { adapter } = shop()
    const registrar = book()
    registrar.fault = createError({ code: 'CONNECTION_REFUSED', message: 'no' })
    const probe = createServer()
    await new Promise<void>((ready) => probe.listen(0, '127.0.0.1', ready))
    const { port } = probe.address() as AddressInfo
    await new Promise((closed) => probe.close(closed))
    await expect(listening(adapter, { port, register: { registrar, required: true } })).rejects.toMatchObject({
      code: 'CONNECTION_REFUSED',
    })
    await expect(ask(`http://127.0.0.1:${port}`)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    const again = await listening(shop().adapter, { register: { registrar } })
    expect(again.registered).toBe(false)
    expect((await ask(again.url)).status).toBe(200)
  })

  it.each([
    [{ port: 70_000 }, 'listen.port'],
    [{ host: '' }, 'listen.host'],
    [{ prot: 1 } as never, 'listen.prot'],
    [{ register: {} as never }, 'listen.register.registrar'],
    [{ register: { registrar: book(), tag: 1 } as never }, 'listen.register.tag'],
    [{ register: { registrar: book(), drainMs: -1 } }, 'listen.register.drainMs'],
  ] as const)('refuses %o before it listens', async (options, option) => {
    await expect(shop().adapter.listen(options as ListenOptions)).rejects.toMatchObject({
      code: 'INVALID_OPTIONS',
      details: { option },
    })
  })
})

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve))
}
