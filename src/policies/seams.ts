// What every policy can be given besides its own options: time, chance, and an ear.
import { type Clock, type Random, systemClock, systemRandom } from '../core/clock.ts'
import { createEvents, type EventListener, type Events } from '../core/events.ts'
import { invalidOption } from '../core/options.ts'

/** Seams of a policy. Leave them out in production. */
export interface Seams {
  /** Time. Default: the system's. */
  readonly clock?: Clock | undefined
  /** Chance, for jitter. Default: the system's. */
  readonly random?: Random | undefined
  /** Hears what happens. Events are also on the diagnostics channel `fairlead:event`. */
  readonly onEvent?: EventListener | undefined
}

/** Seams with the defaults filled in. */
export interface World {
  readonly clock: Clock
  readonly random: Random
  readonly events: Events
}

/** Names of the seams among the options of a policy. */
export const SEAMS = ['clock', 'random', 'onEvent'] as const

// The same for all who were given nothing.
const SYSTEM: World = Object.freeze({ clock: systemClock, random: systemRandom, events: createEvents() })

/** Fills in the defaults. */
export function world(seams: Seams = {}): World {
  const { clock, random, onEvent } = seams
  if (clock !== undefined && typeof clock?.setTimer !== 'function')
    throw invalidOption('clock', clock, 'give a Clock: systemClock, or fakeClock() in tests')
  if (random !== undefined && typeof random !== 'function')
    throw invalidOption('random', random, 'give a function that returns a number from 0 to less than 1')
  if (onEvent !== undefined && typeof onEvent !== 'function')
    throw invalidOption('onEvent', onEvent, 'give a function of the event')
  if (clock === undefined && random === undefined && onEvent === undefined) return SYSTEM
  return {
    clock: clock ?? systemClock,
    random: random ?? systemRandom,
    events: createEvents(onEvent),
  }
}
