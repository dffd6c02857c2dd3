// A real network between proxy and service, and what it does to calls: Toxiproxy slows, cuts, swallows and refuses.
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { type HttpTransport, httpTransport } from '../../../src/adapters/http/index.ts'
import type { FairleadError } from '../../../src/errors/index.ts'
import { createProxy, createServerAdapter, defineContract } from '../../../src/rpi/index.ts'
import { freePort } from '../../services/free-port.ts'
import { control, mendProxy } from '../../services/toxiproxy.ts'

const Shop = defineContract('shop', {
  look: {
    http: 'GET /things/:id',
    input: z.object({ id: z.string() }),
    output: z.object({ id: z.string(), text: z.string() }),
  },
  buy: {
    http: 'POST /sales',
    idempotent: false,
    input: z.object({ id: z.string() }),
    output: z.object({ sold: z.string() }),
  },
})

describe('calls through a troubled network', () => {
  const name = `shop-${process.pid}`
  let service: Server
  let transport: HttpTransport
  let port: number
  const seen = { look: 0, buy: 0 }
  const toxic = (type: string, attributes: object, stream = 'downstream'): Promise<void> =>
    control('POST', `/proxies/${name}/toxics`, { name: 'toxic', type, stream, attributes })
  const shop = (attemptTimeoutMs: number) => createProxy(Shop, { transport, attemptTimeoutMs, deadlineMs: 25_000 })
  const failing = async (call: Promise<{ ok: boolean; error?: FairleadError }>): Promise<FairleadError> => {
    const { ok, error } = await call
    expect(ok).toBe(false)
    return error as FairleadError
  }

  beforeAll(async () => {
    const adapter = createServerAdapter(Shop, {
      look: ({ id }) => {
        seen.look++
        return { id, text: 'x'.repeat(50_000) }
      },
      buy: ({ id }) => {
        seen.buy++
        return { sold: id }
      },
    })
    service = createServer(adapter.node())
    await new Promise<void>((ready) => service.listen(0, '127.0.0.1', ready))
    port = await freePort()
    const upstream = `127.0.0.1:${(service.address() as AddressInfo).port}`
    await control('POST', '/proxies', { name, listen: `127.0.0.1:${port}`, upstream })
  })
  afterEach(async () => {
    await mendProxy(name)
    await transport.close()
    seen.look = seen.buy = 0
  })
  afterAll(async () => {
    await control('DELETE', `/proxies/${name}`)
    service.closeAllConnections()
    await new Promise((closed) => service.close(closed))
  })
  const through = (attemptTimeoutMs = 10_000): ReturnType<typeof shop> => {
    transport = httpTransport({ baseUrl: `http://127.0.0.1:${port}` })
    return shop(attemptTimeoutMs)
  }

  it('goes well when nothing is wrong', async () => {
    expect(await through().look({ id: 'a' })).toMatchObject({ id: 'a' })
  })

  it('latency: each attempt is ended; what is not idempotent is not sent twice', async () => {
    const proxy = through(2_000)
    await toxic('latency', { latency: 30_000 })
    expect(await failing(proxy.look.result({ id: 'a' }))).toMatchObject({
      code: 'ATTEMPT_TIMEOUT',
      effect: 'unknown',
      attempt: 3,
    })
    expect(seen.look).toBe(3)
    expect(await failing(proxy.buy.result({ id: 'a' }))).toMatchObject({ code: 'ATTEMPT_TIMEOUT', attempt: 1 })
    expect(seen.buy).toBe(1)
  })

  it('a black hole: nothing comes back, and nobody waits for ever', async () => {
    const proxy = through(2_000)
    await toxic('timeout', { timeout: 0 })
    expect(await failing(proxy.buy.result({ id: 'a' }))).toMatchObject({ code: 'ATTEMPT_TIMEOUT', effect: 'unknown' })
    expect(seen.buy).toBe(1)
  })

  it('a reset after the request: nobody knows what happened', async () => {
    const proxy = through()
    await toxic('reset_peer', { timeout: 0 })
    expect(await failing(proxy.buy.result({ id: 'a' }))).toMatchObject({
      kind: 'omission',
      effect: 'unknown',
      attempt: 1,
    })
    expect(seen.buy).toBeLessThanOrEqual(1)
  })

  it('a body that breaks off in its middle', async () => {
    const proxy = through()
    await toxic('limit_data', { bytes: 10_000 })
    expect(await failing(proxy.look.result({ id: 'a' }))).toMatchObject({ code: 'REPLY_TRUNCATED', effect: 'unknown' })
    expect(seen.look).toBe(3)
  })

  it('a refused connection proves that nothing happened, and is tried again even for a sale', async () => {
    const proxy = through()
    await control('POST', `/proxies/${name}`, { enabled: false })
    expect(await failing(proxy.buy.result({ id: 'a' }))).toMatchObject({
      code: 'CONNECTION_REFUSED',
      effect: 'none',
      attempt: 3,
    })
    expect(seen.buy).toBe(0)
  })

  it('bytes in small pieces change nothing', async () => {
    const proxy = through()
    await toxic('slicer', { average_size: 700, size_variation: 300, delay: 10 })
    expect((await proxy.look({ id: 'a' })).text).toHaveLength(50_000)
  })

  it('a network that recovers: the next call goes well on a new connection', async () => {
    const proxy = through()
    await control('POST', `/proxies/${name}`, { enabled: false })
    await failing(proxy.buy.result({ id: 'a' }))
    await control('POST', `/proxies/${name}`, { enabled: true })
    expect(await proxy.buy({ id: 'a' })).toEqual({ sold: 'a' })
    expect(seen.buy).toBe(1)
  })
})
