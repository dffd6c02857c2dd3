// How a process dies in a suite: its clock stops, so that nothing it has planned ever happens, and nothing is said to anybody.
import type { Clock, Timer } from '../../core/clock.ts'

/** A clock whose timers can all be lost at once. */
export interface MortalClock extends Clock {
  /** No timer fires from now on. */
  stop(): void
}

/** Puts a clock that can be stopped before another one. */
export function mortalClock(clock: Clock): MortalClock {
  const set = new Set<Timer>()
  let stopped = false
  const { machineNow } = clock
  return {
    now: () => clock.now(),
    wallNow: () => clock.wallNow(),
    ...(machineNow === undefined ? {} : { machineNow: () => machineNow.call(clock) }),
    setTimer(callback, ms, arg) {
      if (stopped) return undefined
      const timer = clock.setTimer(
        (given) => {
          set.delete(timer)
          callback(given)
        },
        ms,
        arg,
      )
      set.add(timer)
      return timer
    },
    clearTimer(timer) {
      set.delete(timer)
      clock.clearTimer(timer)
    },
    unref(timer) {
      if (timer !== undefined) clock.unref(timer)
    },
    stop() {
      stopped = true
      for (const timer of set) clock.clearTimer(timer)
      set.clear()
    },
  }
}
