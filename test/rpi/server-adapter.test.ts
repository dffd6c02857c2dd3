// The server adapter through the Fetch API. What only a socket can show is in server-adapter-node.test.ts.
import { type } from 'arktype'
import * as v from 'valibot'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { inherited } from '../../src/core/async-context.ts'
import { describe as describeBuilt } from '../../src/core/describe.ts'
import { createError } from '../../src/errors/classes.ts'
import { CODES, type Code } from '../../src/errors/codes.ts'
import { createServerAdapter, defineContract, type ServerAdapterOptions } from '../../src/rpi/index.ts'
import { fakeClock } from '../../src/testing/fake-clock.ts'
import { Inventory, thrown } from './shop.ts'

const good = {
  stock: ({ sku }: any) => ({ level: sku.length }),
  reserve: ({ sku, quantity }: any, context: any) =>
    quantity > 5 ? context.fail('outOfStock', { left: 5 }) : { reservationId: `${sku}-${quantity}` },
  release: () => {},
  ping: () => {},
}

function shop(
  handlers: Record<string, unknown> = {},
  options: ServerAdapterOptions = {},
): ReturnType<typeof createServerAdapter> {
  return createServerAdapter(Inventory, { ...good, ...handlers } as never, options)
}

const json = { 'content-type': 'application/json' }
const request = (
  method: string,
  path: string,
  body?: string | null,
  headers: Record<string, string> = body === undefined ? {} : json,
): Request => new Request(`http://shop${path}`, { method, headers, ...(body === undefined ? {} : { body }) })
const problem = async (response: Response): Promise<any> => {
  expect(response.headers.get('content-type')).toBe('application/problem+json')
  return { status: response.status, ...((await response.json()) as object) }
}

describe('routing', () => {
  it('goes by the bindings of the contract', async () => {
    const { fetch } = shop()
    const stock = await fetch(request('GET', '/stock/A%2F1'))
    expect([stock.status, stock.headers.get('content-type'), await stock.json()]).toEqual([
      200,
      'application/json',
      { level: 3 },
    ])
    expect(await (await fetch(request('POST', '/reservations', '{"sku":"A","quantity":2}'))).json()).toEqual({
      reservationId: 'A-2',
    })
    expect((await fetch(request('DELETE', '/reservations/7'))).status).toBe(204)
  })

  it('finds an operation without a binding at /service/operation', async () => {
    expect((await shop().fetch(request('POST', '/inventory/ping'))).status).toBe(204)
  })

  it.each(['/', '/stock', '/stock/', '/stock/a/b', '/inventory/__proto__', '/constructor', '//stock/a'])(
    '%s is not there',
    async (path) => {
      expect(await problem(await shop().fetch(request('GET', path)))).toMatchObject({
        status: 404,
        type: 'urn:fairlead:UNKNOWN_OPERATION',
        effect: 'none',
      })
    },
  )

  it('says which methods a path takes', async () => {
    const response = await shop().fetch(request('PATCH', '/stock/a'))
    expect(response.headers.get('allow')).toBe('GET, HEAD, OPTIONS')
    expect(await problem(response)).toMatchObject({ status: 405, type: 'urn:fairlead:INVALID_REQUEST' })
    const options = await shop().fetch(request('OPTIONS', '/reservations/7'))
    expect([options.status, options.headers.get('allow'), await options.text()]).toEqual([204, 'DELETE, OPTIONS', ''])
  })

  it('answers HEAD as GET, without the body', async () => {
    const response = await shop().fetch(request('HEAD', '/stock/abc'))
    expect([response.status, response.headers.get('content-type'), await response.text()]).toEqual([
      200,
      'application/json',
      '',
    ])
  })

  it('takes literal parts before parameters', async () => {
    const contract = defineContract('a', {
      one: { http: 'GET /x/:id/y', input: z.object({ id: z.string() }), output: z.string() },
      all: { http: 'GET /x/all', output: z.string() },
      any: { http: 'GET /x/:id', input: z.object({ id: z.string() }), output: z.string() },
      make: { http: 'POST /x/:key', input: z.object({ key: z.string() }), output: z.string() },
    })
    const { fetch } = createServerAdapter(contract, {
      one: () => 'one',
      all: () => 'all',
      any: () => 'any',
      make: ({ key }) => `make ${key}`,
    })
    const answer = async (method: string, path: string): Promise<unknown> => (await fetch(request(method, path))).json()
    expect([
      await answer('GET', '/x/all'),
      await answer('GET', '/x/5'),
      await answer('GET', '/x/all/y'),
      await answer('POST', '/x/all'),
    ]).toEqual(['all', 'any', 'one', 'make all'])
  })

  it('stands behind a base path', async () => {
    const { fetch } = shop({}, { basePath: '/api/v1' })
    expect((await fetch(request('GET', '/api/v1/stock/a'))).status).toBe(200)
    expect((await fetch(request('GET', '/stock/a'))).status).toBe(404)
    expect((await fetch(request('GET', '/api/v1x/stock/a'))).status).toBe(404)
  })
})

