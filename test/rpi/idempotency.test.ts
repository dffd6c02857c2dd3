// Idempotency-Key in the server adapter: done once, answered as often as asked.
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { httpTransport } from '../../src/adapters/http/index.ts'
import { type MemoryStore, type MemoryTx, memoryRpiTransport, memoryStore } from '../../src/adapters/memory/index.ts'
import { describe as describeBuilt } from '../../src/core/describe.ts'
import { createError } from '../../src/errors/classes.ts'
import {
  createProxy,
  createServerAdapter,
  defineContract,
  type IdempotencyOptions,
  isFailure,
  type ServerAdapter,
  type ServerAdapterOptions,
  type TransactionHandlers,
} from '../../src/rpi/index.ts'
import { fakeClock } from '../../src/testing/fake-clock.ts'
import { rejection, thrown } from './shop.ts'

const Orders = defineContract('orders', {
  place: {
    http: 'POST /orders/:shop',
    input: z.object({ shop: z.string(), sku: z.string() }),
    output: z.object({ n: z.number() }),
    failures: { outOfStock: { schema: z.object({ left: z.number() }), status: 409 } },
  },
  set: { http: 'PUT /orders', idempotent: true, input: z.object({ n: z.number() }) },
  read: { http: 'GET /orders', output: z.object({ n: z.number() }) },
  watch: { output: z.object({ n: z.number() }), streaming: 'server' },
})
type Handlers = TransactionHandlers<
  typeof Orders extends { operations: infer O } ? { [K in keyof O]: any } : never,
  MemoryTx
>

interface Shop {
  readonly adapter: ServerAdapter
  readonly store: MemoryStore
  readonly calls: string[]
  readonly told: unknown[]
  readonly placed: () => unknown
  send(
    headers?: Record<string, string>,
    body?: string,
    path?: string,
  ): Promise<{ status: number; text: string; headers: Headers; body: any }>
}

function shop(
  handlers: Partial<Record<keyof Handlers, (input: any, context: any) => unknown>> = {},
  options: Partial<ServerAdapterOptions & IdempotencyOptions<MemoryTx>> = {},
  before?: (operation: string) => Promise<void> | undefined,
): Shop {
  const clock = options.clock ?? fakeClock()
  const store = memoryStore({ clock, before })
  const calls: string[] = []
  const told: unknown[] = []
  const all = {
    place: (input: any, context: any): unknown => {
      calls.push(input.sku)
      const n = Number(context.tx.get('placed') ?? 0) + 1
      context.tx.set('placed', n)
      return handlers.place === undefined ? { n } : handlers.place(input, context)
    },
    set: (input: any, { tx }: any) => {
      calls.push('set')
      tx.set('placed', input.n)
    },
    read: (_: unknown, { tx }: any) => {
      calls.push('read')
      return { n: Number(tx.get('placed') ?? 0) }
    },
    watch: (_: unknown, context: any) => {
      calls.push(`watch ${context.tx}`)
      return [{ n: 1 }]
    },
  }
  const adapter = createServerAdapter(
    Orders,
    all as never,
    {
      clock,
      random: () => 0,
      onError: (error: unknown) => void told.push(error),
      idempotency: store,
      ...options,
    } as never,
  )
  return {
    adapter,
    store,
    calls,
    told,
    placed: () => store.read('placed'),
    async send(headers = { 'idempotency-key': 'k' }, body = '{"sku":"A"}', path = '/orders/main') {
      const response = await adapter.fetch(
        new Request(`http://shop${path}`, {
          method: 'POST',
          headers: { 'content-type': 'application/json', ...headers },
          body,
        }),
      )
      const text = await response.text()
      return {
        status: response.status,
        headers: response.headers,
        text,
        body: text === '' ? undefined : JSON.parse(text),
      }
    },
  }
}

const key = (value: string): Record<string, string> => ({ 'idempotency-key': value })

