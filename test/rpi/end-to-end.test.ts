// Proxy and server adapter together, over the wire conventions of HTTP and without a socket.
import { AsyncLocalStorage } from 'node:async_hooks'
import { type } from 'arktype'
import * as v from 'valibot'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { memoryRpiTransport } from '../../src/adapters/memory/rpi.ts'
import { inherited } from '../../src/core/async-context.ts'
import { createError } from '../../src/errors/classes.ts'
import { CODES, type Code } from '../../src/errors/codes.ts'
import { createProxy, createServerAdapter, defineContract, isFailure, resilient } from '../../src/rpi/index.ts'
import { fakeClock } from '../../src/testing/fake-clock.ts'
import { Inventory, rejection } from './shop.ts'

function pair(
  own: Record<string, unknown> = {},
  options: Record<string, unknown> = {},
  server: Record<string, unknown> = {},
): Record<string, any> {
  const handlers = {
    stock: ({ sku }: any) => ({ level: sku.length }),
    reserve: () => ({ reservationId: 'r' }),
    release: () => {},
    ping: () => {},
    ...own,
  }
  const adapter = createServerAdapter(Inventory, handlers as never, server)
  return createProxy(Inventory, { transport: memoryRpiTransport(adapter), ...options } as never)
}

it('an answer arrives', async () => {
  const seen: unknown[] = []
  const inventory = pair({
    release: (input: unknown, { idempotencyKey, headers }: any) =>
      void seen.push(input, idempotencyKey, headers['x-tenant']),
  })
  expect(await inventory.stock({ sku: '../ä?#%2F' })).toEqual({ level: 9 })
  await inventory.release({ id: '42' }, { idempotencyKey: 'k-1', headers: { 'X-Tenant': 't' } })
  expect(seen).toEqual([{ id: '42' }, 'k-1', 't'])
})

describe.each([
  [
    'zod',
    {
      input: z.object({ id: z.string(), n: z.number(), tags: z.array(z.string()), on: z.boolean().optional() }),
      output: z.object({ id: z.string(), n: z.number() }),
      failure: z.object({ left: z.number() }),
    },
  ],
  [
    'valibot',
    {
      input: v.object({ id: v.string(), n: v.number(), tags: v.array(v.string()), on: v.optional(v.boolean()) }),
      output: v.object({ id: v.string(), n: v.number() }),
      failure: v.object({ left: v.number() }),
    },
  ],
  [
    'arktype',
    {
      input: type({ id: 'string', n: 'number', tags: 'string[]', 'on?': 'boolean' }),
      output: type({ id: 'string', n: 'number' }),
      failure: type({ left: 'number' }),
    },
  ],
])('with schemas of %s', (_, { input, output, failure }) => {
  it.each(['GET /x/:id', 'DELETE /x/:id', 'POST /x/:id?n', 'PUT /x', 'PATCH /x/:id/:n'] as const)(
    'an input travels by %s as it is',
    async (http) => {
      const contract = defineContract('a', { go: { http, input, output, failures: { gone: failure } } })
      let got: any
      const adapter = createServerAdapter(contract, {
        go: (seen: any, context: any) => {
          got = seen
          return seen.n === 0 ? context.fail('gone', { left: 1 }) : { id: seen.id, n: seen.n }
        },
      } as never)
      const proxy: any = createProxy(contract, { transport: memoryRpiTransport(adapter) })
      for (const sent of [
        { id: 'a/b', n: 1, tags: ['x', 'y'], on: true },
        { id: '42', n: -1.5, tags: ['7'] },
        { id: 'true', n: 1e21, tags: [] },
        { id: 'null', n: 3, tags: ['', '"q"', '[1]'] },
      ]) {
        expect(await proxy.go(sent)).toEqual({ id: sent.id, n: sent.n })
        expect(got).toEqual(sent)
      }
      const error = await rejection(proxy.go({ id: 'x', n: 0, tags: ['a'] }))
      expect(isFailure(error, contract, 'go', 'gone') && error.details).toEqual({ left: 1 })
      expect(await rejection(proxy.go({ id: 'x', n: 'many', tags: [] }))).toMatchObject({
        code: 'INVALID_INPUT',
        details: { issues: [{ path: 'n' }] },
      })
    },
  )
})