describe('input', () => {
  it('that breaks the schema is 400 with the issues, and the handler does not run', async () => {
    let ran = 0
    const { fetch } = shop({ reserve: () => ran++ })
    const said = await problem(await fetch(request('POST', '/reservations', '{"sku":"A","quantity":-1}')))
    expect(said).toMatchObject({
      status: 400,
      type: 'urn:fairlead:INVALID_INPUT',
      effect: 'none',
      details: { issues: [{ path: 'quantity', message: expect.any(String) }] },
    })
    expect(ran).toBe(0)
  })

  it.each([
    ['malformed JSON', '{"sku":', json, 400, 'BAD_REQUEST'],
    ['JSON that is not UTF-8', Buffer.from([0x22, 0xff, 0x22]), json, 400, 'BAD_REQUEST'],
    ['no JSON', 'sku=A', { 'content-type': 'application/x-www-form-urlencoded' }, 415, 'UNPROCESSABLE'],
    ['no type', Buffer.from('{}'), {}, 415, 'UNPROCESSABLE'],
    ['encoded', '{}', { ...json, 'content-encoding': 'gzip' }, 415, 'UNPROCESSABLE'],
    ['empty', '', json, 400, 'INVALID_INPUT'],
    ['null', 'null', json, 400, 'INVALID_INPUT'],
  ])('%s is refused', async (_, body, headers, status, code) => {
    const asked = new Request('http://shop/reservations', {
      method: 'POST',
      body,
      headers: headers as Record<string, string>,
    })
    expect(await problem(await shop().fetch(asked))).toMatchObject({
      status,
      type: `urn:fairlead:${code}`,
      effect: 'none',
    })
  })

  it('beyond the limit is 413, whether its length was declared or not', async () => {
    const { fetch } = shop({}, { maxBodyBytes: 100 })
    const big = JSON.stringify({ sku: 'x'.repeat(100), quantity: 1 })
    expect(
      await problem(
        await fetch(request('POST', '/reservations', big, { ...json, 'content-length': String(big.length) })),
      ),
    ).toMatchObject({ status: 413, type: 'urn:fairlead:PAYLOAD_TOO_LARGE' })
    let pulled = 0
    const endless = new ReadableStream({
      pull: (controller) => controller.enqueue(Buffer.alloc(64, 32)),
      cancel: () => {
        pulled = -1
      },
    })
    const response = await fetch(
      new Request('http://shop/reservations', {
        method: 'POST',
        headers: json,
        body: endless,
        duplex: 'half',
      } as RequestInit),
    )
    expect(await problem(response)).toMatchObject({
      status: 413,
      type: 'urn:fairlead:PAYLOAD_TOO_LARGE',
      effect: 'none',
    })
    expect(pulled).toBe(-1)
    const fits = JSON.stringify({ sku: 'x'.repeat(60), quantity: 1 })
    expect((await fetch(request('POST', '/reservations', fits))).status).toBe(200)
  })

  it('cannot poison a prototype', async () => {
    let seen: any
    const contract = defineContract('a', { b: { input: z.looseObject({}) } })
    const { fetch } = createServerAdapter(contract, {
      b: (input) => {
        seen = input
      },
    })
    await fetch(
      request('POST', '/a/b', '{"x":1,"__proto__":{"admin":true},"constructor":{"prototype":{"admin":true}}}'),
    )
    expect(seen).toEqual({ x: 1 })
    expect(Object.getPrototypeOf(seen).admin).toBeUndefined()
    expect(({} as any).admin).toBeUndefined()
  })

  it('is put together from path, query and body; the body overrides nothing', async () => {
    const contract = defineContract('a', {
      put: { http: 'PUT /x/:id?dry', input: z.looseObject({ id: z.number(), dry: z.boolean() }), output: z.any() },
    })
    const { fetch } = createServerAdapter(contract, { put: (input) => input })
    expect(await (await fetch(request('PUT', '/x/7?dry=true&other=1', '{"id":8,"dry":false,"a":1}'))).json()).toEqual({
      id: 7,
      dry: true,
      a: 1,
    })
    expect(await (await fetch(request('PUT', '/x/7?dry=false'))).json()).toEqual({ id: 7, dry: false })
    expect(await problem(await fetch(request('PUT', '/x/7?dry=1', '[1]')))).toMatchObject({
      status: 400,
      details: { issues: [{ message: 'the body must be a JSON object' }] },
    })
    expect(await problem(await fetch(request('PUT', '/x/%zz?dry=true')))).toMatchObject({
      status: 400,
      type: 'urn:fairlead:BAD_REQUEST',
    })
  })

  const shapes = [
    [
      'zod',
      z.object({
        text: z.string(),
        n: z.number(),
        ok: z.boolean(),
        list: z.array(z.number()),
        deep: z.object({ a: z.number() }),
        none: z.null().optional(),
      }),
    ],
    [
      'valibot',
      v.object({
        text: v.string(),
        n: v.number(),
        ok: v.boolean(),
        list: v.array(v.number()),
        deep: v.object({ a: v.number() }),
        none: v.optional(v.null()),
      }),
    ],
    [
      'arktype',
      type({ text: 'string', n: 'number', ok: 'boolean', list: 'number[]', deep: { a: 'number' }, 'none?': 'null' }),
    ],
  ] as const

  it.each(shapes)('text of a query is read as %s wants it', async (_, input) => {
    const contract = defineContract('a', { find: { http: 'GET /find', input, output: z.any() } })
    const { fetch } = createServerAdapter(contract, { find: (seen: unknown) => seen } as never)
    const find = async (query: string): Promise<Response> => fetch(request('GET', `/find?${query}`))
    const deep = `deep=${encodeURIComponent('{"a":1}')}`
    const first = await find(`text=42&n=42&ok=true&list=1&list=2&${deep}&none=null`)
    expect(await first.json()).toEqual({ text: '42', n: 42, ok: true, list: [1, 2], deep: { a: 1 }, none: null })
    expect(await (await find(`text=true&n=-1.5e3&ok=false&list=7&${deep}`)).json()).toEqual({
      text: 'true',
      n: -1500,
      ok: false,
      list: [7],
      deep: { a: 1 },
    })
    expect(await (await find(`text=&n=0&ok=false&list=%5B%5D&${deep}`)).json()).toEqual({
      text: '',
      n: 0,
      ok: false,
      list: [],
      deep: { a: 1 },
    })
    expect(await problem(await find(`text=x&n=many&ok=true&list=1&${deep}`))).toMatchObject({
      status: 400,
      details: { issues: [{ path: 'n' }] },
    })
    expect(await problem(await find(`text=a&text=b&n=1&ok=true&list=1&${deep}`))).toMatchObject({ status: 400 })
  })
})

