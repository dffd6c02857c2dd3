import { describe, expectTypeOf, it } from 'vitest'
import type { CallContext } from '../../src/core/context.ts'
import type { FairleadError } from '../../src/errors/base.ts'
import { call, lastGood, value } from '../../src/policies/fallback.ts'
import { type Detailed, resilient } from '../../src/rpi/index.ts'

interface Stock {
  readonly level: number | 'unknown'
}
declare function load(sku: string, signal: AbortSignal): Promise<Stock>

describe('arguments and answer are inferred', () => {
  it('one, several, optional, rest, none', () => {
    const one = resilient('a.b', ({ signal }, sku: string) => load(sku, signal))
    expectTypeOf(one).parameters.toEqualTypeOf<[sku: string]>()
    expectTypeOf(one).returns.toEqualTypeOf<Promise<Stock>>()
    const two = resilient('a.b', async ({ signal }, sku: string, n?: number) => [sku, n, signal.aborted] as const)
    expectTypeOf(two).parameters.toEqualTypeOf<[sku: string, n?: number | undefined]>()
    const rest = resilient('a.b', async (_, ...skus: string[]) => skus.length)
    expectTypeOf(rest).parameters.toEqualTypeOf<string[]>()
    const none = resilient('a.b', async () => 'x')
    expectTypeOf(none).parameters.toEqualTypeOf<[]>()
    expectTypeOf(none).returns.toEqualTypeOf<Promise<string>>()
    resilient('a.b', (context) => {
      expectTypeOf(context).toEqualTypeOf<CallContext>()
      return 1
    })
  })

  it('with a full set of options', () => {
    const stock = resilient('a.b', ({ signal }, sku: string) => load(sku, signal), {
      deadlineMs: 2_000,
      attemptTimeoutMs: 500,
      maxOutstanding: 50,
      circuitBreaker: { errorRate: 0.5 },
      idempotent: true,
      retry: { attempts: 3 },
      fallback: [lastGood({ maxAgeMs: 60_000 }), value({ level: 'unknown' })],
      cache: { key: ([sku]) => sku, ttlMs: 5 },
      classify: (error) => (error instanceof TypeError ? 'BAD_REQUEST' : undefined),
    })
    expectTypeOf(stock).returns.toEqualTypeOf<Promise<Stock>>()
    expectTypeOf(stock.detailed('x')).toEqualTypeOf<Promise<Detailed<Stock>>>()
    expectTypeOf(stock.with({ deadlineMs: 3, signal: undefined })).parameters.toEqualTypeOf<[sku: string]>()
  })

  it('result tells apart what went well', async () => {
    const result = await resilient('a.b', async () => 'x').result()
    if (result.ok) expectTypeOf(result.value).toEqualTypeOf<string>()
    else expectTypeOf(result.error).toEqualTypeOf<FairleadError>()
  })
})

describe('does not compile:', () => {
  const fn = async (_: CallContext, sku: string): Promise<Stock> => ({ level: sku.length })

  it('retry without a word on idempotent', () => {
    // @ts-expect-error idempotent is missing
    resilient('a.b', fn, { retry: { attempts: 2 } })
    resilient('a.b', fn, { retry: false })
    resilient('a.b', fn, { retry: undefined, idempotent: undefined })
    resilient('a.b', fn, { retry: {}, idempotent: false })
  })

  it('and it is the option that is marked, not the arguments of the function', () => {
    resilient(
      'a.b',
      async (_context, sku: string) => sku,
      // @ts-expect-error idempotent is missing
      { retry: { attempts: 2 } },
    )
    resilient('a.b', async (_context, sku: string) => sku, {
      // @ts-expect-error there is no such option
      deadlineMS: 5,
    })
  })

  it('a fallback of another type', () => {
    // @ts-expect-error level is no boolean
    resilient('a.b', fn, { fallback: [value({ level: true })] })
    // @ts-expect-error null was not promised
    resilient('a.b', fn, { fallback: [value(null)] })
    resilient('a.b', async (): Promise<Stock | null> => null, { fallback: [value(null)] })
    // @ts-expect-error the function answers with a string
    resilient('a.b', fn, { fallback: [call(async () => 'text')] })
    resilient('a.b', fn, { fallback: [call(async ([sku]: readonly [string]) => ({ level: sku.length }))] })
    resilient('a.b', async (): Promise<string[]> => [], { fallback: [value([])] })
  })

  it('wrong arguments, options and names', () => {
    const stock = resilient('a.b', fn)
    // @ts-expect-error a string is wanted
    stock(5)
    // @ts-expect-error an argument is missing
    stock()
    // @ts-expect-error an argument is missing
    stock.detailed()
    // @ts-expect-error there is no such option
    resilient('a.b', fn, { timeout: 5 })
    // @ts-expect-error milliseconds are a number
    stock.with({ deadlineMs: '5' })
    // @ts-expect-error there is no such option
    stock.with({ deadlineMS: 5 })
    // @ts-expect-error the key is of the arguments
    resilient('a.b', fn, { cache: { key: (sku: string) => sku, ttlMs: 5 } })
    // @ts-expect-error no such code
    resilient('a.b', fn, { classify: () => 'NO_SUCH_CODE' })
  })
})