describe('a request with a key', () => {
  it('is done once; a repetition is given the same answer, byte for byte, and told so', async () => {
    const { send, calls, placed } = shop({
      place: (_, context) => {
        context.setHeader('x-made', 'ü'.length.toString())
        return { n: 7 }
      },
    })
    const first = await send()
    const second = await send()
    expect([first.status, first.text, first.headers.get('idempotency-replayed')]).toEqual([200, '{"n":7}', null])
    expect([second.status, second.text, second.headers.get('idempotency-replayed')]).toEqual([200, '{"n":7}', 'true'])
    expect([second.headers.get('x-made'), second.headers.get('content-type')]).toEqual(['1', 'application/json'])
    expect([calls, placed()]).toEqual([['A'], 1])
  })

  it('an empty answer too', async () => {
    const { adapter, calls } = shop()
    const put = (): Promise<Response> =>
      adapter.fetch(
        new Request('http://shop/orders', {
          method: 'PUT',
          headers: { 'content-type': 'application/json', 'idempotency-key': 'k' },
          body: '{"n":3}',
        }),
      )
    expect([(await put()).status, (await put()).status, calls]).toEqual([204, 204, ['set']])
  })

  it('another key is another request; in quotes, as the draft has it, it is the same key', async () => {
    const { send, calls } = shop()
    await send(key('a'))
    await send(key('b'))
    expect((await send(key('"a"'))).headers.get('idempotency-replayed')).toBe('true')
    expect(calls).toHaveLength(2)
  })

  it.each([
    ['body', {}, '{"sku":"B"}', '/orders/main'],
    ['path', {}, '{"sku":"A"}', '/orders/other'],
    ['query', {}, '{"sku":"A"}', '/orders/main?x=1'],
    ['content type', { 'content-type': 'application/json; charset=utf-8' }, '{"sku":"A"}', '/orders/main'],
    ['bytes of the body', {}, '{ "sku":"A"}', '/orders/main'],
  ])('the same key with another %s is refused', async (_, headers, body, path) => {
    const { send, calls } = shop()
    await send()
    const other = await send({ ...key('k'), ...headers }, body, path)
    expect(other).toMatchObject({ status: 422, body: { type: 'urn:fairlead:KEY_REUSED', effect: 'none' } })
    expect(calls).toEqual(['A'])
  })

  it('keys of different operations do not meet', async () => {
    const { send, adapter } = shop()
    await send()
    const put = await adapter.fetch(
      new Request('http://shop/orders', {
        method: 'PUT',
        headers: { 'content-type': 'application/json', 'idempotency-key': 'k' },
        body: '{"n":3}',
      }),
    )
    expect(put.status).toBe(204)
  })

  it('keys of different callers do not meet, and who they are is not written down', async () => {
    const scopes: string[] = []
    const clock = fakeClock()
    const store = memoryStore({ clock })
    const { send, calls } = shop(
      {},
      {
        clock,
        idempotency: {
          ...store,
          idempotency: {
            ...store.idempotency,
            reserve: (tx, scope, ...rest) => {
              scopes.push(scope)
              return store.idempotency.reserve(tx, scope, ...rest)
            },
          },
        },
        idempotencyScope: ({ headers }) => headers['authorization'] ?? '',
      },
    )
    await send({ ...key('k'), authorization: 'Bearer one' })
    await send({ ...key('k'), authorization: 'Bearer two' })
    await send({ ...key('k'), authorization: 'Bearer one' })
    expect(calls).toHaveLength(2)
    expect(scopes[0]).toMatch(/^orders\.place:[\w-]{43}$/)
    expect(new Set(scopes).size).toBe(2)
    expect((await send()).status).toBe(500)
  })

  it('while one is worked on, a repetition is refused, and told when to ask again', async () => {
    let go: () => void = () => {}
    const { send, calls } = shop({
      place: () => new Promise((resolve) => (go = () => resolve({ n: 1 }))),
    })
    const first = send()
    await new Promise(setImmediate)
    const second = await send()
    expect(second).toMatchObject({
      status: 409,
      body: { type: 'urn:fairlead:IN_PROGRESS', effect: 'none', transient: true },
    })
    expect(second.headers.get('retry-after')).toBe('1')
    go()
    expect((await first).status).toBe(200)
    expect((await send()).headers.get('idempotency-replayed')).toBe('true')
    expect(calls).toHaveLength(1)
  })

  it('input that breaks the schema is not kept: nothing was done', async () => {
    const { send, calls } = shop()
    expect((await send(key('k'), '{"sku":7}')).status).toBe(400)
    expect((await send(key('k'))).status).toBe(200)
    expect(calls).toEqual(['A'])
  })

  it('a declared failure is an answer: it is kept, and what was done before it is not', async () => {
    let left = 2
    const { send, calls, placed } = shop({
      place: (_, context) => context.fail('outOfStock', { left: left-- }),
    })
    const first = await send()
    const second = await send()
    expect(first).toMatchObject({ status: 409, body: { failure: 'outOfStock', data: { left: 2 } } })
    expect([second.status, second.text, second.headers.get('fairlead-failure')]).toEqual([
      409,
      first.text,
      'outOfStock',
    ])
    expect(second.headers.get('idempotency-replayed')).toBe('true')
    expect([calls.length, placed()]).toEqual([1, undefined])
  })

  it.each([
    ['what is no FairleadError', () => new Error('boom'), 500],
    ['an error of a call elsewhere', () => createError({ code: 'UNAVAILABLE', service: 'stock' }), 503],
    ['an error of 4xx', () => createError({ code: 'NOT_FOUND' }), 404],
    ['a cancellation', () => createError({ code: 'CANCELLED' }), 499],
  ])('%s undoes it, and is not kept: a repetition is a new try', async (_, error, status) => {
    let fails = true
    const { send, calls, placed } = shop({
      place: () => {
        if (!fails) return { n: 1 }
        throw error()
      },
    })
    expect((await send()).status).toBe(status)
    expect(placed()).toBeUndefined()
    fails = false
    const again = await send()
    expect([again.status, again.headers.get('idempotency-replayed')]).toEqual([200, null])
    expect([calls.length, placed()]).toEqual([2, 1])
  })

  it('an answer that breaks the contract undoes it', async () => {
    let n: unknown = 'no number'
    const { send, placed } = shop({ place: () => ({ n }) })
    expect(await send()).toMatchObject({ status: 500, body: { effect: 'unknown' } })
    expect(placed()).toBeUndefined()
    n = 1
    expect((await send()).status).toBe(200)
  })

  it('a conflict runs all of it again, with fresh headers', async () => {
    let fails = 2
    const clock = fakeClock()
    const { send, placed, calls } = shop(
      {
        place: (_, context) => {
          context.setHeader(`x-${calls.length}`, 'set')
          if (fails-- > 0) throw Object.assign(new Error('deadlock'), { code: '40P01' })
          return { n: 1 }
        },
      },
      { clock },
    )
    const sent = send()
    await clock.advance(0)
    const answer = await sent
    expect([answer.status, calls.length, placed()]).toEqual([200, 3, 1])
    expect([answer.headers.get('x-1'), answer.headers.get('x-3')]).toEqual([null, 'set'])
  })

  it('a commit of which the outcome is not known: the repetition tells', async () => {
    let cut = true
    const { send, calls, placed } = shop({}, {}, async (operation) => {
      if (operation !== 'committed' || !cut) return
      cut = false
      throw createError({ code: 'CONNECTION_LOST', effect: 'unknown' })
    })
    expect(await send()).toMatchObject({ status: 502, body: { effect: 'unknown' } })
    expect((await send()).headers.get('idempotency-replayed')).toBe('true')
    expect([calls.length, placed()]).toEqual([1, 1])
  })

  it.each([
    ['begin', 'CONNECTION_REFUSED'],
    ['idempotency.reserve', 'CHANNEL_NOT_FOUND'],
    ['idempotency.reserve', 'FORBIDDEN'],
  ] as const)(
    'a store that fails before the operation is no fault of the caller: 503, nothing was done (%s: %s)',
    async (at, code) => {
      const { send, calls, told } = shop({}, {}, async (operation) => {
        if (operation === at) throw createError({ code })
      })
      const answer = await send()
      expect(answer).toMatchObject({ status: 503, body: { type: 'urn:fairlead:UNAVAILABLE', effect: 'none' } })
      expect(answer.headers.get('retry-after')).toBe('1')
      expect([calls, told]).toMatchObject([[], [{ code }]])
    },
  )

  it('what the store refuses after it undoes it, and is told as it is', async () => {
    const { send, placed } = shop({}, {}, async (operation) => {
      if (operation === 'idempotency.complete') throw createError({ code: 'SERVER_ERROR' })
    })
    expect((await send()).status).toBe(500)
    expect(placed()).toBeUndefined()
  })

  it('nothing is begun for a caller that was told already that nobody waits', async () => {
    const clock = fakeClock()
    let begin: () => void = () => {}
    const begun = new Promise<void>((resolve) => (begin = resolve))
    const { send, calls, placed, told } = shop({}, { clock, maxDeadlineMs: 1_000 }, (operation) =>
      operation === 'begin' ? begun : undefined,
    )
    const first = send()
    await clock.advance(1_000)
    expect(await first).toMatchObject({ status: 504, body: { type: 'urn:fairlead:DEADLINE_EXCEEDED' } })
    begin()
    await clock.advance(0)
    expect([calls.length, placed(), told.length]).toEqual([0, undefined, 1])
    expect((await send()).headers.get('idempotency-replayed')).toBeNull()
    expect([calls.length, placed()]).toEqual([1, 1])
  })

  it('a handler that does not heed its end is left alone: its key is free again, and it finds its transaction over', async () => {
    const clock = fakeClock()
    let go: () => void = () => {}
    const errors: unknown[] = []
    let hangs = true
    const { send, placed, adapter } = shop(
      {
        place: async (_, { tx }) => {
          if (!hangs) return { n: 1 }
          await new Promise<void>((resolve) => (go = resolve))
          try {
            tx.set('placed', 100)
          } catch (error) {
            errors.push(error)
          }
          return { n: 1 }
        },
      },
      { clock, maxDeadlineMs: 1_000 },
    )
    const first = send()
    await clock.advance(1_000)
    expect((await first).status).toBe(504)
    expect((await send()).status).toBe(409)
    await clock.advance(30_000)
    expect([adapter.inFlight, clock.pending]).toEqual([0, 0])
    hangs = false
    expect((await send()).status).toBe(200)
    go()
    await clock.advance(0)
    expect([placed(), errors]).toMatchObject([1, [{ code: 'TRANSACTION_REQUIRED' }]])
  })

  it.each([
    ['gives nothing', () => undefined],
    [
      'throws',
      () => {
        throw new Error('no tenant')
      },
    ],
  ])('an idempotencyScope that %s is a fault of the service: told to it, and nothing was done', async (_, scope) => {
    const { send, calls, told } = shop({}, { idempotencyScope: scope as never })
    expect(await send()).toMatchObject({
      status: 500,
      body: { type: 'urn:fairlead:PROGRAMMING_ERROR', effect: 'none' },
    })
    expect(told).toMatchObject([{ code: 'PROGRAMMING_ERROR', message: expect.stringContaining('idempotencyScope') }])
    expect(calls).toEqual([])
  })

  it('one that refuses the caller says so', async () => {
    const scope = (): string => {
      throw createError({ code: 'UNAUTHENTICATED' })
    }
    const { send, calls } = shop({}, { idempotencyScope: scope })
    expect(await send()).toMatchObject({ status: 401, body: { type: 'urn:fairlead:UNAUTHENTICATED', effect: 'none' } })
    expect(calls).toEqual([])
  })

  it('what nobody waited for is kept all the same, for whoever asks again', async () => {
    const clock = fakeClock()
    let go: () => void = () => {}
    const { send, calls, placed } = shop(
      { place: () => new Promise((resolve) => (go = () => resolve({ n: 1 }))) },
      { clock, maxDeadlineMs: 1_000 },
    )
    const first = send()
    await clock.advance(1_000)
    expect((await first).status).toBe(504)
    go()
    await clock.advance(0)
    expect((await send()).headers.get('idempotency-replayed')).toBe('true')
    expect([calls.length, placed()]).toEqual([1, 1])
  })

  it.each([
    ['empty', '""'],
    ['too long', 'x'.repeat(256)],
  ])('a key that is %s is refused', async (_, value) => {
    const { send, calls } = shop()
    expect((await send(key(value))).status).toBe(400)
    expect(calls).toEqual([])
  })
})