describe('a declared failure', () => {
  it('has its own status, its name in a header, and its data in the body', async () => {
    const { fetch } = shop({ reserve: (_: unknown, { fail }: any) => fail('unknownSku', { sku: 'x' }) })
    const response = await fetch(request('POST', '/reservations', '{"sku":"A","quantity":1}'))
    expect(response.headers.get('fairlead-failure')).toBe('unknownSku')
    expect(await problem(response)).toEqual({
      status: 404,
      type: 'urn:fairlead:failure:unknownSku',
      title: 'unknownSku',
      failure: 'unknownSku',
      data: { sku: 'x' },
    })
    const other = await shop().fetch(request('POST', '/reservations', '{"sku":"A","quantity":9}'))
    expect(await problem(other)).toMatchObject({ status: 422, failure: 'outOfStock', data: { left: 5 } })
  })

  it.each([
    ['that breaks its schema', (_: unknown, { fail }: any) => fail('outOfStock', { left: 'few' })],
    ['that is not declared', (_: unknown, { fail }: any) => fail('nope', { secret: 'hush' })],
  ])('%s is our own fault, told to onError and to nobody else', async (_, reserve) => {
    const errors: any[] = []
    const { fetch } = shop({ reserve }, { onError: (error) => errors.push(error) })
    const response = await fetch(request('POST', '/reservations', '{"sku":"A","quantity":1}'))
    const text = await response.text()
    expect([response.status, response.headers.get('fairlead-failure')]).toEqual([500, null])
    expect(text).toContain('urn:fairlead:REPLY_INVALID')
    expect(text).not.toMatch(/few|hush|nope|left/)
    expect(errors).toMatchObject([{ code: 'REPLY_INVALID' }])
  })

  it('of another service is not one of ours', async () => {
    const foreign = createError({
      code: 'DECLARED_FAILURE',
      service: 'warehouse',
      operation: 'reserve',
      failure: 'outOfStock',
      details: { left: 3 },
    })
    const response = await shop({ reserve: () => Promise.reject(foreign) }).fetch(
      request('POST', '/reservations', '{"sku":"A","quantity":1}'),
    )
    expect(response.headers.get('fairlead-failure')).toBeNull()
    expect(await problem(response)).toMatchObject({ status: 500, type: 'urn:fairlead:SERVER_ERROR' })
  })
})

