// A deadline is an instant, not a duration: it is inherited, tightened, and never moved further away.
import type { Clock } from './clock.ts'

/** The end of a call, on the scale of the injected clock. */
export interface Deadline {
  readonly at: number
  /** Milliseconds left; 0 or less when it has passed; Infinity when there is none. */
  remainingMs(): number
}

class ClockDeadline implements Deadline {
  readonly at: number
  readonly #clock: Clock

  constructor(at: number, clock: Clock) {
    this.at = at
    this.#clock = clock
  }

  remainingMs(): number {
    return this.at === Infinity ? Infinity : this.at - this.#clock.now()
  }
}

/** The deadline at an instant of the clock. `Infinity` never comes. */
export function deadlineAt(at: number, clock: Clock): Deadline {
  return new ClockDeadline(at, clock)
}

/** The deadline `ms` from now, or the inherited one if that is sooner. */
export function deadlineIn(ms: number, clock: Clock, inherited?: Deadline | undefined): Deadline {
  const at = clock.now() + ms
  return inherited !== undefined && inherited.at <= at ? inherited : new ClockDeadline(at, clock)
}