describe('a request without a key', () => {
  it('runs in a transaction all the same', async () => {
    let fails = true
    const { send, placed } = shop({
      place: () => {
        if (fails) throw new Error('boom')
        return { n: 1 }
      },
    })
    expect((await send({})).status).toBe(500)
    expect(placed()).toBeUndefined()
    fails = false
    await send({})
    await send({})
    expect(placed()).toBe(2)
  })

  it('is refused where keys are required, of what is not idempotent', async () => {
    const { send, adapter, calls } = shop({}, { requireIdempotencyKey: true })
    expect(await send({})).toMatchObject({ status: 400, body: { effect: 'none' } })
    expect((await send()).status).toBe(200)
    const put = new Request('http://shop/orders', {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: '{"n":1}',
    })
    expect([
      (await adapter.fetch(put)).status,
      (await adapter.fetch(new Request('http://shop/orders'))).status,
    ]).toEqual([204, 200])
    expect(calls).toEqual(['A', 'set', 'read'])
  })
})

it('reading goes by no key; streams refuse one, and have no transaction', async () => {
  const { adapter, calls } = shop()
  const read = (): Promise<Response> => adapter.fetch(new Request('http://shop/orders', { headers: key('k') }))
  await read()
  expect((await read()).headers.get('idempotency-replayed')).toBeNull()
  const watch = (headers: Record<string, string>): Promise<Response> =>
    adapter.fetch(new Request('http://shop/orders/watch', { method: 'POST', headers }))
  expect((await watch(key('k'))).status).toBe(400)
  expect((await watch({})).status).toBe(200)
  expect(calls).toEqual(['read', 'read', 'watch undefined'])
})

