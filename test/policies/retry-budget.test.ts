import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { retryBudget } from '../../src/policies/retry-budget.ts'
import { fakeClock } from '../../src/testing/fake-clock.ts'
import { thrownBy } from './kit.ts'

const drain = (budget: ReturnType<typeof retryBudget>): number => {
  for (let count = 0; ; count++) if (!budget.withdraw()) return count
}

describe('a retry budget', () => {
  test('begins with a full bank, and a floor besides', () => {
    expect(drain(retryBudget({ clock: fakeClock() }))).toBe(13)
    expect(drain(retryBudget({ clock: fakeClock(), floorPerSecond: 0 }))).toBe(10)
    expect(drain(retryBudget({ clock: fakeClock(), banked: 0, floorPerSecond: 2 }))).toBe(2)
    expect(drain(retryBudget({ clock: fakeClock(), banked: 0, floorPerSecond: 0 }))).toBe(0)
  })

  test('earns one retry in ten calls, exactly, and banks no more than ten', () => {
    const budget = retryBudget({ clock: fakeClock(), floorPerSecond: 0 })
    drain(budget)
    for (let call = 0; call < 9; call++) budget.deposit()
    expect(budget.withdraw()).toBe(false)
    budget.deposit()
    expect(budget.withdraw()).toBe(true)
    expect(budget.withdraw()).toBe(false)
    for (let call = 0; call < 10_000; call++) budget.deposit()
    expect(budget.balance).toBe(10)
    expect(drain(budget)).toBe(10)
  })

  test('the floor holds in any second, and is not saved up', async () => {
    const clock = fakeClock()
    const budget = retryBudget({ clock, banked: 0, ratio: 0 })
    await clock.advance(60_000)
    expect(drain(budget)).toBe(3)
    await clock.advance(900)
    expect(drain(budget)).toBe(0)
    await clock.advance(99)
    expect(drain(budget)).toBe(0)
    await clock.advance(1)
    expect(drain(budget)).toBe(3)
    // Three at the end of one calendar second and three at the beginning of the next would be six in a few milliseconds.
    await clock.advance(999)
    expect(drain(budget)).toBe(0)
  })

  test('agrees with a list of times, whatever the order of calls, retries and time', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(fc.constant('deposit'), fc.constant('withdraw'), fc.integer({ min: 1, max: 700 })), {
          minLength: 100,
          maxLength: 150,
        }),
        fc.record({
          ratio: fc.constantFrom(0, 0.1, 0.25, 1),
          banked: fc.integer({ min: 0, max: 12 }),
          floorPerSecond: fc.integer({ min: 0, max: 4 }),
        }),
        async (commands, options) => {
          const clock = fakeClock()
          const time = { now: 0 }
          const budget = retryBudget({ ...options, clock: { ...clock, now: () => time.now } })
          let tokens = options.banked
          const floor: number[] = []
          for (const command of commands) {
            if (typeof command === 'number') time.now += command
            else if (command === 'deposit') {
              budget.deposit()
              // Counted in hundredths: whole numbers do not round.
              tokens = Math.min(options.banked, Math.round((tokens + options.ratio) * 100) / 100)
            } else {
              const recent = floor.filter((at) => at > time.now - 1_000).length
              const banked = tokens >= 1
              const allowed = banked || recent < options.floorPerSecond
              if (banked) tokens = Math.round((tokens - 1) * 100) / 100
              else if (allowed) floor.push(time.now)
              expect(budget.withdraw()).toBe(allowed)
            }
            expect(budget.balance).toBeCloseTo(tokens, 6)
          }
        },
      ),
      { numRuns: 400 },
    )
  })
})

test.each([
  ['ratio', -0.1],
  ['ratio', NaN],
  ['ratio', Infinity],
  ['ratio', '0.1'],
  ['banked', -1],
  ['banked', 1.5],
  ['floorPerSecond', NaN],
  ['floorPerSecond', Infinity],
])('%s: %s is refused', (option, given) => {
  expect(thrownBy(() => retryBudget({ [option]: given }))).toMatchObject({
    code: 'INVALID_OPTIONS',
    details: { option: `retry.budget.${option}` },
  })
})
test('an unknown option is refused', () => {
  expect(thrownBy(() => retryBudget({ rate: 0.1 } as never)).message).toContain('retry.budget.rate')
})
