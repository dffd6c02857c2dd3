// From a schedule that fails to the shortest that fails in the same way.
import type { Outcome } from './run.ts'
import { type Schedule, smaller } from './schedule.ts'

/**
 * Goes to the first smaller one that is broken too, until there is none or the budget of runs is spent.
 * @param alike whether two are broken for the same reason: such a one comes before one that is broken for another
 */
export async function shrink(
  found: Outcome,
  run: (schedule: Schedule) => Promise<Outcome>,
  broken: (outcome: Outcome) => boolean,
  budget: number,
  alike: (one: Outcome, other: Outcome) => boolean = () => true,
): Promise<Outcome> {
  // Faults that were never come to have no part in it.
  let best = { ...found, schedule: { ...found.schedule, faults: found.fired } }
  let left = budget
  for (let shorter: Outcome | undefined = best; shorter !== undefined; best = shorter ?? best) {
    shorter = undefined
    for (const candidate of smaller(best.schedule)) {
      if (left-- <= 0) break
      const outcome = await run(candidate)
      if (!broken(outcome)) continue
      const same = alike(outcome, best)
      if (same || shorter === undefined) shorter = outcome
      if (same) break
    }
  }
  return best
}
