import { format, inspect, isDeepStrictEqual } from 'node:util'
import { type } from 'arktype'
import * as v from 'valibot'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { FailureAnswer } from '../../src/core/answer.ts'
import { describe as describeBuilt } from '../../src/core/describe.ts'
import type { PipelineEvent } from '../../src/core/events.ts'
import { isFairleadError } from '../../src/errors/base.ts'
import { createError } from '../../src/errors/classes.ts'
import { circuitBreaker } from '../../src/policies/circuit-breaker.ts'
import { lastGood, value } from '../../src/policies/fallback.ts'
import { close, createProxy, defineContract, isFailure } from '../../src/rpi/index.ts'
import { fakeClock } from '../../src/testing/fake-clock.ts'
import { Inventory, rejection, scripted, thrown } from './shop.ts'

const level = { output: { level: 5 } }

describe('a call', () => {
  it('gives the transport operation, input and context, and its output back', async () => {
    const transport = scripted(() => level)
    const inventory = createProxy(Inventory, { transport })
    expect(
      await inventory.stock({ sku: 'A-1' }, { idempotencyKey: 'k', headers: { 'x-a': '1' }, deadlineMs: 700 }),
    ).toEqual({ level: 5 })
    const [{ operation, input, context } = undefined as never] = transport.calls
    expect(operation).toBe(Inventory.operations.stock)
    expect(input).toEqual({ sku: 'A-1' })
    expect(context).toMatchObject({
      service: 'inventory',
      operation: 'stock',
      attempt: 1,
      idempotent: true,
      idempotencyKey: 'k',
      headers: { 'x-a': '1' },
    })
    expect(context.deadline.remainingMs()).toBeLessThanOrEqual(700)
  })

  it('without output in the contract gives undefined, whatever comes', async () => {
    const inventory = createProxy(Inventory, { transport: scripted(() => ({ output: { surplus: true } })) })
    expect(await inventory.ping()).toBeUndefined()
  })

  it('without input in the contract sends none', async () => {
    const transport = scripted(() => ({ output: undefined }))
    await createProxy(Inventory, { transport }).ping({ secret: 1 } as never)
    expect(transport.calls[0]?.input).toBeUndefined()
  })

  it('sends what was given, not what the schema made of it', async () => {
    const Times = defineContract('times', {
      at: { input: z.object({ when: z.string().transform((text) => new Date(text)) }) },
    })
    const transport = scripted(() => ({ output: undefined }))
    await createProxy(Times, { transport }).at({ when: '2026-01-01' })
    expect(transport.calls[0]?.input).toEqual({ when: '2026-01-01' })
  })
})