it('old answers are deleted beside requests, now and then', async () => {
  const clock = fakeClock()
  const purges: [number, number][] = []
  const store = memoryStore({ clock })
  const { send, told } = shop(
    {},
    {
      clock,
      random: () => 0.5,
      idempotency: {
        ...store,
        idempotency: {
          ...store.idempotency,
          purge: async (olderThanMs: number, limit: number) => {
            purges.push([olderThanMs, limit])
            if (purges.length === 2) throw new Error('no')
            return 3
          },
        },
      },
    },
  )
  await send(key('a'))
  await send(key('b'))
  expect(purges).toEqual([[86_400_000, 1_000]])
  await clock.advance(600_000)
  expect(purges).toHaveLength(1)
  await send(key('c'))
  await clock.advance(0)
  expect([purges.length, told]).toMatchObject([2, [{ message: 'no' }]])
  expect(clock.pending).toBe(0)
})

it('says so of itself, and checks its options', () => {
  expect(describeBuilt(shop({}, { requireIdempotencyKey: true }).adapter)).toMatchObject({
    options: { idempotency: { key: 'required', scoped: false } },
  })
  for (const options of [
    { idempotency: {} },
    { idempotency: undefined, requireIdempotencyKey: true },
    { idempotency: undefined, idempotencyScope: () => '' },
    { idempotencyScope: 'tenant' },
    { requireIdempotencyKey: 'yes' },
    { random: 1 },
  ])
    expect(thrown(() => shop({}, options as never))).toMatchObject({ code: 'INVALID_OPTIONS' })
})

