// What the tests of the discovery recipes share: who was called how often, and whom a caller knows.
import type { Discovery } from 'fairlead/discovery'
import { expect } from 'vitest'

/** Calls of so many instances, and what each instance answers with. */
export const tally = (instances: number) => {
  const calls: number[] = Array.from({ length: instances }, () => 0)
  const levelOf = (instance: number) => (): number => {
    calls[instance] = (calls[instance] ?? 0) + 1
    return 7
  }
  /** Makes so many calls, one after another, and says how many of them each instance had. Rejects when one fails. */
  const of = async (times: number, call: () => Promise<{ readonly level: number }>): Promise<readonly number[]> => {
    const before = [...calls]
    for (let n = 0; n < times; n++) expect((await call()).level).toBe(7)
    return calls.map((all, instance) => all - (before[instance] ?? 0))
  }
  /** Calls, many at a time, until each instance had some: one that was slow with its first answer is left alone while there is little to do. */
  const spread = (call: () => Promise<{ readonly level: number }>): Promise<void> =>
    expect
      .poll(
        async () => {
          const before = [...calls]
          await Promise.all(Array.from({ length: 40 }, call))
          return calls.every((all, instance) => all > (before[instance] ?? 0))
        },
        { timeout: 25_000, interval: 100 },
      )
      .toBe(true)
  return { levelOf, of, spread }
}

/** Waits until a caller knows so many instances of the inventory that may be called. */
export const knows = (discovery: Discovery, ready: number): Promise<void> =>
  expect
    .poll(() => discovery.inspect('inventory')?.endpoints.filter(({ state }) => state === 'ready').length, {
      timeout: 20_000,
      interval: 20,
    })
    .toBe(ready)