describe('input that breaks the schema', () => {
  it('is refused with its issues, and nothing is sent or counted', async () => {
    const transport = scripted(() => level)
    const breaker = circuitBreaker({ minimumCalls: 1 })
    const events: PipelineEvent[] = []
    const inventory = createProxy(Inventory, {
      transport,
      circuitBreaker: breaker,
      onEvent: (event) => events.push(event),
    })
    const error = await rejection(inventory.reserve({ sku: 'A-1', quantity: -1 }))
    expect(error).toMatchObject({
      code: 'INVALID_INPUT',
      kind: 'invalid',
      effect: 'none',
      service: 'inventory',
      operation: 'reserve',
    })
    expect(error.details.issues).toEqual([{ path: 'quantity', message: expect.any(String) }])
    expect(await inventory.reserve.result({} as never)).toMatchObject({ ok: false, error: { code: 'INVALID_INPUT' } })
    expect(await rejection(inventory.reserve.detailed(null as never))).toMatchObject({ code: 'INVALID_INPUT' })
    expect(transport.calls).toEqual([])
    expect(breaker.state).toBe('closed')
    expect(events).toEqual([])
  })

  it.each([
    ['zod', z.object({ sku: z.string() }), z.object({ level: z.number() })],
    ['valibot', v.object({ sku: v.string() }), v.object({ level: v.number() })],
    ['arktype', type({ sku: 'string' }), type({ level: 'number' })],
  ])('is found by %s, as is a reply', async (_, input, output) => {
    const contract = defineContract('a', { stock: { input, output, failures: { gone: output } } })
    let reply: { output: unknown; failure?: string } = { output: { level: 5, more: 'tolerated' } }
    const transport = scripted(() => reply)
    const proxy = createProxy(contract, { transport, retry: false })
    expect(await proxy.stock({ sku: 'x' })).toMatchObject({ level: 5 })
    const error = await rejection(proxy.stock({ sku: 5 } as never))
    expect(error).toMatchObject({ code: 'INVALID_INPUT', details: { issues: [{ path: 'sku' }] } })
    expect(transport.calls.length).toBe(1)
    reply = { output: { level: 'many' } }
    expect(await rejection(proxy.stock({ sku: 'x' }))).toMatchObject({
      code: 'REPLY_INVALID',
      effect: 'done',
      details: { issues: [{ path: 'level' }] },
    })
    reply = { output: { level: 1 }, failure: 'gone' }
    expect(await rejection(proxy.stock({ sku: 'x' }))).toMatchObject({
      code: 'DECLARED_FAILURE',
      details: { level: 1 },
    })
  })

  it.each([null, new Error('broken schema')])(
    'meets a schema that throws %s: an error of ours, nothing is sent',
    async (thrown) => {
      const throws = z.object({ a: z.any() }).refine(() => {
        throw thrown
      })
      const contract = defineContract('s', { put: { input: throws, output: z.any() }, get: { output: throws } })
      const transport = scripted(() => ({ output: { a: 1 } }))
      const proxy = createProxy(contract, { transport, retry: false })
      expect(await rejection(proxy.put({ a: 1 }))).toMatchObject({ service: 's', operation: 'put', effect: 'none' })
      expect(transport.calls).toEqual([])
      const error = await rejection(proxy.get())
      expect(isFairleadError(error) && error.operation).toBe('get')
    },
  )

  it('is found by an asynchronous schema too', async () => {
    const slow = z.object({ sku: z.string().refine(async (sku) => sku !== 'bad') })
    const transport = scripted(() => ({ output: { sku: 'bad' } }))
    const proxy = createProxy(defineContract('a', { b: { input: slow, output: slow } }), { transport })
    expect(await rejection(proxy.b({ sku: 'bad' }))).toMatchObject({ code: 'INVALID_INPUT' })
    expect(transport.calls.length).toBe(0)
    expect(await rejection(proxy.b({ sku: 'good' }))).toMatchObject({ code: 'REPLY_INVALID' })
    expect(await proxy.b.result({ sku: 'bad' })).toMatchObject({ ok: false, error: { code: 'INVALID_INPUT' } })
  })

  it('is let through where the user says so', async () => {
    const transport = scripted(() => ({ output: { level: 'many' } }))
    const proxy = createProxy(Inventory, { transport, validateInput: false, validateOutput: false })
    expect(await proxy.stock({ sku: 5 } as never)).toEqual({ level: 'many' })
    expect(transport.calls[0]?.input).toEqual({ sku: 5 })
  })
})

describe('a reply', () => {
  it('may know more fields than the caller', async () => {
    const inventory = createProxy(Inventory, { transport: scripted(() => ({ output: { level: 5, since: 'v2' } })) })
    expect(await inventory.stock({ sku: 'x' })).toEqual({ level: 5 })
  })

  it('that breaks the schema is a failure of the peer for the breaker, and not tried again', async () => {
    const transport = scripted(() => ({ output: {} }))
    const breaker = circuitBreaker({ minimumCalls: 2, errorRate: 1 })
    const inventory = createProxy(Inventory, { transport, circuitBreaker: breaker })
    for (let index = 0; index < 2; index++) await rejection(inventory.stock({ sku: 'x' }))
    expect(transport.calls.length).toBe(2)
    expect(breaker.state).toBe('open')
  })
})