describe('end to end', () => {
  it.each(['memory', 'node'])('one call that is tried again has one key: it is done once (%s)', async (end) => {
    let cut = 2
    const { adapter, calls, placed } = shop(
      { place: (_, context) => (placed() === undefined ? { n: 1 } : context.fail('outOfStock', { left: 0 })) },
      {},
      async (operation) => {
        if (operation !== 'committed' || cut-- <= 0) return
        throw createError({ code: 'CONNECTION_LOST', effect: 'unknown' })
      },
    )
    const server = http.createServer(adapter.node())
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const transport = end === 'memory' ? memoryRpiTransport(adapter) : httpTransport({ baseUrl: url })
    const orders = createProxy(Orders, {
      transport,
      retry: { attempts: 3, backoffMs: 1 },
      circuitBreaker: false,
    })
    const input = { shop: 'main', sku: 'A' }
    expect(await orders.place(input, { idempotencyKey: 'call 1' })).toEqual({ n: 1 })
    expect(calls).toEqual(['A'])
    expect(placed()).toBe(1)
    const failure = await rejection(orders.place(input, { idempotencyKey: 'call 2' }))
    expect(isFailure(failure, Orders, 'place', 'outOfStock')).toBe(true)
    expect(await rejection(orders.place({ ...input, sku: 'B' }, { idempotencyKey: 'call 1' }))).toMatchObject({
      code: 'KEY_REUSED',
      effect: 'none',
      retryable: false,
    })
    await transport.close()
    await new Promise((resolve) => server.close(resolve))
  })
})
