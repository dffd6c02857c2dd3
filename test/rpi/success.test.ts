// The status that success has on HTTP is the contract's to say, and a caller takes any of 200 to 299 for it.
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { httpTransport } from '../../src/adapters/http/index.ts'
import { memoryRpiTransport, memoryStore, memoryTransport } from '../../src/adapters/memory/index.ts'
import { messagingRpiTransport, serveOverMessaging } from '../../src/adapters/rpi-over-messaging/index.ts'
import type { RpiTransport } from '../../src/core/contracts/rpi.ts'
import { createProxy, createServerAdapter, defineContract, isFailure } from '../../src/rpi/index.ts'
import { thrown } from './shop.ts'

const Id = z.object({ id: z.string() })
const Orders = defineContract('orders', {
  create: { http: 'POST /orders', success: 202, input: Id, output: Id, failures: { full: z.object({}) } },
  make: { http: 'POST /made', success: 201 },
  ping: { http: 'POST /ping', success: 200 },
  drop: { http: 'POST /drop', success: 204 },
  maybe: { http: 'POST /maybe', success: 202, output: z.any() },
  head: { http: 'HEAD /orders', success: 202 },
  lines: { http: 'POST /lines', success: 202, output: z.number(), streaming: 'server' },
  usual: { http: 'POST /usual', output: Id },
})

const adapter = createServerAdapter(Orders, {
  create: ({ id }, { fail, setHeader }) => {
    if (id === 'full') fail('full', {})
    setHeader('location', `/orders/${id}`)
    return { id }
  },
  make: () => {},
  ping: () => {},
  drop: () => {},
  maybe: () => undefined,
  head: () => {},
  lines: () => [1, 2],
  usual: () => ({ id: 'u' }),
})

const open: (() => unknown)[] = []
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close()
})

const answered = async (method: string, path: string, body?: string): Promise<readonly unknown[]> => {
  const headers = { 'content-type': 'application/json' }
  const response = await adapter.fetch(new Request(`http://o${path}`, { method, headers, body: body ?? null }))
  return [response.status, await response.text()]
}

describe('an operation that declares its status', () => {
  it('is answered with it, with a body and without one', async () => {
    expect(await answered('POST', '/orders', '{"id":"A"}')).toEqual([202, '{"id":"A"}'])
    expect(await answered('POST', '/made')).toEqual([201, ''])
    expect(await answered('POST', '/ping')).toEqual([200, ''])
    expect(await answered('POST', '/drop')).toEqual([204, ''])
    expect(await answered('POST', '/maybe')).toEqual([202, ''])
    expect(await answered('HEAD', '/orders')).toEqual([202, ''])
    expect(await answered('POST', '/lines')).toEqual([202, '1\n2\n'])
    expect(await answered('POST', '/usual')).toEqual([200, '{"id":"u"}'])
  })

  it('says no with another one', async () => {
    expect((await answered('POST', '/orders', '{"id":"full"}'))[0]).toBe(422)
    expect((await answered('POST', '/orders', '{}'))[0]).toBe(400)
  })

  it('has it again where the answer was kept', async () => {
    const kept = createServerAdapter(
      defineContract('orders', { create: { http: 'POST /orders', success: 202, output: Id } }),
      { create: () => ({ id: 'A' }) },
      { idempotency: memoryStore() },
    )
    const ask = async (): Promise<readonly unknown[]> => {
      const headers = { 'idempotency-key': 'k' }
      const response = await kept.fetch(new Request('http://o/orders', { method: 'POST', headers }))
      return [response.status, response.headers.get('idempotency-replayed')]
    }
    expect([await ask(), await ask()]).toEqual([
      [202, null],
      [202, 'true'],
    ])
  })
})

const overSocket = async (): Promise<RpiTransport> => {
  const server = http.createServer(adapter.node()).listen(0, '127.0.0.1')
  await new Promise((ready) => server.once('listening', ready))
  open.push(() => server.close())
  const transport = httpTransport({ baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })
  open.push(() => transport.close())
  return transport
}
const overMessages = async (): Promise<RpiTransport> => {
  const transport = memoryTransport()
  const served = await serveOverMessaging(adapter, { transport })
  const caller = messagingRpiTransport({ transport })
  open.push(
    () => served.close(),
    () => caller.close(),
  )
  return caller
}

describe.each([
  ['HTTP', overSocket],
  ['memory', async () => memoryRpiTransport(adapter)],
  ['messages', overMessages],
] as const)('a proxy over %s', (name, transport) => {
  it('takes it for success', async () => {
    const orders = createProxy(Orders, { transport: await transport() })
    expect(await orders.create({ id: 'A' })).toEqual({ id: 'A' })
    expect([await orders.make(), await orders.ping(), await orders.drop()]).toEqual([undefined, undefined, undefined])
    expect(await orders.maybe()).toBeUndefined()
    expect(await orders.usual()).toEqual({ id: 'u' })
    const failure = await orders.create({ id: 'full' }).catch((error: unknown) => error)
    expect(isFailure(failure, Orders, 'create', 'full')).toBe(true)
    if (name === 'messages') return
    const lines: number[] = []
    for await (const line of await orders.lines()) lines.push(line)
    expect(lines).toEqual([1, 2])
  })
})

describe('a status is refused', () => {
  it.each([
    ['that is none of success', { success: 302 }],
    ['that means something else', { success: 206 }],
    ['that is no number', { success: '202' }],
    ['that has no body, where there is one', { success: 204, output: Id }],
    ['that has no body, where there is a stream', { success: 204, streaming: 'server' }],
  ])('%s', (_, definition) => {
    const error = thrown(() => defineContract('orders', { create: definition as never }))
    expect(error).toMatchObject({ code: 'INVALID_OPTIONS', details: { option: 'operations.create.success' } })
  })
})