describe('a declared failure', () => {
  const out = { output: { left: 2 }, failure: 'outOfStock' }

  it('is an answer: no retry, a success for the breaker, no fallback, thrown at the edge', async () => {
    const transport = scripted(() => out)
    const breaker = circuitBreaker({ minimumCalls: 1, errorRate: 0.01 })
    const inventory = createProxy(Inventory, {
      transport,
      circuitBreaker: breaker,
      operations: { reserve: { fallback: [value({ reservationId: 'none' })] } },
    })
    for (let index = 0; index < 5; index++) {
      const error = await rejection(inventory.reserve({ sku: 'A-1', quantity: 3 }))
      expect(error).toMatchObject({
        code: 'DECLARED_FAILURE',
        kind: 'response',
        effect: 'none',
        failure: 'outOfStock',
        details: { left: 2 },
        retryable: false,
      })
      expect(isFailure(error, Inventory, 'reserve', 'outOfStock') && error.details.left).toBe(2)
      expect(isFairleadError(error)).toBe(true)
    }
    expect(transport.calls.length).toBe(5)
    expect(breaker.state).toBe('closed')
    expect(await inventory.reserve.result({ sku: 'A-1', quantity: 3 })).toMatchObject({
      ok: false,
      error: { failure: 'outOfStock' },
    })
    expect(await rejection(inventory.reserve.detailed({ sku: 'A-1', quantity: 3 }))).toMatchObject({
      failure: 'outOfStock',
    })
  })

  it('says where it came from, at which attempt and after how long', async () => {
    const clock = fakeClock()
    const transport = scripted(async (_input, context) => {
      context.endpoint = { id: 'one', addresses: [{ host: '127.0.0.1', port: 1 }] }
      await clock.advance(20)
      if (transport.calls.length === 1) throw createError({ code: 'CONNECTION_REFUSED' })
      return out
    })
    const inventory = createProxy(Inventory, { transport, clock, retry: { backoffMs: 0 } })
    const facts = { transport: 'scripted', endpoint: 'one', attempt: 2, elapsedMs: 40 }
    expect(await rejection(inventory.reserve({ sku: 'A-1', quantity: 3 }))).toMatchObject(facts)
    expect(await inventory.reserve.result({ sku: 'A-1', quantity: 3 })).toMatchObject({
      error: { ...facts, attempt: 1, elapsedMs: 20 },
    })
  })

  it('whose data break their schema is an invalid reply', async () => {
    const inventory = createProxy(Inventory, {
      transport: scripted(() => ({ output: { left: 'few' }, failure: 'outOfStock' })),
    })
    expect(await rejection(inventory.reserve({ sku: 'A-1', quantity: 3 }))).toMatchObject({
      code: 'REPLY_INVALID',
      effect: 'done',
    })
  })

  it('that the contract does not know is an invalid reply', async () => {
    const inventory = createProxy(Inventory, { transport: scripted(() => ({ output: {}, failure: '__proto__' })) })
    expect(await rejection(inventory.reserve({ sku: 'A-1', quantity: 3 }))).toMatchObject({ code: 'REPLY_INVALID' })
  })
})

