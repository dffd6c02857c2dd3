// A light event loop for simulations: time moves from one full millisecond with work to the next. All that is due in it fires together,
// then promises settle. A hundred times lighter than the fake clock, which settles after each timer.
import type { Clock } from '../../src/core/clock.ts'

export interface VirtualTime extends Clock {
  /** Runs until the given instant, milliseconds. */
  run(until: number): Promise<void>
  readonly pending: number
}

interface Entry {
  fire: (() => void) | undefined
}

export function virtualTime(): VirtualTime {
  const ticks = new Map<number, Entry[]>()
  let now = 0
  let pending = 0
  const immediately = setImmediate
  return {
    now: () => now,
    wallNow: () => 1_767_225_600_000 + now,
    setTimer(callback, ms, arg) {
      pending++
      const entry: Entry = { fire: () => callback(arg) }
      // Never early, and never in a tick that is over.
      const tick = Math.ceil(now + Math.max(0, ms))
      const entries = ticks.get(tick)
      if (entries === undefined) ticks.set(tick, [entry])
      else entries.push(entry)
      return entry
    },
    clearTimer(timer) {
      const entry = timer as Entry | undefined
      if (entry?.fire === undefined) return
      entry.fire = undefined
      pending--
    },
    unref: () => undefined,
    async run(until) {
      for (; now <= until; now++) {
        for (let entries = ticks.get(now); entries !== undefined; entries = ticks.get(now)) {
          ticks.delete(now)
          for (const entry of entries) {
            const { fire } = entry
            if (fire === undefined) continue
            entry.fire = undefined
            pending--
            fire()
          }
          await new Promise<void>((resolve) => void immediately(resolve))
        }
      }
    },
    get pending() {
      return pending
    },
  }
}