describe('an error behind the adapter', () => {
  it.each(Object.keys(CODES) as Code[])('%s arrives as the same kind and code', async (code) => {
    const inventory = pair(
      { stock: () => Promise.reject(createError({ code, message: 'hush', retryAfterMs: 1_500 })) },
      { retry: false },
    )
    const error = await rejection(inventory.stock({ sku: 'x' }))
    expect(error).toMatchObject({
      code,
      kind: CODES[code].kind,
      service: 'inventory',
      operation: 'stock',
      retryAfterMs: 1_500,
    })
    expect(error.message).not.toContain('hush')
  })

  it('that is unknown leaks neither message nor stack', async () => {
    const inventory = pair({ stock: () => Promise.reject(new Error('hunter2')) }, { retry: false })
    const error = await rejection(inventory.stock({ sku: 'x' }))
    expect(error).toMatchObject({ code: 'SERVER_ERROR', effect: 'unknown' })
    expect(JSON.stringify(error) + error.stack).not.toContain('hunter2')
  })

  it('of an unknown operation is known as one', async () => {
    const Newer = defineContract('inventory', { audit: {} })
    const adapter = createServerAdapter(Inventory, {
      stock: () => ({ level: 1 }),
      reserve: () => ({ reservationId: 'r' }),
      release: () => {},
      ping: () => {},
    })
    expect(await rejection(createProxy(Newer, { transport: memoryRpiTransport(adapter) }).audit())).toMatchObject({
      code: 'UNKNOWN_OPERATION',
      kind: 'invalid',
      effect: 'none',
    })
  })

  it('that the server found in the input is told with its issues', async () => {
    const inventory = pair({}, { validateInput: false })
    expect(await rejection(inventory.reserve({ sku: 'A', quantity: 0 }))).toMatchObject({
      code: 'INVALID_INPUT',
      details: { issues: [{ path: 'quantity' }] },
    })
  })

  it('of a full server is tried again, because surely nothing was done', async () => {
    let finish: (value: unknown) => void = () => {}
    const clock = fakeClock()
    const inventory = pair(
      { ping: () => new Promise((resolve) => (finish = resolve)) },
      { clock, random: () => 0, deadlineMs: 9_000, attemptTimeoutMs: false },
      { maxConcurrent: 1 },
    )
    const first = inventory.ping()
    const second = inventory.ping()
    await clock.advance(500)
    finish(undefined)
    await first
    await clock.advance(1_000)
    finish(undefined)
    expect(await second).toBeUndefined()
  })
})

describe('malformed replies', () => {
  const server = (
    body: string,
    headers: Record<string, string> = { 'content-type': 'application/json' },
    status = 200,
  ) => ({
    fetch: async (): Promise<Response> => new Response(body, { status, headers }),
  })
  it.each([
    ['broken JSON', '{"level":', undefined, 'REPLY_UNDECODABLE', 'done'],
    ['HTML', '<html>', { 'content-type': 'text/html' }, 'REPLY_UNDECODABLE', 'done'],
    ['the wrong shape', '{"level":"x"}', undefined, 'REPLY_INVALID', 'done'],
    ['nothing', '', undefined, 'REPLY_INVALID', 'done'],
  ])('%s', async (_, body, headers, code, effect) => {
    const inventory = createProxy(Inventory, { transport: memoryRpiTransport(server(body, headers)) })
    expect(await rejection(inventory.stock({ sku: 'x' }))).toMatchObject({ code, effect })
  })

  it('with __proto__ poison nothing', async () => {
    const Any = defineContract('a', { b: { output: z.looseObject({}) } })
    const proxy = createProxy(Any, { transport: memoryRpiTransport(server('{"x":1,"__proto__":{"admin":true}}')) })
    const answer: any = await proxy.b()
    expect(answer).toEqual({ x: 1 })
    expect(answer.admin).toBeUndefined()
  })
})

describe('what cannot be sent', () => {
  it.each([{ 'x-a': 'b\r\nx-evil: 1' }, { 'x a': 'b' }, { 'x-a': 5 as never }])(
    '%j is refused, and nothing is sent',
    async (headers) => {
      let ran = 0
      const inventory = pair({ stock: () => ({ level: ++ran }) })
      expect(await rejection(inventory.stock({ sku: 'x' }, { headers }))).toMatchObject({
        code: 'INVALID_REQUEST',
        kind: 'invalid',
        effect: 'none',
      })
      expect(await rejection(inventory.stock({ sku: 'x' }, { idempotencyKey: 'a\nb' }))).toMatchObject({
        code: 'INVALID_REQUEST',
      })
      expect(await rejection(inventory.stock({ sku: '..' }))).toMatchObject({ code: 'INVALID_REQUEST' })
      expect(ran).toBe(0)
    },
  )
})