describe('the pipeline', () => {
  const refused = (): never => {
    throw Object.assign(new Error('x'), { code: 'ECONNREFUSED' })
  }

  it("retries by each operation's own word", async () => {
    const clock = fakeClock()
    let code = 'ECONNRESET'
    const transport = scripted(() => {
      throw Object.assign(new Error('x'), { code })
    })
    const inventory = createProxy(Inventory, { transport, clock, random: () => 0 })
    const attempts = async (call: () => Promise<unknown>): Promise<number> => {
      const before = transport.calls.length
      await rejection(call())
      return transport.calls.length - before
    }
    expect(await attempts(() => inventory.reserve({ sku: 'A', quantity: 1 }))).toBe(3)
    expect(await attempts(() => inventory.release({ id: '7' }))).toBe(1)
    expect(await attempts(() => inventory.release({ id: '7' }, { idempotencyKey: 'k' }))).toBe(3)
    code = 'ECONNREFUSED'
    expect(await attempts(() => inventory.release({ id: '7' }))).toBe(3)
    expect(transport.calls.map(({ context }) => context.attempt)).toEqual([1, 2, 3, 1, 1, 2, 3, 1, 2, 3])
  })

  it('is shared by the operations of a proxy', async () => {
    const inventory = createProxy(Inventory, {
      transport: scripted(refused),
      retry: false,
      circuitBreaker: { minimumCalls: 4 },
    })
    await rejection(inventory.stock({ sku: 'x' }))
    await rejection(inventory.release({ id: 'x' }))
    await rejection(inventory.ping())
    await rejection(inventory.reserve({ sku: 'A', quantity: 1 }))
    expect(await rejection(inventory.stock({ sku: 'x' }))).toMatchObject({
      code: 'CIRCUIT_OPEN',
      service: 'inventory',
      operation: 'stock',
    })
  })

  it('answers from a fallback of the operation, and says so', async () => {
    const clock = fakeClock()
    let down = false
    const inventory = createProxy(Inventory, {
      transport: scripted(() => (down ? refused() : level)),
      clock,
      retry: false,
      operations: { stock: { fallback: [lastGood({ maxAgeMs: 60_000 }), value({ level: -1 })], deadlineMs: 400 } },
    })
    expect(await inventory.stock.detailed({ sku: 'A' })).toEqual({ value: { level: 5 }, from: 'call' })
    down = true
    await clock.advance(10)
    expect(await inventory.stock.detailed({ sku: 'A' })).toMatchObject({
      value: { level: 5 },
      from: 'lastGood',
      ageMs: 10,
    })
    expect(await inventory.stock.with({ deadlineMs: 9 }).detailed({ sku: 'B' })).toMatchObject({
      value: { level: -1 },
      from: 'value',
      error: { code: 'CONNECTION_REFUSED' },
    })
  })

  it('has a deadline per operation and per call', async () => {
    const clock = fakeClock()
    const inventory = createProxy(Inventory, {
      transport: scripted(() => new Promise(() => {})),
      clock,
      operations: { stock: { deadlineMs: 400 }, ping: { deadlineMs: false } },
      attemptTimeoutMs: false,
    })
    const ends: string[] = []
    for (const [name, call] of Object.entries({
      own: inventory.stock({ sku: 'A' }),
      tighter: inventory.stock({ sku: 'A' }, { deadlineMs: 100 }),
      proxy: inventory.release({ id: 'x' }),
      none: inventory.ping(),
    }))
      call.catch((error) => ends.push(`${name} ${error.code} ${clock.now()}`))
    await clock.advance(60_000)
    expect(ends).toEqual(['tighter DEADLINE_EXCEEDED 100', 'own DEADLINE_EXCEEDED 400', 'proxy DEADLINE_EXCEEDED 5000'])
  })

  it('caches idempotent operations only', async () => {
    const transport = scripted(() => level)
    const inventory = createProxy(Inventory, {
      transport,
      operations: { stock: { cache: { key: ({ sku }) => sku, ttlMs: 1_000 } } },
    })
    await inventory.stock({ sku: 'A' })
    expect(await inventory.stock.detailed({ sku: 'A' })).toMatchObject({ from: 'cache' })
    expect(transport.calls.length).toBe(1)
    const cached = { operations: { release: { cache: { key: () => 'k', ttlMs: 1 } } } }
    expect(thrown(() => createProxy(Inventory, { transport, ...cached }))).toMatchObject({
      code: 'INVALID_OPTIONS',
      details: { option: 'operations.release.cache' },
    })
  })

  it('gets pick and resolver of the transport', async () => {
    const order: string[] = []
    const resolver = {
      service: 'inventory',
      acquire: () => undefined as never,
      untried: () => 0,
      refresh() {},
      async close() {},
    }
    const transport = {
      ...scripted((_, context) => {
        order.push('transport')
        expect(context.resolver).toBe(resolver)
        return level
      }),
      pick: (service: string) => (next: any) => (request: any, context: any) => {
        order.push(`pick ${service}`)
        return next(request, context)
      },
      resolver: () => resolver,
    }
    await createProxy(Inventory, { transport }).stock({ sku: 'x' })
    expect(order).toEqual(['pick inventory', 'transport'])
  })

  it('is described', () => {
    const description = describeBuilt<any>(
      createProxy(Inventory, {
        transport: scripted(() => level),
        operations: { stock: { deadlineMs: 7, fallback: [value({ level: 1 })] } },
      }),
    )
    expect(description).toMatchObject({ what: 'proxy', name: 'inventory', transport: 'scripted' })
    expect(description.operations.stock).toMatchObject({ idempotent: true, deadlineMs: 7 })
    expect(description.operations.stock.layers.map(({ layer }: { layer: string }) => layer)).toEqual([
      'telemetry',
      'deadline',
      'fallback',
      'retry',
      'circuit-breaker',
      'attempt-timeout',
      'bulkhead',
    ])
    expect(description.operations.reserve.layers.map(({ layer }: { layer: string }) => layer)).not.toContain('fallback')
  })

  it('classifies what a transport throws', async () => {
    const odd = {
      then: (_: unknown, reject: (error: unknown) => void) => {
        reject('first')
        reject('second')
      },
    }
    const inventory = createProxy(Inventory, {
      transport: { name: 'odd', invoke: () => odd as never, async close() {} },
      retry: false,
    })
    expect(await rejection(inventory.stock({ sku: 'x' }))).toMatchObject({
      code: 'CALL_FAILED',
      cause: 'first',
      transport: 'odd',
      service: 'inventory',
      operation: 'stock',
      attempt: 1,
    })
  })
})

