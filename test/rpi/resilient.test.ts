import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { withInherited } from '../../src/core/async-context.ts'
import { deadlineIn } from '../../src/core/deadline.ts'
import { describe as describeBuilt } from '../../src/core/describe.ts'
import { isFairleadError } from '../../src/errors/base.ts'
import { createError } from '../../src/errors/classes.ts'
import { call, lastGood, value } from '../../src/policies/fallback.ts'
import { createProxy, defineContract, isFailure, resilient } from '../../src/rpi/index.ts'
import { fakeClock } from '../../src/testing/fake-clock.ts'
import { rejection, thrown } from './shop.ts'

describe('the name', () => {
  it.each([
    ['inventory.stock', 'inventory', 'stock'],
    ['eu.west.inventory.stock', 'eu.west.inventory', 'stock'],
    ['inventory', 'inventory', 'call'],
  ])('%s is service %s, operation %s', async (name, service, operation) => {
    const seen: string[] = []
    await resilient(name, async (context) => {
      seen.push(context.service, context.operation)
    })()
    expect(seen).toEqual([service, operation])
  })

  it.each(['', '.', 'inventory.', '.stock'])('%j is refused', (name) => {
    expect(thrown(() => resilient(name, async () => 1))).toMatchObject({
      code: 'INVALID_OPTIONS',
      details: { option: 'name' },
    })
  })

  it('is that of the function', () => {
    expect(resilient('inventory.stock', async () => 1).name).toBe('inventory.stock')
  })
})

describe('the function', () => {
  it('gets the context first and the arguments as they were given', async () => {
    const stock = resilient('inventory.stock', async ({ attempt }, sku: string, ...more: number[]) => [
      attempt,
      sku,
      ...more,
    ])
    expect(await stock('A-1', 1, 2)).toEqual([1, 'A-1', 1, 2])
  })

  it('may throw synchronously', async () => {
    const broken = resilient('a.b', () => {
      throw Object.assign(new Error('nope'), { code: 'ECONNREFUSED' })
    })
    expect(await rejection(broken())).toMatchObject({
      code: 'CONNECTION_REFUSED',
      service: 'a',
      operation: 'b',
      effect: 'none',
    })
  })

  it('may return what is no promise', async () => {
    expect(await resilient('a.b', (_, n: number) => n + 1)(1)).toBe(2)
  })

  it('may return a thenable that settles twice', async () => {
    const twice = {
      then(resolve: (value: string) => void, reject: (error: unknown) => void) {
        resolve('first')
        resolve('second')
        reject(new Error('third'))
      },
    }
    expect(await resilient('a.b', () => twice as PromiseLike<string>)()).toBe('first')
    const failsFirst = {
      then(resolve: (value: string) => void, reject: (error: unknown) => void) {
        reject(new Error('first'))
        resolve('second')
        throw new Error('third')
      },
    }
    expect(await rejection(resilient('a.b', () => failsFirst as PromiseLike<string>)())).toMatchObject({
      code: 'CALL_FAILED',
      cause: { message: 'first' },
    })
  })

  it.each([['text'], [42], [null], [undefined], [{ odd: true }], [Symbol('odd')]])(
    'may throw what is no Error: %s',
    async (what) => {
      const error = await rejection(
        resilient('a.b', async () => {
          throw what
        })(),
      )
      expect(isFairleadError(error)).toBe(true)
      expect(error).toMatchObject({ code: 'CALL_FAILED', effect: 'unknown', service: 'a', operation: 'b' })
      expect(error.cause).toBe(what)
    },
  )

  it('is called once where no retry was asked for', async () => {
    let calls = 0
    const failing = resilient('a.b', async () => {
      calls++
      throw Object.assign(new Error('x'), { code: 'ECONNREFUSED' })
    })
    await rejection(failing())
    expect(calls).toBe(1)
  })

  it('is repeated where it is idempotent, and where surely nothing was done', async () => {
    const count = async (idempotent: boolean, code: string): Promise<number> => {
      let calls = 0
      const clock = fakeClock()
      const failing = resilient(
        'a.b',
        async () => {
          calls++
          throw Object.assign(new Error('x'), { code })
        },
        { idempotent, retry: { attempts: 3 }, clock, random: () => 0 },
      )
      await rejection(failing())
      return calls
    }
    expect(await count(true, 'ECONNRESET')).toBe(3)
    expect(await count(false, 'ECONNRESET')).toBe(1)
    expect(await count(false, 'ECONNREFUSED')).toBe(3)
  })

  it('sees its signal aborted by the attempt timeout', async () => {
    const clock = fakeClock()
    let reason: unknown
    const hanging = resilient(
      'a.b',
      ({ signal }) =>
        new Promise((_, reject) => {
          signal.addEventListener('abort', () => {
            reason = signal.reason
            reject(signal.reason)
          })
        }),
      { attemptTimeoutMs: 200, clock },
    )
    const error = rejection(hanging())
    await clock.advance(200)
    expect(await error).toMatchObject({ code: 'ATTEMPT_TIMEOUT', kind: 'timing' })
    expect(reason).toBe(await error)
  })
})