it('a deadline travels as what is left, through a service to the next', async () => {
  const clock = fakeClock({ now: 50_000 })
  const far = fakeClock({ now: 7 })
  const seen: number[] = []
  const hanging = createServerAdapter(
    defineContract('deep', { wait: {} }),
    {
      wait: (_, { deadline }) => {
        seen.push(deadline.remainingMs())
        return new Promise<void>(() => {})
      },
    },
    { clock: far },
  )
  const deep = createProxy(defineContract('deep', { wait: {} }), {
    transport: memoryRpiTransport(hanging),
    clock: far,
    retry: false,
  })
  const inventory = pair(
    {
      stock: async () => {
        seen.push(inherited()?.deadline?.remainingMs() as number)
        await far.advance(100)
        await deep.wait()
        return { level: 1 }
      },
    },
    { clock, retry: false },
    { clock: far },
  )
  const call = rejection(inventory.stock({ sku: 'x' }, { deadlineMs: 800 }))
  while (seen.length < 2) await new Promise((resolve) => setImmediate(resolve))
  expect(seen).toEqual([800, 700])
  await far.advance(700)
  expect(await call).toMatchObject({ code: 'DEADLINE_EXCEEDED', service: 'inventory' })
})

it('the async context of the caller does not leak into the server', async () => {
  const storage = new AsyncLocalStorage<string>()
  const seen: unknown[] = []
  const inventory = pair({ stock: () => (seen.push(storage.getStore()) > 0 ? { level: 1 } : undefined) })
  await storage.run('mine', () => inventory['stock']({ sku: 'x' }))
  expect(seen).toEqual([undefined])
})

it("trace context travels through, and the caller's own inheritance does not leak into the server", async () => {
  const seen: unknown[] = []
  const inventory = pair({
    stock: () => {
      seen.push(inherited()?.headers, inherited()?.signal?.aborted)
      return { level: 1 }
    },
  })
  const outer = resilient('outer.call', () => inventory.stock({ sku: 'x' }, { headers: { traceparent: '00-1-2-01' } }))
  await outer()
  expect(seen).toEqual([{ traceparent: '00-1-2-01' }, false])
})

describe('streams', () => {
  const Feed = defineContract('feed', {
    tail: {
      http: 'GET /tail/:from',
      streaming: 'server',
      input: z.object({ from: z.number() }),
      output: z.object({ n: z.number() }),
      failures: { gone: z.object({ at: z.number() }) },
    },
    sum: { streaming: 'client', input: z.object({ n: z.number() }), output: z.object({ sum: z.number() }) },
    echo: { streaming: 'both', input: z.object({ n: z.number() }), output: z.object({ n: z.number() }) },
  })
  let left = false
  const adapter = createServerAdapter(Feed, {
    async *tail({ from }, { fail }) {
      try {
        for (let n = from; ; n++) {
          if (n === 13) fail('gone', { at: n })
          if (n === 23) throw createError({ code: 'UNAVAILABLE' })
          yield { n }
        }
      } finally {
        left = true
      }
    },
    async sum(items) {
      let sum = 0
      for await (const { n } of items) sum += n
      return { sum }
    },
    async *echo(items) {
      for await (const { n } of items) yield { n: -n }
    },
  })
  const feed = createProxy(Feed, { transport: memoryRpiTransport(adapter), retry: false })
  const collect = async (stream: AsyncIterable<{ n: number }>, most = 100): Promise<number[]> => {
    const seen: number[] = []
    for await (const { n } of stream) if (seen.push(n) === most) break
    return seen
  }

  it('go both ways', async () => {
    expect(await feed.sum([{ n: 1 }, { n: 2 }])).toEqual({ sum: 3 })
    const items = async function* (): AsyncGenerator<{ n: number }> {
      yield { n: 1 }
      yield { n: 2 }
    }
    expect(await collect(await feed.echo(items()))).toEqual([-1, -2])
    expect(await collect(await feed.tail({ from: 1 }), 3)).toEqual([1, 2, 3])
    while (!left) await new Promise((resolve) => setImmediate(resolve))
    while (adapter.inFlight > 0) await new Promise((resolve) => setImmediate(resolve))
  })

  it('fail in the words of the taxonomy', async () => {
    const gone = await rejection(collect(await feed.tail({ from: 11 })))
    expect(isFailure(gone, Feed, 'tail', 'gone') && gone.details.at).toBe(13)
    expect(await rejection(feed.tail({ from: 13 }))).toMatchObject({ code: 'DECLARED_FAILURE', failure: 'gone' })
    expect(await rejection(collect(await feed.tail({ from: 22 })))).toMatchObject({
      code: 'UNAVAILABLE',
      service: 'feed',
      operation: 'tail',
    })
  })
})
