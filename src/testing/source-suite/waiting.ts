// How the suites for registries wait: on real time generously, on an injected clock to the millisecond that the traits promise.
import { AssertionError } from 'node:assert'
import { type Clock, sleep, systemClock } from '../../core/clock.ts'
import type { LabTime } from './types.ts'

/** Waiting in a lab. */
export interface Waiting {
  /** The lab's clock. */
  readonly clock: Clock
  /** Lets so much time pass. */
  pass(ms: number): Promise<void>
  /**
   * Waits until the condition holds, for at most `withinMs` of the lab's clock (on real time: and the lab's patience).
   * @throws AssertionError naming `what` and what `detail` says
   */
  until(
    what: string,
    withinMs: number,
    condition: () => boolean | Promise<boolean>,
    detail?: (() => string) | undefined,
  ): Promise<void>
  /** Waits long enough that what is going to happen soon has happened. Default: the lab's `quietMs`. */
  quiet(ms?: number | undefined): Promise<void>
  /** The promise's outcome; while it is pending, time passes. @throws AssertionError when it is pending after `withinMs`, else as the promise */
  done<T>(what: string, withinMs: number, work: Promise<T>): Promise<T>
}

// Below an injected clock there may be real files and sockets: a few looks without any time, then steps.
const STILL_LOOKS = 4
const MOST_STEP_MS = 100

/** Makes the ways of waiting for a lab. */
export function waitingIn(lab: LabTime): Waiting {
  const patienceMs = lab.patienceMs ?? (lab.pass === undefined ? 10_000 : 1_000)
  const pass = (ms: number): Promise<void> => (lab.pass === undefined ? sleep(systemClock, ms) : lab.pass(ms))

  const until: Waiting['until'] = async (what, withinMs, condition, detail) => {
    const from = systemClock.now()
    let passed = 0
    for (let looks = 0; !(await condition()); looks++) {
      const tookMs = systemClock.now() - from
      const over = lab.pass === undefined ? tookMs > withinMs + patienceMs : passed >= withinMs && tookMs > patienceMs
      if (over)
        throw new AssertionError({
          message: `waited in vain (${withinMs} ms): ${what}${detail === undefined ? '' : `; ${detail()}`}`,
        })
      if (lab.pass === undefined) {
        await sleep(systemClock, Math.min(1 + looks, 20))
        continue
      }
      const step = looks < STILL_LOOKS ? 0 : Math.min(MOST_STEP_MS, withinMs - passed)
      passed += step
      await lab.pass(step)
      if (looks > STILL_LOOKS && step === 0) await sleep(systemClock, 1)
    }
  }

  return {
    clock: lab.clock ?? systemClock,
    pass,
    until,
    quiet: (ms = lab.quietMs ?? 300) => pass(ms),
    async done(what, withinMs, work) {
      let pending = true
      const settled = (): void => {
        pending = false
      }
      work.then(settled, settled)
      await until(what, withinMs, async () => {
        // Most promises settle within a few turns of the microtask queue: no time need pass for them.
        for (let turns = 0; pending && turns < 10; turns++) await undefined
        return !pending
      })
      return work
    },
  }
}