describe('an error of a handler', () => {
  it('that is unknown leaks neither message nor stack, and is told to onError', async () => {
    const errors: unknown[] = []
    const secret = new Error('password is hunter2')
    const { fetch } = shop(
      { stock: () => Promise.reject(secret) },
      { onError: (error, where) => errors.push(error, where) },
    )
    const response = await fetch(request('GET', '/stock/a'))
    const text = await response.text()
    expect(response.status).toBe(500)
    expect(JSON.parse(text)).toMatchObject({
      type: 'urn:fairlead:SERVER_ERROR',
      effect: 'unknown',
      service: 'inventory',
      operation: 'stock',
    })
    expect(text).not.toMatch(/hunter2|Error:|\.ts/)
    expect(errors).toEqual([secret, { service: 'inventory', operation: 'stock' }])
  })

  it('leaks its message where asked to', async () => {
    const { fetch } = shop({ stock: () => Promise.reject(new Error('hunter2')) }, { exposeErrors: true })
    expect((await problem(await fetch(request('GET', '/stock/a')))).detail).toContain('hunter2')
  })

  it.each([undefined, null, 'text', 5])('may be no Error: %s', async (what) => {
    const { fetch } = shop({
      stock: () => {
        throw what
      },
    })
    expect(await problem(await fetch(request('GET', '/stock/a')))).toMatchObject({
      status: 500,
      type: 'urn:fairlead:SERVER_ERROR',
    })
  })

  it('survives an onError that throws', async () => {
    const { fetch } = shop(
      {
        stock: () => {
          throw new Error('x')
        },
      },
      {
        onError: () => {
          throw new Error('y')
        },
      },
    )
    expect((await fetch(request('GET', '/stock/a'))).status).toBe(500)
  })

  it.each(Object.keys(CODES) as Code[])('%s leaves as the same kind and code', async (code) => {
    const { fetch } = shop({ stock: () => Promise.reject(createError({ code })) })
    const said = await problem(await fetch(request('GET', '/stock/a')))
    expect(said).toMatchObject({ type: `urn:fairlead:${code}`, kind: CODES[code].kind })
    expect(said.status).toBeGreaterThanOrEqual(400)
  })

  it.each(['INVALID_INPUT', 'CANCELLED', 'UNKNOWN_OPERATION'] as const)(
    '%s of a call elsewhere is not the fault of our caller',
    async (code) => {
      const { fetch } = shop({
        stock: () => Promise.reject(createError({ code, service: 'warehouse', details: { issues: 'secret' } })),
      })
      const said = await problem(await fetch(request('GET', '/stock/a')))
      expect(said).toMatchObject({ status: 500, type: 'urn:fairlead:SERVER_ERROR' })
      expect(JSON.stringify(said)).not.toContain('secret')
    },
  )

  it('of a call elsewhere proves nothing about what we did', async () => {
    const { fetch } = shop({
      stock: () =>
        Promise.reject(
          createError({ code: 'CIRCUIT_OPEN', service: 'warehouse', effect: 'none', retryAfterMs: 1_500 }),
        ),
    })
    const response = await fetch(request('GET', '/stock/a'))
    expect(response.headers.get('retry-after')).toBe('2')
    expect(await problem(response)).toMatchObject({
      status: 503,
      type: 'urn:fairlead:CIRCUIT_OPEN',
      effect: 'unknown',
      retryAfterMs: 1_500,
    })
  })
})

describe('output', () => {
  it('is validated, and what the schema does not know does not leave', async () => {
    const { fetch } = shop({ stock: () => ({ level: 1, passwordHash: 'x' }) })
    expect(await (await fetch(request('GET', '/stock/a'))).json()).toEqual({ level: 1 })
  })

  it('that breaks the schema is 500, said to be done, and leaks nothing', async () => {
    const errors: any[] = []
    const { fetch } = shop({ stock: () => ({ level: 'secret' }) }, { onError: (error) => errors.push(error) })
    const response = await fetch(request('GET', '/stock/a'))
    const text = await response.text()
    expect(response.status).toBe(500)
    expect(JSON.parse(text)).toMatchObject({ type: 'urn:fairlead:REPLY_INVALID', effect: 'done' })
    expect(text).not.toMatch(/secret|level/)
    expect(errors[0]).toMatchObject({ details: { issues: [{ path: 'level' }] } })
  })

  it('that cannot be written is 500', async () => {
    const circular: any = {}
    circular.self = circular
    const contract = defineContract('a', { b: { output: z.any() } })
    for (const output of [circular, 5n]) {
      const { fetch } = createServerAdapter(contract, { b: () => output })
      expect((await fetch(request('POST', '/a/b'))).status).toBe(500)
    }
  })

  it('may be null, and may be nothing', async () => {
    const contract = defineContract('a', { b: { output: z.any() } })
    const answer = async (output: unknown): Promise<unknown[]> => {
      const response = await createServerAdapter(contract, { b: () => output }).fetch(request('POST', '/a/b'))
      return [response.status, await response.text()]
    }
    expect([await answer(null), await answer(undefined), await answer(false)]).toEqual([
      [200, 'null'],
      [204, ''],
      [200, 'false'],
    ])
  })

  it('may be a thenable that settles twice', async () => {
    const twice = {
      then: (resolve: (value: unknown) => void) => {
        resolve({ level: 1 })
        resolve({ level: 2 })
      },
    }
    expect(await (await shop({ stock: () => twice }).fetch(request('GET', '/stock/a'))).json()).toEqual({ level: 1 })
  })
})

