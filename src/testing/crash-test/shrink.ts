// From a schedule that fails to the shortest that fails in the same way.
import type { Outcome } from './run.ts'
import { type Schedule, smaller } from './schedule.ts'

/** Goes to the first smaller one that is broken too, until there is none or the budget of runs is spent. */
export async function shrink(
  found: Outcome,
  run: (schedule: Schedule) => Promise<Outcome>,
  broken: (outcome: Outcome) => boolean,
  budget: number,
): Promise<Outcome> {
  // Faults that were never come to have no part in it.
  let best = { ...found, schedule: { ...found.schedule, faults: found.fired } }
  let left = budget
  for (let shorter = true; shorter; ) {
    shorter = false
    for (const candidate of smaller(best.schedule)) {
      if (left-- <= 0) break
      const outcome = await run(candidate)
      if (!broken(outcome)) continue
      best = outcome
      shorter = true
      break
    }
  }
  return best
}
