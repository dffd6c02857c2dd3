import { type } from 'arktype'
import * as v from 'valibot'
import { describe, expectTypeOf, it } from 'vitest'
import { z } from 'zod'
import type { RpiTransport } from '../../src/core/contracts/rpi.ts'
import type { FairleadError } from '../../src/errors/base.ts'
import { lastGood, value } from '../../src/policies/fallback.ts'
import {
  type CallResult,
  createProxy,
  createServerAdapter,
  type Detailed,
  defineContract,
  type HandlerContext,
  isFailure,
} from '../../src/rpi/index.ts'

declare const transport: RpiTransport

const Shop = defineContract('shop', {
  reserve: {
    http: 'POST /reservations',
    idempotent: true,
    input: z.object({
      sku: z.string(),
      quantity: z.number(),
      when: z.string().transform((text) => new Date(text)),
      note: z.string().default(''),
    }),
    output: z.object({ reservationId: z.string() }),
    failures: {
      outOfStock: z.object({ left: z.number() }),
      gone: { schema: z.object({ at: z.string().transform(Number) }), status: 410 },
    },
  },
  release: { http: 'DELETE /reservations/:id', input: v.object({ id: v.string() }) },
  optional: { http: 'GET /optional', input: z.object({ n: z.number() }).optional(), output: v.string() },
  level: { http: 'GET /level/:sku', input: type({ sku: 'string' }), output: type({ level: 'number' }) },
  ping: {},
  tail: { http: 'GET /tail', streaming: 'server', output: z.object({ n: z.number() }) },
  push: { streaming: 'client', input: z.object({ n: z.number() }), output: z.number() },
  both: { streaming: 'both', input: z.string(), output: z.number() },
})

type Sent = { sku: string; quantity: number; when: string; note?: string | undefined }

describe('a proxy', () => {
  const shop = createProxy(Shop, { transport })

  it('takes what the schema takes, and gives what it gives', () => {
    expectTypeOf(shop.reserve).parameter(0).toEqualTypeOf<Sent>()
    expectTypeOf(shop.reserve).returns.toEqualTypeOf<Promise<{ reservationId: string }>>()
    expectTypeOf(shop.release({ id: 'x' })).toEqualTypeOf<Promise<void>>()
    expectTypeOf(shop.level({ sku: 'x' })).toEqualTypeOf<Promise<{ level: number }>>()
    expectTypeOf(shop.ping()).toEqualTypeOf<Promise<void>>()
    expectTypeOf(shop.optional()).toEqualTypeOf<Promise<string>>()
    shop.ping(undefined, { deadlineMs: 5 })
    shop.level({ sku: 'x' }, { signal: undefined, deadlineMs: undefined })
  })

  it('has detailed, result and with', async () => {
    expectTypeOf(shop.level.detailed({ sku: 'x' })).toEqualTypeOf<Promise<Detailed<{ level: number }>>>()
    expectTypeOf(shop.level.result({ sku: 'x' })).toEqualTypeOf<Promise<CallResult<{ level: number }>>>()
    expectTypeOf(shop.level.with({ deadlineMs: 5 })({ sku: 'x' })).toEqualTypeOf<Promise<{ level: number }>>()
    expectTypeOf(shop.level.with({}).result({ sku: 'x' })).toEqualTypeOf<Promise<CallResult<{ level: number }>>>()
  })

  it('streams', () => {
    expectTypeOf(shop.tail()).toEqualTypeOf<Promise<AsyncIterable<{ n: number }>>>()
    expectTypeOf(shop.push([{ n: 1 }])).toEqualTypeOf<Promise<number>>()
    expectTypeOf(shop.both(['x'])).toEqualTypeOf<Promise<AsyncIterable<number>>>()
    // @ts-expect-error items are objects with n
    shop.push([{ n: 'x' }])
    // @ts-expect-error a stream is wanted
    shop.push({ n: 1 })
  })

  it('does not compile when used wrongly', () => {
    // @ts-expect-error no such operation
    shop.reserv({ sku: 'A', quantity: 1, when: '' })
    // @ts-expect-error quantity is a number
    shop.reserve({ sku: 'A', quantity: '1', when: '' })
    // @ts-expect-error sku is missing
    shop.reserve({ quantity: 1, when: '' })
    // @ts-expect-error an input is wanted
    shop.reserve()
    // @ts-expect-error there is no input
    shop.ping({ a: 1 })
    // @ts-expect-error no such option
    shop.level({ sku: 'x' }, { timeout: 5 })
    // @ts-expect-error `with` has taken the options
    shop.level.with({})({ sku: 'x' }, { deadlineMs: 5 })
  })

  it('checks its options', () => {
    createProxy(Shop, {
      transport,
      deadlineMs: 5,
      retry: false,
      operations: {
        level: {
          fallback: [lastGood(), value({ level: 0 })],
          cache: { key: ({ sku }) => sku, ttlMs: 5 },
          deadlineMs: 7,
        },
      },
    })
    // @ts-expect-error the transport is missing
    createProxy(Shop, {})
    // @ts-expect-error no such operation
    createProxy(Shop, { transport, operations: { levle: {} } })
    // @ts-expect-error level is a number
    createProxy(Shop, { transport, operations: { level: { fallback: [value({ level: 'x' })] } } })
    // @ts-expect-error no such option
    createProxy(Shop, { transport, timeoutMs: 5 })
  })
})

