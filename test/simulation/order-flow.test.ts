// The shipped relay, consumer and inbox under thousands of schedules; and the broken ones, each of which is found.
import { describe, expect, it } from 'vitest'
import { catalogueOf, explore, replay } from './explore.ts'
import { mutants } from './mutants.ts'
import { orderFlow } from './order-flow.ts'

const SEED = 1
// Three faults of the order of a key were found from here on: rights that end in another order, renewals that fail, a loss that the broker knows nothing of.
const FOUND_FROM = 31_001
const SCHEDULES = 1_000

describe('order flow', () => {
  it.each([SEED, FOUND_FROM])(
    `loses nothing, does nothing twice, and keeps the order of each key in ${SCHEDULES} schedules from %i on`,
    {
      timeout: 300_000,
    },
    async (seed) => {
      const { failure, schedules, faults } = await explore(orderFlow(), { schedules: SCHEDULES, seed })
      expect(failure?.text).toBeUndefined()
      expect(schedules).toBe(SCHEDULES)
      expect(faults).toBeGreaterThan(SCHEDULES)
    },
  )

  describe('broken on purpose', () => {
    it.each(mutants)(
      '$name: is found',
      { timeout: 300_000 },
      async ({ name, breaks, breakage, struck = (all) => all }) => {
        const catalogue = struck(await catalogueOf(orderFlow(), SEED))
        const scenario = orderFlow(name, breakage)
        const { failure } = await explore(scenario, {
          schedules: SCHEDULES,
          seed: SEED,
          catalogue,
          rules: breaks,
          shrinks: 40,
        })
        const rules = failure?.shortest.findings.map(({ rule }) => rule) ?? []
        expect(rules.filter((rule) => breaks.includes(rule))).not.toEqual([])
        // The seed is all that is needed to see it again.
        const again = await replay(scenario, failure?.seed as number, { catalogue, shrinks: 0 })
        expect(again.failure?.found.findings).toEqual(failure?.found.findings)
        console.log(
          `${name}: seed ${failure?.seed}, ${failure?.found.fired.length} faults, shrunk to ${failure?.shortest.schedule.faults.length}`,
        )
      },
    )
  })
})