describe('per-call options', () => {
  it.each([
    [{ deadlineMs: -1 }, 'deadlineMs'],
    [{ deadlineMs: Number.NaN }, 'deadlineMs'],
    [{ deadlineMs: Infinity }, 'deadlineMs'],
    [{ signal: {} }, 'signal'],
    [{ timeoutMs: 5 }, 'options.timeoutMs'],
    [{ headers: [['a', 'b']] }, 'headers'],
    [{ idempotencyKey: '' }, 'idempotencyKey'],
    [5, 'options'],
  ])('%j are refused, and nothing is sent', async (options, option) => {
    const transport = scripted(() => level)
    const inventory = createProxy(Inventory, { transport })
    expect(await rejection(inventory.stock({ sku: 'x' }, options as never))).toMatchObject({
      code: 'INVALID_OPTIONS',
      details: { option },
    })
    expect(transport.calls).toEqual([])
  })

  it('are kept by `with`', async () => {
    const transport = scripted(() => level)
    const inventory = createProxy(Inventory, { transport })
    const mine = inventory.stock.with({ headers: { tenant: 't' } })
    await mine({ sku: 'x' })
    expect(await mine.result({ sku: 'x' })).toEqual({ ok: true, value: { level: 5 } })
    expect(transport.calls.map(({ context }) => context.headers)).toEqual([{ tenant: 't' }, { tenant: 't' }])
    expect(thrown(() => inventory.stock.with({ nonsense: 1 } as never))).toMatchObject({ code: 'INVALID_OPTIONS' })
  })

  it('cancel', async () => {
    const controller = new AbortController()
    const transport = scripted((_, context) => new Promise((_resolve, reject) => context.onAbort(reject)))
    const call = rejection(createProxy(Inventory, { transport }).stock({ sku: 'x' }, { signal: controller.signal }))
    controller.abort(new Error('bored'))
    expect(await call).toMatchObject({ code: 'CANCELLED', cause: { message: 'bored' } })
  })
})

