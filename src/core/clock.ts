// The only place that knows real time and real chance. Everything else is given a Clock and a Random, so tests own both.

/** A timer that was set. Only ever handed back to the clock that made it. */
export type Timer = unknown

/** Time, injected. */
export interface Clock {
  /** Milliseconds, with fractions, on a scale that never goes back. Instants of fairlead are on this scale. */
  now(): number
  /** Milliseconds since 1970: for dates that leave the process, never for measuring. */
  wallNow(): number
  /** Milliseconds on the scale that all processes of this machine share until it is started again, and that no setting of the date moves. Absent: as `now`. */
  machineNow?(): number
  /** Calls back once after `ms`, with `arg`, so that no closure is needed. Keeps the process up. */
  setTimer<A>(callback: (arg: A) => void, ms: number, arg: A): Timer
  clearTimer(timer: Timer): void
  /** Says of a timer that it is housekeeping and must not keep the process up. */
  unref(timer: Timer): void
}

/** A number from 0 to less than 1. */
export type Random = () => number

/** The longest timer of Node, 24.8 days: so the longest duration and the longest delay of fairlead as well. */
export const LONGEST_TIMER_MS: number = 2 ** 31 - 1

/** Real time. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wallNow: () => Date.now(),
  machineNow: () => Number(process.hrtime.bigint()) / 1e6,
  // Node runs a longer timer at once. None of ours may be longer (options are checked), but a sum could be.
  setTimer: (callback, ms, arg) => setTimeout(callback, ms < LONGEST_TIMER_MS ? ms : LONGEST_TIMER_MS, arg),
  clearTimer: (timer) => clearTimeout(timer as NodeJS.Timeout),
  unref: (timer) => {
    ;(timer as NodeJS.Timeout).unref()
  },
}

/** Real chance. */
export const systemRandom: Random = () => Math.random()

// Taken when the module is loaded: a test runner may put its own in place later.
const immediately = setImmediate

/** Goes on once the event loop has had a turn: for long work that must not starve it. A turn is no time, so no clock owns it. */
export function nextTurn<A>(callback: (arg: A) => void, arg: A): void {
  immediately(callback, arg)
}

/** Waits. Rejects with the signal's reason as soon as it is aborted. */
export function sleep(clock: Clock, ms: number, signal?: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const onAbort = (): void => {
      clock.clearTimer(timer)
      reject(signal?.reason)
    }
    const timer = clock.setTimer(
      () => {
        signal?.removeEventListener('abort', onAbort)
        resolve()
      },
      ms,
      undefined,
    )
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}