describe('headers', () => {
  it('of the request are there, as is the idempotency key', async () => {
    let seen: any
    await shop({
      stock: (_: unknown, { headers, idempotencyKey }: any) => {
        seen = { headers, idempotencyKey }
        return { level: 1 }
      },
    }).fetch(request('GET', '/stock/a', undefined, { 'Idempotency-Key': 'k-1', 'X-Tenant': 't' }))
    expect(seen).toMatchObject({ headers: { 'x-tenant': 't' }, idempotencyKey: 'k-1' })
  })

  it('of the reply can be set, but not injected, and not those of the adapter', async () => {
    const set = async (name: string, text: string): Promise<Response> =>
      shop({
        stock: (_: unknown, context: any) => {
          context.setHeader(name, text)
          return { level: 1 }
        },
      }).fetch(request('GET', '/stock/a'))
    expect((await set('ETag', '"1"')).headers.get('etag')).toBe('"1"')
    for (const [name, text] of [
      ['x-a', 'b\r\nset-cookie: admin=1'],
      ['x-a\r\nb', 'c'],
      ['content-length', '1'],
      ['Fairlead-Failure', 'x'],
      ['x', 5 as never],
    ] as const) {
      const response = await set(name, text)
      expect([response.status, response.headers.get('set-cookie')]).toEqual([500, null])
    }
  })
})

describe('the deadline', () => {
  it.each(['0', '-5'])('of %s is spent: refused at entry', async (left) => {
    let ran = 0
    const { fetch } = shop({ stock: () => ({ level: ++ran }) })
    const said = await problem(await fetch(request('GET', '/stock/a', undefined, { 'x-request-timeout-ms': left })))
    expect(said).toMatchObject({ status: 504, type: 'urn:fairlead:DEADLINE_SPENT', effect: 'none' })
    expect(ran).toBe(0)
  })

  it("is the caller's, capped, inherited by outgoing calls, and answered at", async () => {
    const clock = fakeClock({ now: 1_000 })
    const seen: any[] = []
    const { fetch } = shop(
      {
        stock: (_: unknown, { signal, deadline }: any) => {
          seen.push(deadline.at, inherited()?.deadline?.at, inherited()?.signal === signal)
          return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
        },
      },
      { clock, maxDeadlineMs: 500 },
    )
    for (const [left, at] of [
      ['200', 200],
      ['900', 500],
      ['soon', 500],
    ] as const) {
      seen.length = 0
      const began = clock.now()
      const response = fetch(request('GET', '/stock/a', undefined, { 'x-request-timeout-ms': left }))
      await clock.advance(at)
      expect(await problem(await response)).toMatchObject({
        status: 504,
        type: 'urn:fairlead:DEADLINE_EXCEEDED',
        effect: 'unknown',
      })
      expect(seen).toEqual([began + at, began + at, true])
    }
    expect(clock.pending).toBe(0)
  })

  it('is answered at although the handler does not stop; its place stays taken', async () => {
    const clock = fakeClock()
    let finish: (value: unknown) => void = () => {}
    const adapter = shop({ stock: () => new Promise((resolve) => (finish = resolve)) }, { clock, maxConcurrent: 1 })
    const response = adapter.fetch(request('GET', '/stock/a', undefined, { 'x-request-timeout-ms': '100' }))
    await clock.advance(100)
    expect((await response).status).toBe(504)
    expect(adapter.inFlight).toBe(1)
    expect((await adapter.fetch(request('GET', '/stock/a'))).status).toBe(503)
    finish({ level: 1 })
    await clock.advance(0)
    expect(adapter.inFlight).toBe(0)
  })

  it('ends a stream that has not begun by then, and frees its place', async () => {
    const clock = fakeClock()
    const contract = defineContract('a', {
      b: { http: 'GET /b/:how', input: z.object({ how: z.string() }), streaming: 'server', output: z.number() },
    })
    const log: string[] = []
    let begin: (value: AsyncIterable<number>) => void = () => {}
    let step: () => void = () => {}
    const stream = async function* (): AsyncGenerator<number> {
      try {
        log.push('started')
        await new Promise<void>((resolve) => (step = resolve))
        yield 1
      } finally {
        log.push('ended')
      }
    }
    const handler = ({ how }: { how: string }): AsyncIterable<number> | Promise<AsyncIterable<number>> =>
      how === 'slow' ? stream() : new Promise((resolve) => (begin = resolve))
    const adapter = createServerAdapter(contract, { b: handler }, { clock, maxDeadlineMs: 50 })
    const turns = async (): Promise<void> => {
      for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
    }
    const late = adapter.fetch(request('GET', '/b/late'))
    await clock.advance(50)
    expect((await late).status).toBe(504)
    expect(adapter.inFlight).toBe(1)
    begin(stream())
    await turns()
    expect([adapter.inFlight, log]).toEqual([0, []])
    const slow = adapter.fetch(request('GET', '/b/slow'))
    await clock.advance(50)
    expect((await slow).status).toBe(504)
    step()
    await turns()
    expect([adapter.inFlight, log]).toEqual([0, ['started', 'ended']])
  })

  it('ends a stream that is under way by then, says so, and frees its place', async () => {
    const clock = fakeClock()
    const contract = defineContract('a', { b: { http: 'GET /b', streaming: 'server', output: z.number() } })
    let ended = false
    let step: () => void = () => {}
    const stream = async function* (): AsyncGenerator<number> {
      try {
        yield 1
        await new Promise<void>((resolve) => (step = resolve))
        yield 2
      } finally {
        ended = true
      }
    }
    const adapter = createServerAdapter(contract, { b: stream }, { clock, maxDeadlineMs: 50 })
    const reader = (await adapter.fetch(request('GET', '/b'))).body?.getReader()
    const read = async (): Promise<string> => Buffer.from((await reader?.read())?.value ?? []).toString()
    expect(await read()).toBe('1\n')
    const last = read()
    await clock.advance(50)
    expect(await last).toMatch(/^!.*DEADLINE_EXCEEDED/)
    step()
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
    expect([adapter.inFlight, ended, clock.pending]).toEqual([0, true, 0])
    const whole = adapter.fetch(request('GET', '/b'))
    const text = (await whole).text()
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
    step()
    expect([await text, adapter.inFlight, clock.pending]).toEqual(['1\n2\n', 0, 0])
  })

  it('may come in another header', async () => {
    const { fetch } = shop({}, { deadlineHeader: 'X-Left' })
    expect((await fetch(request('GET', '/stock/a', undefined, { 'x-left': '0' }))).status).toBe(504)
    expect((await fetch(request('GET', '/stock/a', undefined, { 'x-request-timeout-ms': '0' }))).status).toBe(200)
  })
})