describe('the object', () => {
  const inventory = createProxy(Inventory, { transport: scripted(() => level) })

  it('is no thenable, so that it can be awaited and returned', async () => {
    expect(await inventory).toBe(inventory)
  })

  it('is frozen and has nothing of Object', () => {
    expect(Object.isFrozen(inventory) && Object.isFrozen(inventory.stock)).toBe(true)
    expect(Object.keys(inventory)).toEqual(['stock', 'reserve', 'release', 'ping'])
    for (const name of ['constructor', '__proto__', 'toString', 'hasOwnProperty', 'prototype'])
      expect(Object.hasOwn(inventory, name)).toBe(false)
    expect((inventory as any).constructor).toBeUndefined()
    expect('foo' in inventory).toBe(false)
  })

  it.each(['stok', 'hasOwnProperty', '__proto__', 'isPrototypeOf'])('says of %s that it is no operation', (name) => {
    expect(thrown(() => (inventory as any)[name])).toMatchObject({
      code: 'UNKNOWN_OPERATION',
      kind: 'invalid',
      operation: name,
      message: expect.stringContaining('stock, reserve'),
    })
  })

  it('can be printed and compared by tools', () => {
    expect(() => JSON.stringify({ inventory })).not.toThrow()
    expect(() => expect(inventory).toEqual(inventory)).not.toThrow()
    expect(inspect(inventory)).toContain('reserve')
    expect(format('%s %o %O %j', inventory, inventory, inventory, inventory)).toContain('reserve')
    expect(() => inspect(new Error('x', { cause: inventory }))).not.toThrow()
    expect(isDeepStrictEqual(inventory, createProxy(Inventory, { transport: scripted(() => level) }))).toBe(false)
  })
})

describe('closing', () => {
  it('refuses what comes, and waits for what is under way', async () => {
    let answer: (reply: { output: unknown }) => void = () => {}
    const transport = scripted(() => new Promise((resolve) => (answer = resolve)))
    const inventory = createProxy(Inventory, { transport })
    const underWay = inventory.stock({ sku: 'x' })
    let closed = false
    const closing = close(inventory).then(() => (closed = true))
    expect(await rejection(inventory.stock({ sku: 'x' }))).toMatchObject({
      code: 'SHUTDOWN',
      kind: 'rejected',
      effect: 'none',
    })
    expect(await inventory.stock.result({ sku: 'x' })).toMatchObject({ ok: false, error: { code: 'SHUTDOWN' } })
    expect(closed).toBe(false)
    answer(level)
    expect(await underWay).toEqual({ level: 5 })
    await closing
    await close(inventory)
    await inventory[Symbol.asyncDispose]()
    expect(transport.calls.length).toBe(1)
  })

  it('leaves room for an operation called close', async () => {
    const proxy = createProxy(defineContract('door', { close: {} }), {
      transport: scripted(() => ({ output: undefined })),
    })
    await proxy.close()
    await close(proxy)
    expect(await rejection(proxy.close())).toMatchObject({ code: 'SHUTDOWN' })
  })
})

describe('options', () => {
  it.each([
    [{}, 'transport'],
    [{ transport: {} }, 'transport'],
    [{ transport: scripted(() => level), deadline: 5 }, 'createProxy.deadline'],
    [{ transport: scripted(() => level), deadlineMs: -5 }, 'deadlineMs'],
    [{ transport: scripted(() => level), operations: { stok: {} } }, 'operations.stok'],
    [{ transport: scripted(() => level), operations: { stock: { retry: {} } } }, 'operations.stock.retry'],
    [
      { transport: scripted(() => level), operations: { stock: { deadlineMs: Infinity } } },
      'operations.stock.deadlineMs',
    ],
    [{ transport: scripted(() => level), validateInput: 'no' }, 'validateInput'],
  ])('%# are refused', (options, option) => {
    expect(thrown(() => createProxy(Inventory, options as never))).toMatchObject({
      code: 'INVALID_OPTIONS',
      details: { option },
    })
  })
})

