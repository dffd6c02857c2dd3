import { expectTypeOf, test } from 'vitest'
import { call, type Fallback, lastGood, value } from '../../src/policies/fallback.ts'

interface Stock {
  level: number | 'unknown'
}
class Money {
  readonly #amount: number
  constructor(amount: number) {
    this.#amount = amount
  }
  get amount(): number {
    return this.#amount
  }
}

declare function wrap<R>(fn: () => Promise<R>, options: { fallback?: readonly Fallback<NoInfer<R>>[] | undefined }): R

test('entries fit the answer they stand in for, literals stay literal', () => {
  const stock = async (): Promise<Stock> => ({ level: 1 })
  expectTypeOf(
    wrap(stock, { fallback: [lastGood({ maxAgeMs: 1 }), value({ level: 'unknown' })] }),
  ).toEqualTypeOf<Stock>()
  wrap(stock, { fallback: [call(async () => ({ level: 'unknown' }))] })
  wrap(stock, { fallback: [call((sku: string, { signal }) => ({ level: signal.aborted ? sku.length : 2 }))] })
  wrap(async (): Promise<'a' | 'b'> => 'a', { fallback: [value('b')] })
  expectTypeOf(value('unknown')).toEqualTypeOf<Fallback<'unknown'>>()
  expectTypeOf(lastGood()).toEqualTypeOf<Fallback<never>>()
})

test('arrays, nested arrays and class instances fit too', () => {
  wrap(async (): Promise<number[]> => [], { fallback: [value([])] })
  wrap(async (): Promise<{ items: number[]; pair: [number, string] }> => ({ items: [], pair: [1, 'a'] }), {
    fallback: [value({ items: [], pair: [1, 'a'] })],
  })
  wrap(async (): Promise<readonly number[]> => [], { fallback: [value([1, 2])] })
  wrap(async (): Promise<Money> => new Money(1), { fallback: [value(new Money(0))] })
  wrap(async (): Promise<Money | null> => null, { fallback: [value(null)] })
  const list: number[] = []
  wrap(async (): Promise<number[]> => [], { fallback: [value(list)] })
})

test('an entry that cannot stand in does not compile', () => {
  const stock = async (): Promise<Stock> => ({ level: 1 })
  // @ts-expect-error level is a number or 'unknown'
  wrap(stock, { fallback: [value({ level: 'none' })] })
  // @ts-expect-error a stock is not null
  wrap(stock, { fallback: [value(null)] })
  // @ts-expect-error the call gives a string
  wrap(stock, { fallback: [call(async () => 'x')] })
  // @ts-expect-error not an entry
  wrap(stock, { fallback: [{ level: 1 }] })
})