describe('classify of the user', () => {
  class Busy extends Error {}

  it('names a code', async () => {
    const busy = resilient(
      'a.b',
      async () => {
        throw new Busy('try later')
      },
      { classify: (error) => (error instanceof Busy ? 'TOO_MANY_REQUESTS' : undefined) },
    )
    expect(await rejection(busy())).toMatchObject({
      code: 'TOO_MANY_REQUESTS',
      effect: 'none',
      service: 'a',
      cause: expect.any(Busy),
    })
  })

  it('gives a whole error', async () => {
    const busy = resilient('a.b', () => Promise.reject(new Busy()), {
      classify: () => createError({ code: 'UNAVAILABLE', retryAfterMs: 7 }),
    })
    expect(await rejection(busy())).toMatchObject({ code: 'UNAVAILABLE', retryAfterMs: 7, operation: 'b' })
  })

  it.each([
    ['leaves it', () => undefined],
    [
      'throws',
      () => {
        throw new Error('in classify')
      },
    ],
    ['gives nonsense', () => 'NO_SUCH_CODE' as never],
  ])('that %s changes nothing', async (_, classify) => {
    const failing = resilient('a.b', () => Promise.reject(Object.assign(new Error('x'), { code: 'ECONNRESET' })), {
      classify,
    })
    expect(await rejection(failing())).toMatchObject({ code: 'CONNECTION_LOST' })
  })
})

describe('per-call options', () => {
  it('tighten the deadline', async () => {
    const clock = fakeClock()
    const hanging = resilient('a.b', () => new Promise(() => {}), { clock, deadlineMs: 2_000 })
    const error = rejection(hanging.with({ deadlineMs: 300 })())
    await clock.advance(300)
    expect(await error).toMatchObject({ code: 'DEADLINE_EXCEEDED' })
  })

  it('carry the way to give up', async () => {
    const controller = new AbortController()
    const hanging = resilient('a.b', () => new Promise(() => {}))
    const error = rejection(hanging.with({ signal: controller.signal })())
    controller.abort('bored')
    expect(await error).toMatchObject({ code: 'CANCELLED', kind: 'cancelled', cause: 'bored' })
    expect(await rejection(hanging.with({ signal: controller.signal })())).toMatchObject({
      code: 'CANCELLED',
      effect: 'none',
    })
  })

  it('reach the function', async () => {
    const tell = resilient('a.b', async ({ headers, idempotencyKey, idempotent }) => ({
      headers,
      idempotencyKey,
      idempotent,
    }))
    expect(await tell.with({ headers: { 'x-a': '1' }, idempotencyKey: 'k' })()).toEqual({
      headers: { 'x-a': '1' },
      idempotencyKey: 'k',
      idempotent: true,
    })
  })

  it.each([-1, 0, Number.NaN, Infinity, '5' as never])('deadlineMs %s is refused', async (deadlineMs) => {
    let calls = 0
    const counted = resilient('a.b', async () => ++calls)
    expect(await rejection(counted.with({ deadlineMs })())).toMatchObject({
      code: 'INVALID_OPTIONS',
      details: { option: 'deadlineMs' },
    })
    expect(calls).toBe(0)
  })

  it('with a misspelt name are refused', () => {
    expect(thrown(() => resilient('a.b', async () => 1).with({ deadlineMS: 3 } as never))).toMatchObject({
      code: 'INVALID_OPTIONS',
      details: { option: 'options.deadlineMS' },
    })
  })

  it('leave no listener behind on a long-lived signal', async () => {
    const controller = new AbortController()
    let listening = 0
    const { signal } = controller
    const add = signal.addEventListener.bind(signal)
    const remove = signal.removeEventListener.bind(signal)
    signal.addEventListener = ((...args: Parameters<typeof add>) => {
      listening++
      return add(...args)
    }) as never
    signal.removeEventListener = ((...args: Parameters<typeof remove>) => {
      listening--
      return remove(...args)
    }) as never
    const quick = resilient('a.b', async () => 1).with({ signal })
    for (let index = 0; index < 10; index++) await quick()
    expect(listening).toBe(0)
  })
})