it('isFailure narrows', () => {
  const error: unknown = undefined
  if (isFailure(error, Shop, 'reserve', 'outOfStock')) {
    expectTypeOf(error.details).toEqualTypeOf<{ left: number }>()
    expectTypeOf(error.failure).toEqualTypeOf<'outOfStock'>()
    expectTypeOf(error).toExtend<FairleadError>()
  } else if (isFailure(error, Shop, 'reserve', 'gone')) expectTypeOf(error.details).toEqualTypeOf<{ at: number }>()
  // @ts-expect-error no such failure
  isFailure(error, Shop, 'reserve', 'soldOut')
  // @ts-expect-error no failures there
  isFailure(error, Shop, 'ping', 'outOfStock')
  // @ts-expect-error no such operation
  isFailure(error, Shop, 'reserv', 'outOfStock')
})

describe('handlers', () => {
  it('get what the schema gives, and return what it takes', () => {
    createServerAdapter(Shop, {
      reserve: async (input, context) => {
        expectTypeOf(input).toEqualTypeOf<{ sku: string; quantity: number; when: Date; note: string }>()
        expectTypeOf(context.signal).toEqualTypeOf<AbortSignal>()
        expectTypeOf(context.idempotencyKey).toEqualTypeOf<string | undefined>()
        if (input.quantity > 5) return context.fail('outOfStock', { left: 5 })
        // @ts-expect-error `at` is sent as a string
        if (input.quantity > 4) context.fail('gone', { at: 5 })
        // @ts-expect-error no such failure
        if (input.quantity > 3) context.fail('soldOut', {})
        // @ts-expect-error the data are missing
        if (input.quantity > 2) context.fail('outOfStock')
        return { reservationId: 'x' }
      },
      release: ({ id }) => expectTypeOf(id).toEqualTypeOf<string>() as never,
      optional: (input) => String(input?.n),
      level: () => ({ level: 1 }),
      ping: (input) => expectTypeOf(input).toEqualTypeOf<undefined>() as never,
      async *tail() {
        yield { n: 1 }
      },
      push: async (items) => {
        let sum = 0
        for await (const { n } of items) sum += n
        return sum
      },
      async *both(items) {
        for await (const item of items) yield item.length
      },
    })
    expectTypeOf<HandlerContext<{ failures: { a: z.ZodString } }>['fail']>().toBeFunction()
  })

  it('do not compile when they are wrong, missing or too many', () => {
    const One = defineContract('one', { get: { input: z.string(), output: z.number() } })
    createServerAdapter(One, { get: (text) => text.length })
    createServerAdapter(One, { get: async (text) => text.length })
    // @ts-expect-error a number is promised
    createServerAdapter(One, { get: (text) => text })
    // @ts-expect-error the handler is missing
    createServerAdapter(One, {})
    // @ts-expect-error one too many
    createServerAdapter(One, { get: () => 1, put: () => 2 })
    // @ts-expect-error no such option
    createServerAdapter(One, { get: () => 1 }, { port: 80 })
  })
})

it('contracts that are wrong do not compile', () => {
  // @ts-expect-error no such method
  defineContract('a', { b: { http: 'FETCH /x' } })
  // @ts-expect-error the path begins with /
  defineContract('a', { b: { http: 'GET x' } })
  // @ts-expect-error no schema
  defineContract('a', { b: { input: { sku: 'string' } } })
  // @ts-expect-error no such option
  defineContract('a', { b: { inputs: z.string() } })
  // @ts-expect-error no status of success
  defineContract('a', { b: { success: 302 } })
  // @ts-expect-error it means that a part was asked for
  defineContract('a', { b: { success: 206 } })
  // @ts-expect-error a status is a number
  defineContract('a', { b: { success: '202' } })
  defineContract('a', { b: { success: 202, output: z.string() }, c: { success: 204 }, d: { success: undefined } })
  // @ts-expect-error no such kind of stream
  defineContract('a', { b: { streaming: 'yes' } })
})