it('trace context is handed down, other headers are not', async () => {
  let seen: any
  await shop({
    stock: () => {
      seen = inherited()?.headers
      return { level: 1 }
    },
  }).fetch(
    request('GET', '/stock/a', undefined, {
      traceparent: '00-a-b-01',
      tracestate: 'x=1',
      baggage: 'y=2',
      authorization: 'secret',
    }),
  )
  expect(seen).toEqual({ traceparent: '00-a-b-01', tracestate: 'x=1', baggage: 'y=2' })
})

it('a client that goes aborts the handler', async () => {
  const controller = new AbortController()
  let reason: any
  const { fetch } = shop({
    stock: (_: unknown, { signal }: any) => {
      controller.abort()
      reason = signal.reason
      return { level: 1 }
    },
  })
  await fetch(new Request('http://shop/stock/a', { signal: controller.signal }))
  expect(reason).toMatchObject({ code: 'CANCELLED' })
})

it('a client that has gone before does not start the handler', async () => {
  let ran = 0
  const controller = new AbortController()
  controller.abort()
  const { fetch } = shop({ stock: () => ({ level: ++ran }) })
  await fetch(new Request('http://shop/stock/a', { signal: controller.signal }))
  expect(ran).toBe(0)
})

describe('more requests than allowed', () => {
  it('are refused at once, and surely not processed', async () => {
    const finish: (() => void)[] = []
    const adapter = shop(
      { stock: () => new Promise((resolve) => finish.push(() => resolve({ level: 1 }))) },
      { maxConcurrent: 2 },
    )
    const running = [adapter.fetch(request('GET', '/stock/a')), adapter.fetch(request('GET', '/stock/b'))]
    const refused = await adapter.fetch(request('GET', '/stock/c'))
    expect(refused.headers.get('retry-after')).toBe('1')
    expect(await problem(refused)).toMatchObject({ status: 503, type: 'urn:fairlead:UNAVAILABLE', effect: 'none' })
    expect(finish.length).toBe(2)
    for (const each of finish) each()
    expect((await Promise.all(running)).map(({ status }) => status)).toEqual([200, 200])
    expect(adapter.inFlight).toBe(0)
    const again = adapter.fetch(request('GET', '/stock/c'))
    await new Promise((resolve) => setImmediate(resolve))
    finish[2]?.()
    expect((await again).status).toBe(200)
  })
})