describe('detailed', () => {
  it('says where the answer came from', async () => {
    const clock = fakeClock()
    let fails = false
    const stock = resilient(
      'inventory.stock',
      async (_, sku: string) => {
        if (fails) throw Object.assign(new Error('down'), { code: 'ECONNREFUSED' })
        return { level: sku.length as number | 'unknown' }
      },
      { clock, fallback: [lastGood({ maxAgeMs: 60_000 }), value({ level: 'unknown' })] },
    )
    expect(await stock.detailed('A-1')).toEqual({ value: { level: 3 }, from: 'call' })
    fails = true
    await clock.advance(1_000)
    expect(await stock.detailed('A-1')).toMatchObject({
      value: { level: 3 },
      from: 'lastGood',
      ageMs: 1_000,
      error: { code: 'CONNECTION_REFUSED' },
    })
    expect(await stock.detailed('A-22')).toMatchObject({ value: { level: 'unknown' }, from: 'value' })
    expect(await stock.with({ deadlineMs: 10 }).detailed('A-1')).toMatchObject({ from: 'lastGood' })
  })

  it('gives functions of a fallback the arguments', async () => {
    const stock = resilient('a.b', (_, sku: string): Promise<string> => Promise.reject(new Error(sku)), {
      fallback: [call(([sku]: readonly [string], _, error) => `${sku} instead of ${error.code}`)],
    })
    expect(await stock.detailed('A-1')).toMatchObject({ value: 'A-1 instead of CALL_FAILED', from: 'fallback' })
  })

  it('says so of a cached answer, which is per key', async () => {
    let calls = 0
    const stock = resilient('a.b', async (_, sku: string) => `${sku}-${++calls}`, {
      cache: { key: ([sku]) => sku, ttlMs: 1_000 },
    })
    expect(await stock.detailed('x')).toEqual({ value: 'x-1', from: 'call' })
    expect(await stock.detailed('x')).toMatchObject({ value: 'x-1', from: 'cache' })
    expect(await stock('y')).toBe('y-2')
  })

  it('rejects as the call does', async () => {
    expect(await rejection(resilient('a.b', () => Promise.reject(new Error('x'))).detailed())).toMatchObject({
      code: 'CALL_FAILED',
    })
  })
})

describe('result', () => {
  it('is never thrown', async () => {
    const flip = resilient('a.b', async (_, good: boolean) => {
      if (!good) throw new Error('bad')
      return 1
    })
    expect(await flip.result(true)).toEqual({ ok: true, value: 1 })
    expect(await flip.result(false)).toMatchObject({ ok: false, error: { code: 'CALL_FAILED' } })
    expect(await flip.with({ deadlineMs: -1 }).result(true)).toMatchObject({
      ok: false,
      error: { code: 'INVALID_OPTIONS' },
    })
  })

  it('carries refusals', async () => {
    const hanging = resilient('a.b', () => new Promise(() => {}), { maxOutstanding: 1, clock: fakeClock() })
    void hanging.result()
    expect(await hanging.result()).toMatchObject({ ok: false, error: { code: 'OUTSTANDING_LIMIT', refusedBy: 'self' } })
    const open = resilient('a.b', async () => 1)
    open.circuitBreaker?.forceOpen()
    expect(await open.result()).toMatchObject({ ok: false, error: { code: 'CIRCUIT_ISOLATED' } })
  })
})

