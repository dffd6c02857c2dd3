// Schedules one after the other, until there are enough of them, the time is over, or one ends it.
import type { Clock } from '../../core/clock.ts'
import type { Outcome } from './run.ts'

/** What runs have come to. */
export interface RunSums {
  readonly schedules: number
  readonly faults: number
  readonly steps: number
  readonly virtualMs: number
}

/** How many there may be, and for how long new ones are begun. */
export interface RunLimits {
  readonly schedules: number
  readonly budgetMs: number
  readonly clock: Clock
}

/**
 * @param run the schedule of this number, from 0
 * @param ends looked at after each, with how many there were; true: it was the last
 */
export async function runMany(
  { schedules, budgetMs, clock }: RunLimits,
  run: (at: number) => Promise<Outcome>,
  ends: (outcome: Outcome, ran: number) => Promise<boolean> | boolean,
): Promise<RunSums> {
  const until = clock.now() + budgetMs
  let faults = 0
  let steps = 0
  let virtualMs = 0
  let ran = 0
  for (let last = false; !last && ran < schedules && clock.now() < until; ) {
    const outcome = await run(ran++)
    faults += outcome.fired.length
    steps += outcome.steps
    virtualMs += outcome.virtualMs
    last = await ends(outcome, ran)
  }
  return { schedules: ran, faults, steps, virtualMs }
}