describe('close', () => {
  it('refuses what comes, and waits for what is under way', async () => {
    let finish: (value: unknown) => void = () => {}
    const adapter = shop({ stock: () => new Promise((resolve) => (finish = resolve)) })
    const underWay = adapter.fetch(request('GET', '/stock/a'))
    await new Promise((resolve) => setImmediate(resolve))
    let closed = false
    const closing = adapter.close().then(() => (closed = true))
    const refused = await adapter.fetch(request('GET', '/stock/b'))
    expect([refused.status, refused.headers.get('connection'), refused.headers.get('retry-after')]).toEqual([
      503,
      'close',
      '1',
    ])
    expect(await problem(refused)).toMatchObject({ effect: 'none' })
    expect(closed).toBe(false)
    finish({ level: 1 })
    expect((await underWay).status).toBe(200)
    await closing
    await adapter[Symbol.asyncDispose]()
  })
})

describe('a stream', () => {
  const Feed = defineContract('feed', {
    tail: {
      http: 'GET /tail/:from',
      streaming: 'server',
      input: z.object({ from: z.number() }),
      output: z.object({ n: z.number() }),
      failures: { gone: z.object({ at: z.number() }) },
    },
    push: { streaming: 'client', input: z.object({ n: z.number() }), output: z.object({ sum: z.number() }) },
    echo: { streaming: 'both', input: z.object({ n: z.number() }), output: z.object({ n: z.number() }) },
  })
  const handlers: Record<string, (input: any, context: any) => unknown> = {
    async *tail({ from }: any) {
      for (let n = from; n < from + 3; n++) yield { n, hidden: true }
    },
    async push(items: any) {
      let sum = 0
      for await (const { n } of items) sum += n
      return { sum }
    },
    async *echo(items: any) {
      for await (const { n } of items) yield { n: n * 2 }
    },
  }
  const feed = (
    own: Record<string, unknown> = {},
    options: ServerAdapterOptions = {},
  ): ReturnType<typeof createServerAdapter> => createServerAdapter(Feed, { ...handlers, ...own } as never, options)
  const ndjson = { 'content-type': 'application/x-ndjson' }

  it('of answers is NDJSON, each item validated', async () => {
    const response = await feed().fetch(request('GET', '/tail/5'))
    expect([response.status, response.headers.get('content-type'), await response.text()]).toEqual([
      200,
      'application/x-ndjson',
      '{"n":5}\n{"n":6}\n{"n":7}\n',
    ])
  })

  it('of items is read line by line', async () => {
    expect(await (await feed().fetch(request('POST', '/feed/push', '{"n":1}\n\n{"n":2}', ndjson))).json()).toEqual({
      sum: 3,
    })
    expect(await (await feed().fetch(request('POST', '/feed/echo', '{"n":1}\n{"n":2}\n', ndjson))).text()).toBe(
      '{"n":2}\n{"n":4}\n',
    )
    expect(
      await problem(await feed().fetch(request('POST', '/feed/push', '{"n":1}\n{"n":"x"}\n', ndjson))),
    ).toMatchObject({ status: 400, type: 'urn:fairlead:INVALID_INPUT' })
    expect(await problem(await feed().fetch(request('POST', '/feed/push', '{"n":1}\n{', ndjson)))).toMatchObject({
      status: 400,
      type: 'urn:fairlead:BAD_REQUEST',
    })
    expect(await problem(await feed().fetch(request('POST', '/feed/push', '{}', json)))).toMatchObject({ status: 415 })
    expect(
      await problem(
        await feed({}, { maxBodyBytes: 20 }).fetch(request('POST', '/feed/push', `{"n":${'1'.repeat(30)}}`, ndjson)),
      ),
    ).toMatchObject({ status: 413 })
  })

  it('that fails before its first item has a status', async () => {
    const { fetch } = feed({
      async *tail({ from }: any, { fail }: any) {
        if (from === 1) fail('gone', { at: 1 })
        if (from === 2) throw new Error('secret')
        yield { n: 1 }
      },
    })
    expect(await problem(await fetch(request('GET', '/tail/1')))).toMatchObject({ status: 422, failure: 'gone' })
    expect(await problem(await fetch(request('GET', '/tail/2')))).toMatchObject({ status: 500 })
    expect(await problem(await feed({ tail: () => 5 }).fetch(request('GET', '/tail/2')))).toMatchObject({
      status: 500,
      type: 'urn:fairlead:REPLY_INVALID',
    })
  })

  it('that fails later ends with a line that is no JSON, and leaks nothing', async () => {
    const failing = (error: (context: any) => unknown): any =>
      async function* (_: unknown, context: any) {
        yield { n: 1 }
        throw error(context)
      }
    const last = async (tail: any): Promise<any> => {
      const text = await (await feed({ tail }).fetch(request('GET', '/tail/1'))).text()
      const [first, end, ...more] = text.trimEnd().split('\n')
      expect([first, end?.[0], more]).toEqual(['{"n":1}', '!', []])
      expect(text).not.toContain('secret')
      return JSON.parse(end?.slice(1) ?? '')
    }
    expect(await last(failing(() => new Error('secret')))).toMatchObject({
      type: 'urn:fairlead:SERVER_ERROR',
      status: 500,
    })
    expect(await last(failing((context) => thrown(() => context.fail('gone', { at: 1 }))))).toMatchObject({
      failure: 'gone',
      data: { at: 1 },
    })
    expect(
      await last(async function* () {
        yield { n: 1 }
        yield { n: 'secret' }
      }),
    ).toMatchObject({ type: 'urn:fairlead:REPLY_INVALID', status: 500 })
  })

  it('that ends in what cannot be written says so, and frees its place', async () => {
    const contract = defineContract('a', {
      b: { http: 'GET /b', streaming: 'server', output: z.number(), failures: { low: z.object({ left: z.bigint() }) } },
    })
    let ended = false
    const adapter = createServerAdapter(contract, {
      async *b(_, { fail }) {
        try {
          yield 1
          fail('low', { left: 1n })
        } finally {
          ended = true
        }
      },
    })
    const text = await (await adapter.fetch(request('GET', '/b'))).text()
    expect(text).toMatch(/^1\n!.*SERVER_ERROR/)
    expect([adapter.inFlight, ended]).toEqual([0, true])
  })

  it('that is left ends the generator, and frees its place', async () => {
    let ended = false
    const adapter = feed({
      async *tail() {
        try {
          for (let n = 0; ; n++) yield { n }
        } finally {
          ended = true
        }
      },
    })
    const response = await adapter.fetch(request('GET', '/tail/1'))
    const reader = response.body?.getReader()
    await reader?.read()
    expect(adapter.inFlight).toBe(1)
    await reader?.cancel()
    await new Promise((resolve) => setImmediate(resolve))
    expect([ended, adapter.inFlight]).toEqual([true, 0])
    await (await adapter.fetch(request('HEAD', '/tail/1'))).text()
    await new Promise((resolve) => setImmediate(resolve))
    expect(adapter.inFlight).toBe(0)
  })

  it('inherits in every step', async () => {
    const seen: unknown[] = []
    const adapter = feed({
      async *tail() {
        for (let n = 0; n < 2; n++) {
          seen.push(inherited()?.headers)
          yield { n }
        }
      },
    })
    await (await adapter.fetch(request('GET', '/tail/1', undefined, { traceparent: 't' }))).text()
    expect(seen).toEqual([{ traceparent: 't' }, { traceparent: 't' }])
  })
})

