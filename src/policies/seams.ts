// What every policy can be given besides its own options: time, chance, ids, and an ear.
import { type Clock, type Random, systemClock, systemRandom } from '../core/clock.ts'
import { createEvents, type EventListener, type Events } from '../core/events.ts'
import { invalidOption } from '../core/options.ts'

/** Seams. Leave them out in production. Whoever takes them takes all, so that one object may be spread wherever fairlead takes any; what has no use for one is without effect there. */
export interface Seams {
  /** Time. Default: the system's. */
  readonly clock?: Clock | undefined
  /** Chance, for jitter. Default: the system's. */
  readonly random?: Random | undefined
  /** Makes ids, where any are made: of messages and requests that are given none. Default: UUID version 7. */
  readonly newId?: (() => string) | undefined
  /** Hears what happens. Events are also on the diagnostics channel `fairlead:event`. */
  readonly onEvent?: EventListener | undefined
}

/** Seams with the defaults filled in. */
export interface World {
  readonly clock: Clock
  readonly random: Random
  /** Undefined: UUIDs. */
  readonly newId?: (() => string) | undefined
  readonly events: Events
}

/** Names of the seams among the options of a policy. */
export const SEAMS = ['clock', 'random', 'newId', 'onEvent'] as const

// The same for all who were given nothing.
const SYSTEM: World = Object.freeze({ clock: systemClock, random: systemRandom, events: createEvents() })

/** Fills in the defaults. */
export function world(seams: Seams = {}): World {
  const { clock, random, newId, onEvent } = seams
  if (clock !== undefined && typeof clock?.setTimer !== 'function')
    throw invalidOption('clock', clock, 'give a Clock: systemClock, or fakeClock() in tests')
  if (random !== undefined && typeof random !== 'function')
    throw invalidOption('random', random, 'give a function that returns a number from 0 to less than 1')
  checkNewId(newId)
  if (onEvent !== undefined && typeof onEvent !== 'function')
    throw invalidOption('onEvent', onEvent, 'give a function of the event')
  if (clock === undefined && random === undefined && newId === undefined && onEvent === undefined) return SYSTEM
  return {
    clock: clock ?? systemClock,
    random: random ?? systemRandom,
    newId,
    events: createEvents(onEvent),
  }
}

/** @throws FairleadError `INVALID_OPTIONS` */
export function checkNewId(newId: unknown): void {
  if (newId !== undefined && typeof newId !== 'function')
    throw invalidOption('newId', newId, 'give a function that makes an id')
}