describe('what is inherited', () => {
  it('is a sooner deadline, headers and the signal', async () => {
    const clock = fakeClock()
    const controller = new AbortController()
    const deadline = deadlineIn(100, clock)
    const tell = resilient('a.b', async (context) => [context.deadline.at, context.headers], { clock })
    await withInherited({ deadline, headers: { traceparent: 't' }, signal: controller.signal }, async () => {
      expect(await tell()).toEqual([100, { traceparent: 't' }])
      controller.abort()
      expect(await rejection(tell())).toMatchObject({ code: 'CANCELLED' })
    })
  })
})

describe('options', () => {
  it('need idempotent to be stated with retry, at run time too', () => {
    expect(thrown(() => resilient('a.b', async () => 1, { retry: {} } as never))).toMatchObject({
      code: 'INVALID_OPTIONS',
      details: { option: 'idempotent' },
    })
    expect(() => resilient('a.b', async () => 1, { retry: false })).not.toThrow()
    expect(() => resilient('a.b', async () => 1, { retry: {}, idempotent: false })).not.toThrow()
  })

  it.each([
    [{ deadlineMs: -1 }, 'deadlineMs'],
    [{ deadlineMs: Number.NaN }, 'deadlineMs'],
    [{ attemptTimeoutMs: Infinity }, 'attemptTimeoutMs'],
    [{ timeout: 5 }, 'resilient.timeout'],
    [{ classify: 'X' }, 'classify'],
    [{ idempotent: 'yes' }, 'idempotent'],
    [{ fallback: [{}] }, 'fallback[0]'],
    [{ fallback: 3 }, 'fallback'],
    [{ cache: { ttlMs: 5 } }, 'cache.key'],
    [null, 'options'],
  ])('%j are refused', (options, option) => {
    expect(thrown(() => resilient('a.b', async () => 1, options as never))).toMatchObject({
      code: 'INVALID_OPTIONS',
      details: { option },
    })
  })

  it('and the function are checked', () => {
    expect(thrown(() => resilient('a.b', 'fn' as never))).toMatchObject({
      code: 'INVALID_OPTIONS',
      details: { option: 'fn' },
    })
  })
})

it('describes what it is made of', () => {
  const built = resilient('inventory.stock', async () => 1, {
    idempotent: true,
    retry: {},
    fallback: [value(2)],
    deadlineMs: 700,
  })
  const description = describeBuilt<{ what: string; name: string; deadlineMs: number; layers: { layer: string }[] }>(
    built,
  )
  expect(description).toMatchObject({ what: 'resilient', name: 'inventory.stock', deadlineMs: 700, idempotent: true })
  expect(description.layers.map(({ layer }) => layer)).toEqual([
    'telemetry',
    'deadline',
    'fallback',
    'retry',
    'circuit-breaker',
    'attempt-timeout',
    'bulkhead',
  ])
})

describe('a proxy inside a wrapped function', () => {
  const Shop = defineContract('shop', {
    buy: { failures: { soldOut: z.object({ left: z.number() }) } },
    look: {},
  })
  const transport = {
    name: 'here',
    invoke: async () => ({ output: { left: 2 }, failure: 'soldOut' }),
    async close() {},
  }

  it('keeps its declared failures recognisable', async () => {
    const shop = createProxy(Shop, { transport })
    const order = resilient('orders.place', () => shop.buy())
    const error = await rejection(order())
    expect(error).toMatchObject({ service: 'orders', operation: 'place', details: { left: 2 } })
    expect(isFailure(error, Shop, 'buy', 'soldOut')).toBe(true)
    expect(isFailure(error, Shop, 'look', 'soldOut' as never)).toBe(false)
  })
})

describe('the last good answer of somebody', () => {
  it.each(['authorization', 'Cookie'])(
    'is not given to somebody else: a call with %s is not kept without a key',
    async (name) => {
      let up = true
      const me = resilient(
        'users.me',
        async ({ headers }) => {
          if (!up) throw Object.assign(new Error('gone'), { code: 'ECONNREFUSED' })
          return headers[name]
        },
        { fallback: [lastGood()] },
      )
      expect(await me.with({ headers: { [name]: 'ada' } })()).toBe('ada')
      up = false
      expect(await rejection(me.with({ headers: { [name]: 'bob' } })())).toMatchObject({ code: 'CONNECTION_REFUSED' })
      expect(await rejection(me())).toMatchObject({ code: 'CONNECTION_REFUSED' })
    },
  )
})