describe('options', () => {
  it.each([
    [{ maxBodyBytes: -1 }, 'maxBodyBytes'],
    [{ maxConcurrent: 0 }, 'maxConcurrent'],
    [{ maxDeadlineMs: Number.NaN }, 'maxDeadlineMs'],
    [{ basePath: 'api' }, 'basePath'],
    [{ basePath: '/api/' }, 'basePath'],
    [{ deadlineHeader: 'a b' }, 'deadlineHeader'],
    [{ onError: 'log' }, 'onError'],
    [{ exposeErrors: 1 }, 'exposeErrors'],
    [{ port: 80 }, 'createServerAdapter.port'],
  ])('%j are refused', (options, option) => {
    expect(thrown(() => shop({}, options as never))).toMatchObject({ code: 'INVALID_OPTIONS', details: { option } })
  })

  it('need one handler for each operation', () => {
    expect(thrown(() => shop({ ping: undefined }))).toMatchObject({ details: { option: 'handlers.ping' } })
    expect(thrown(() => shop({ more: () => 1 }))).toMatchObject({ details: { option: 'handlers.more' } })
    expect(thrown(() => createServerAdapter(Inventory, null as never))).toMatchObject({
      details: { option: 'handlers' },
    })
  })
})

it('is described', () => {
  expect(describeBuilt(shop({}, { maxConcurrent: 9 }))).toMatchObject({
    what: 'server-adapter',
    name: 'inventory',
    options: { maxConcurrent: 9, maxBodyBytes: 1_048_576 },
    operations: [
      { name: 'stock', http: 'GET /stock/:sku', idempotent: true },
      {},
      {},
      { http: 'POST /inventory/ping' },
    ],
    state: { inFlight: 0, closing: false },
  })
})

describe('closing', () => {
  it('waits for what is in flight, but no longer than drainMs', async () => {
    const clock = fakeClock()
    const adapter = shop({ stock: () => new Promise(() => {}) }, { clock, drainMs: 5_000 })
    void adapter.fetch(request('GET', '/stock/A-1'))
    await clock.advance(0)
    let closed = false
    void adapter.close().then(() => {
      closed = true
    })
    await clock.advance(4_999)
    expect([closed, adapter.inFlight]).toEqual([false, 1])
    await clock.advance(1)
    expect(closed).toBe(true)
  })
})