describe('a stream', () => {
  const Feed = defineContract('feed', {
    tail: {
      http: 'GET /tail',
      streaming: 'server',
      output: z.object({ n: z.number() }),
      failures: { gone: z.object({ at: z.number() }) },
    },
    push: {
      streaming: 'client',
      input: z.object({ n: z.number() }),
      output: z.object({ count: z.number() }),
      idempotent: true,
    },
  })
  const items = async function* (...list: unknown[]): AsyncGenerator<unknown> {
    for (const item of list) {
      if (item instanceof Error) throw item
      yield item
    }
  }

  it('is never voted on: quorum leaves operations alone that stream', async () => {
    const feed = createProxy(Feed, {
      transport: scripted(() => ({ output: items({ n: 1 }) })),
      quorum: { of: 3 },
    })
    const seen: unknown[] = []
    for await (const item of await feed.tail()) seen.push(item)
    expect(seen).toEqual([{ n: 1 }])
    const { operations } = describeBuilt(feed) as unknown as {
      operations: Record<string, { layers: { layer: string }[] }>
    }
    expect(operations['tail']?.layers.map(({ layer }) => layer)).not.toContain('quorum')
  })

  it('of answers is validated item by item', async () => {
    const feed = createProxy(Feed, {
      transport: scripted(() => ({ output: items({ n: 1, more: 1 }, { n: 2 }, { n: 'x' }, { n: 3 }) })),
    })
    const seen: unknown[] = []
    const error = await rejection(
      (async () => {
        for await (const item of await feed.tail()) seen.push(item)
      })(),
    )
    expect(seen).toEqual([{ n: 1 }, { n: 2 }])
    expect(error).toMatchObject({ code: 'REPLY_INVALID', service: 'feed', operation: 'tail' })
  })

  it('of answers that fails does so in the words of the taxonomy', async () => {
    const lost = Object.assign(new Error('x'), { code: 'ECONNRESET' })
    const feed = createProxy(Feed, { transport: scripted(() => ({ output: items({ n: 1 }, lost) })) })
    const iterator = (await feed.tail())[Symbol.asyncIterator]()
    expect((await iterator.next()).value).toEqual({ n: 1 })
    expect(await rejection(iterator.next() as Promise<unknown>)).toMatchObject({
      code: 'CONNECTION_LOST',
      service: 'feed',
      transport: 'scripted',
    })
    expect(await iterator.next()).toEqual({ done: true, value: undefined })
  })

  it('of answers that is left tells the transport', async () => {
    let left = false
    const source = async function* (): AsyncGenerator<unknown> {
      try {
        for (let n = 0; ; n++) yield { n }
      } finally {
        left = true
      }
    }
    const feed = createProxy(Feed, { transport: scripted(() => ({ output: source() })) })
    for await (const { n } of await feed.tail()) if (n === 2) break
    expect(left).toBe(true)
  })

  it('of answers that is left before its first item tells the transport', async () => {
    let left = 0
    const source = {
      next: async () => ({ done: false, value: { n: 1 } }),
      return: async () => {
        left++
        return { done: true, value: undefined }
      },
      [Symbol.asyncIterator]() {
        return this
      },
    }
    const feed = createProxy(Feed, { transport: scripted(() => ({ output: source })) })
    const iterator = (await feed.tail())[Symbol.asyncIterator]()
    await iterator.return?.()
    expect([left, await iterator.next()]).toEqual([1, { done: true, value: undefined }])
    for await (const _ of await feed.tail()) break
    expect(left).toBe(2)
  })

  it('of answers says of its errors which attempt they belong to, and how long it took', async () => {
    const clock = fakeClock()
    const facts = { service: 'feed', operation: 'tail', transport: 'scripted', attempt: 1, elapsedMs: 30 }
    const endings = [
      { n: 'x' },
      Object.assign(new Error('x'), { code: 'ECONNRESET' }),
      new FailureAnswer('gone', { at: 1 }),
    ]
    for (const ending of endings) {
      const source = async function* (): AsyncGenerator<unknown> {
        if (ending instanceof Error || ending instanceof FailureAnswer) throw ending
        yield ending
      }
      const feed = createProxy(Feed, { clock, transport: scripted(() => ({ output: source() })) })
      const items = await feed.tail()
      await clock.advance(30)
      expect(await rejection(items[Symbol.asyncIterator]().next() as Promise<unknown>)).toMatchObject(facts)
    }
  })

  it('of the caller that breaks its schema on the way does not claim that nothing was sent', async () => {
    const seen: unknown[] = []
    const transport = scripted(async (input) => {
      for await (const item of input as AsyncIterable<unknown>) seen.push(item)
      return { output: { count: 1 } }
    })
    const feed = createProxy(Feed, { transport, retry: false })
    const error = await rejection(feed.push([{ n: 1 }, { n: 'x' }] as never))
    expect(error).toMatchObject({ code: 'INVALID_INPUT', effect: 'unknown' })
    expect((error as Error).message).not.toContain('nothing was sent')
    expect(seen).toEqual([{ n: 1 }])
  })

  it('of answers ends by the signal of the call', async () => {
    const controller = new AbortController()
    const hanging = async function* (): AsyncGenerator<unknown> {
      yield { n: 1 }
      await new Promise(() => {})
    }
    const feed = createProxy(Feed, { transport: scripted(() => ({ output: hanging() })) })
    const iterator = (await feed.tail(undefined, { signal: controller.signal }))[Symbol.asyncIterator]()
    await iterator.next()
    const waiting = rejection(iterator.next() as Promise<unknown>)
    controller.abort('enough')
    expect(await waiting).toMatchObject({ code: 'CANCELLED', cause: 'enough' })
  })

  it('of the caller is validated, sent as it comes, and an array can be sent again', async () => {
    const sent: unknown[][] = []
    const transport = scripted(async (input) => {
      const batch: unknown[] = []
      sent.push(batch)
      for await (const item of input as AsyncIterable<unknown>) batch.push(item)
      if (sent.length === 1) throw Object.assign(new Error('x'), { code: 'ECONNRESET' })
      return { output: { count: batch.length } }
    })
    const feed = createProxy(Feed, { transport, random: () => 0, clock: fakeClock() })
    expect(await feed.push([{ n: 1 }, { n: 2 }])).toEqual({ count: 2 })
    expect(sent).toEqual([
      [{ n: 1 }, { n: 2 }],
      [{ n: 1 }, { n: 2 }],
    ])
    sent.length = 0
    expect(await rejection(feed.push(items({ n: 1 }) as never))).toMatchObject({ code: 'NOT_REPLAYABLE' })
    expect(await rejection(feed.push([{ n: 'x' }] as never))).toMatchObject({ code: 'INVALID_INPUT' })
    expect(await rejection(feed.push(5 as never))).toMatchObject({ code: 'INVALID_INPUT' })
  })

  it('takes no cache, fallback or coalescing', () => {
    const transport = scripted(() => level)
    expect(thrown(() => createProxy(Feed, { transport, operations: { tail: { fallback: [] } } }))).toMatchObject({
      details: { option: 'operations.tail.fallback' },
    })
  })
})

it('an error of the transport that is ours already stays the same', async () => {
  const own = createError({ code: 'UNAVAILABLE', retryAfterMs: 5, service: 'inventory', operation: 'stock' })
  const inventory = createProxy(Inventory, { transport: scripted(() => Promise.reject(own)), retry: false })
  expect(await rejection(inventory.stock({ sku: 'x' }))).toBe(own)
})
