// The cases of one contract, run over HTTP and over a queue: a caller cannot tell the two apart, but for what a message cannot do.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { memoryStore } from '../../../src/adapters/memory/index.ts'
import type { RpiTransport } from '../../../src/core/contracts/rpi.ts'
import { createError } from '../../../src/errors/classes.ts'
import { CODES, type Code } from '../../../src/errors/codes.ts'
import {
  createProxy,
  createServerAdapter,
  defineContract,
  isFailure,
  type ServerAdapter,
} from '../../../src/rpi/index.ts'

export const Shop = defineContract('shop', {
  stock: {
    http: 'GET /stock/:sku',
    idempotent: true,
    input: z.object({ sku: z.string(), tags: z.array(z.string()).optional() }),
    output: z.object({ level: z.number() }),
  },
  reserve: {
    http: 'POST /reservations?dry',
    input: z.object({
      sku: z.string(),
      quantity: z.number(),
      dry: z.boolean().optional(),
      note: z.string().optional(),
    }),
    output: z.object({ id: z.string(), note: z.string().optional() }),
    failures: {
      outOfStock: z.object({ left: z.number() }),
      gone: { schema: z.object({ sku: z.string() }), status: 410 },
    },
  },
  release: { http: 'DELETE /reservations/:id', idempotent: true, input: z.object({ id: z.string() }) },
  fail: { input: z.object({ code: z.string() }) },
  wait: { input: z.object({ ms: z.number() }), idempotent: true },
  who: { output: z.record(z.string(), z.string()) },
})

/** How the cases are served and reached. */
export interface ContractLab {
  serve(adapter: ServerAdapter): Promise<RpiTransport>
  close(): Promise<void>
}

async function rejection(promise: Promise<unknown>): Promise<any> {
  try {
    await promise
  } catch (error) {
    return error
  }
  throw new Error('it did not reject')
}

export function sameContract(name: string, open: () => Promise<ContractLab>): void {
  describe(`one contract, ${name}`, () => {
    let lab: ContractLab
    let transport: RpiTransport
    let calls = 0
    let gone: Promise<unknown>
    beforeAll(async () => {
      lab = await open()
      const adapter = createServerAdapter(
        Shop,
        {
          stock: ({ sku, tags }) => ({ level: sku.length + (tags?.length ?? 0) }),
          reserve: ({ sku, quantity, note }, context) => {
            calls++
            if (sku === 'gone') return context.fail('gone', { sku })
            if (quantity > 5) return context.fail('outOfStock', { left: 5 })
            return { id: `r-${calls}`, ...(note === undefined ? {} : { note }) }
          },
          release: () => {},
          fail: ({ code }) => Promise.reject(createError({ code: code as Code, message: 'hush', retryAfterMs: 1_500 })),
          wait: (_, { signal }) => {
            gone = new Promise((resolve) =>
              signal.addEventListener('abort', () => resolve(signal.reason), { once: true }),
            )
            return new Promise<void>(() => {})
          },
          who: (_, { headers, idempotencyKey }) => ({
            tenant: headers['x-tenant'] ?? '',
            key: idempotencyKey ?? '',
            trace: headers['traceparent'] ?? '',
          }),
        },
        { idempotency: memoryStore() },
      )
      transport = await lab.serve(adapter)
    })
    afterAll(() => lab.close())
    beforeEach(() => {
      calls = 0
    })
    const shop = (options: object = {}) =>
      createProxy(Shop, {
        transport,
        retry: false,
        circuitBreaker: false,
        deadlineMs: 10_000,
        attemptTimeoutMs: false,
        ...options,
      } as never)

    it('an answer arrives, whatever the input is made of', async () => {
      for (const sku of ['A-1', '../ä?#%2F', 'a b', '日本'])
        expect(await shop().stock({ sku, tags: ['x', 'y&z'] })).toEqual({ level: sku.length + 2 })
      const note = `"quotes", \u2028, ${'ü'.repeat(5_000)}`
      expect(await shop().reserve({ sku: 'A', quantity: 1, dry: true, note })).toEqual({ id: 'r-1', note })
      expect(await shop().release({ id: 'r/1' })).toBeUndefined()
    })

    it('a declared failure is an answer, typed and without effect', async () => {
      const error = await rejection(shop().reserve({ sku: 'A', quantity: 9 }))
      expect(isFailure(error, Shop, 'reserve', 'outOfStock') && error.details).toEqual({ left: 5 })
      expect(error.effect).toBe('none')
      const other = await rejection(shop().reserve({ sku: 'gone', quantity: 1 }))
      expect(isFailure(other, Shop, 'reserve', 'gone') && other.details).toEqual({ sku: 'gone' })
    })

    it.each(['SERVER_ERROR', 'CONFLICT', 'UNAVAILABLE', 'CIRCUIT_OPEN', 'NOT_FOUND', 'DEADLINE_EXCEEDED'] as const)(
      'an error of the server arrives as it is, with its effect: %s',
      async (code) => {
        const error = await rejection(shop().fail({ code }))
        expect(error).toMatchObject({
          code,
          kind: CODES[code].kind,
          effect: 'unknown',
          retryAfterMs: 1_500,
          service: 'shop',
          operation: 'fail',
          transport: transport.name,
        })
        expect(error.message).not.toContain('hush')
      },
    )

    it('what the server refuses before it works has no effect', async () => {
      expect(
        await rejection(shop({ validateInput: false }).reserve({ sku: 'A', quantity: 'many' } as never)),
      ).toMatchObject({
        code: 'INVALID_INPUT',
        effect: 'none',
        details: { issues: [{ path: 'quantity' }] },
      })
      const Newer = defineContract('shop', { audit: {} })
      expect(await rejection(createProxy(Newer, { transport }).audit())).toMatchObject({
        code: 'UNKNOWN_OPERATION',
        effect: 'none',
      })
      expect(calls).toBe(0)
    })

    it('headers, key and trace travel', async () => {
      const trace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
      expect(
        await shop().who(undefined, { headers: { 'X-Tenant': 't-1', traceparent: trace }, idempotencyKey: 'k-who' }),
      ).toEqual({ tenant: 't-1', key: 'k-who', trace })
    })

    it('a header that would be two is refused, and nothing is sent', async () => {
      expect(
        await rejection(shop().reserve({ sku: 'A', quantity: 1 }, { headers: { 'x-a': 'b\r\nx: y' } })),
      ).toMatchObject({
        code: 'INVALID_REQUEST',
        effect: 'none',
      })
      expect(calls).toBe(0)
    })

    it('a request that is repeated with its key is answered, and done once', async () => {
      const once = { idempotencyKey: `k-${name}` }
      const [a, b] = [
        await shop().reserve({ sku: 'A', quantity: 1 }, once),
        await shop().reserve({ sku: 'A', quantity: 1 }, once),
      ]
      expect([a, calls]).toEqual([b, 1])
    })

    it('at the deadline the caller knows that it does not know, and the work is ended', async () => {
      const error = await rejection(shop().wait({ ms: 1 }, { deadlineMs: 300 }))
      expect(error).toMatchObject({ code: 'DEADLINE_EXCEEDED', kind: 'timing', effect: 'unknown' })
      expect(await gone).toBeDefined()
    })

    it('many at once each get their own answer', async () => {
      const client = shop()
      const levels = await Promise.all(Array.from({ length: 60 }, (_, n) => client.stock({ sku: 'x'.repeat(n + 1) })))
      expect(levels.map(({ level }: any) => level)).toEqual(Array.from({ length: 60 }, (_, n) => n + 1))
    })
  })
}
