// The simulation as a gate: the defaults in every scenario with one fixed seed; `npm run sim -- discovery` runs it with more, and every balancer.
// Copies of the default that are broken on purpose have to miss a gate, or the gates say nothing.
import { describe, expect, it } from 'vitest'
import { CONTESTANTS, MUTANTS } from './contestants.ts'
import { DEFAULT, measure, missed, type Result } from './report.ts'
import { SCENARIOS, type Scenario } from './scenarios.ts'
import { simulate } from './simulate.ts'

const SEED = 2
const scenario = (name: string): Scenario => SCENARIOS.find((each) => each.name === name) as Scenario
const CASES = SCENARIOS.flatMap((each) => each.clients.map((clients) => ({ name: each.name, clients })))
const SLOW_TEST_MS = 120_000

describe('the default balancer and ejection', () => {
  it.each(CASES)(
    'keeps what is promised: $name, $clients clients',
    async ({ name, clients }) => {
      expect(missed([await measure(DEFAULT, scenario(name), clients, [SEED])])).toEqual([])
    },
    SLOW_TEST_MS,
  )
})

describe('where a server is slow', () => {
  it(
    'no balancer is worse than a turn, and the default is far better',
    async () => {
      const results: Result[] = []
      for (const balancer of Object.keys(CONTESTANTS))
        results.push(await measure(balancer, scenario('slow'), 20, [SEED]))
      expect(missed(results)).toEqual([])
      const of = (balancer: string): number => results.find((each) => each.balancer === balancer)?.bad ?? Number.NaN
      expect(of('round-robin')).toBeGreaterThan(20 * of(DEFAULT))
    },
    SLOW_TEST_MS,
  )
})

describe('a broken copy is caught', () => {
  it.each([
    ['blind to suspects', 'most dead', 1],
    ['blind to the age of the oldest call', 'pausing', 1],
    ['without ejection', 'dead', 20],
    ['deaf to latency', 'slow', 1],
  ] as const)(
    '%s',
    async (mutant, name, clients) => {
      const result = await measure(DEFAULT, scenario(name), clients, [SEED], MUTANTS[mutant])
      expect(missed([result])).toHaveLength(1)
    },
    SLOW_TEST_MS,
  )
})

describe('the simulation', () => {
  it('is the same for the same seed, and another for another', async () => {
    const run = (seed: number) => simulate({ scenario: { ...scenario('failing'), runMs: 20_000 }, clients: 1, seed })
    const [one, again, other] = [await run(5), await run(5), await run(6)]
    expect(again).toEqual(one)
    expect(other).not.toEqual(one)
  })

  it('accounts for every call', async () => {
    const run = await simulate({ scenario: scenario('hanging'), clients: 1, seed: 1, balancer: CONTESTANTS['random'] })
    expect(run.calls).toBeGreaterThan(55_000)
    expect(run.bad * run.calls).toBeCloseTo(run.errors + run.late, 6)
    expect(run.errors).toBeGreaterThan(0)
  })
})
