// How the suite waits: for what should happen, generously; for what should not, briefly; and on an injected clock without any real time at all.
import { AssertionError } from 'node:assert'
import { type Clock, sleep, systemClock } from '../../core/clock.ts'
import type { TransportLab } from './lab.ts'

/** Waiting in a lab. */
export interface Waiting {
  /** The lab's clock. */
  readonly clock: Clock
  /** Lets what is under way get on, without letting noteworthy time pass. */
  turn(): Promise<void>
  /** Lets so much time pass. */
  pass(ms: number): Promise<void>
  /** Waits until the condition holds. @throws AssertionError naming `what` and what `detail` says, after the lab's patience */
  until(what: string, condition: () => boolean | Promise<boolean>, detail?: (() => string) | undefined): Promise<void>
  /** Waits long enough that what is going to happen soon has happened. Default: the lab's `quietMs`. */
  quiet(ms?: number | undefined): Promise<void>
  /** The promise's outcome; while it is pending, time passes. @throws AssertionError when patience ends, else as the promise */
  done<T>(what: string, work: Promise<T>): Promise<T>
}

// An injected clock stands still unless nothing happens without it; even then it moves less than any lease or deadline of the suite.
const STILL_TURNS = 40
const MOST_MOVED_MS = 5_000

/** Makes the ways of waiting for a lab. */
export function waitingIn(lab: Pick<TransportLab, 'clock' | 'pass' | 'patienceMs' | 'quietMs'>): Waiting {
  const patienceMs = lab.patienceMs ?? (lab.pass === undefined ? 10_000 : 1_000)
  const pass = (ms: number): Promise<void> => (lab.pass === undefined ? sleep(systemClock, ms) : lab.pass(ms))

  // The n-th look at something that has not happened yet.
  const wait = async (looks: number, moved: number): Promise<number> => {
    if (lab.pass === undefined) {
      await sleep(systemClock, Math.min(1 + looks, 20))
      return 0
    }
    const step = looks < STILL_TURNS || moved >= MOST_MOVED_MS ? 0 : Math.min(2 ** (looks - STILL_TURNS), 250)
    await lab.pass(step)
    // Real sockets below an injected clock need real time as well.
    if (looks > 5) await sleep(systemClock, 1)
    return step
  }

  const until = async (
    what: string,
    condition: () => boolean | Promise<boolean>,
    detail?: (() => string) | undefined,
  ): Promise<void> => {
    const from = systemClock.now()
    let moved = 0
    for (let looks = 0; !(await condition()); looks++) {
      if (looks > 2 * STILL_TURNS && systemClock.now() - from > patienceMs)
        throw new AssertionError({ message: `waited in vain: ${what}${detail === undefined ? '' : ` (${detail()})`}` })
      moved += await wait(looks, moved)
    }
  }

  return {
    clock: lab.clock ?? systemClock,
    turn: () => (lab.pass === undefined ? sleep(systemClock, 1) : lab.pass(0)),
    pass,
    until,
    async quiet(ms = lab.quietMs ?? 200) {
      if (lab.pass === undefined) return sleep(systemClock, ms)
      for (let turns = 0; turns < 5; turns++) await lab.pass(0)
      await lab.pass(ms)
      for (let turns = 0; turns < 5; turns++) await lab.pass(0)
    },
    async done(what, work) {
      if (lab.pass === undefined) return withinPatience(what, work, patienceMs)
      let pending = true
      const settled = (): void => {
        pending = false
      }
      work.then(settled, settled)
      await until(what, async () => {
        // Most promises settle within a few turns of the microtask queue: no time need pass for them.
        for (let turns = 0; pending && turns < 10; turns++) await undefined
        return !pending
      })
      return work
    },
  }
}

async function withinPatience<T>(what: string, work: Promise<T>, patienceMs: number): Promise<T> {
  const limit = new AbortController()
  const late = sleep(systemClock, patienceMs, limit.signal).then(() => {
    throw new AssertionError({ message: `waited in vain: ${what}` })
  })
  try {
    return await Promise.race([work, late])
  } finally {
    limit.abort()
  }
}
