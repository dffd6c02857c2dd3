// Time for a simulation of many calls and no promises: moved on by hand, everything due on the way runs at once, in order.
import type { Clock } from '../../../src/core/clock.ts'

interface Due {
  readonly at: number
  readonly order: number
  run: (() => void) | undefined
}

/** A clock that nothing moves but `runUntil`. */
export interface VirtualClock extends Clock {
  /** Runs what falls due up to then, in order of time (of setting at one instant), and stands there. */
  runUntil(at: number): void
}

/** Makes one; it begins at 1000, since 0 means never to those who keep instants. */
export function virtualClock(): VirtualClock {
  const heap: Due[] = []
  let now = 1_000
  let order = 0
  const before = (a: Due, b: Due): boolean => a.at < b.at || (a.at === b.at && a.order < b.order)
  const add = (due: Due): void => {
    let at = heap.push(due) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!before(due, heap[parent] as Due)) break
      heap[at] = heap[parent] as Due
      at = parent
    }
    heap[at] = due
  }
  const takeFirst = (): Due => {
    const first = heap[0] as Due
    const last = heap.pop() as Due
    if (heap.length === 0) return first
    let at = 0
    for (;;) {
      let child = at * 2 + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && before(heap[child + 1] as Due, heap[child] as Due)) child++
      if (!before(heap[child] as Due, last)) break
      heap[at] = heap[child] as Due
      at = child
    }
    heap[at] = last
    return first
  }
  return {
    now: () => now,
    wallNow: () => 1_767_225_600_000 + now,
    setTimer(callback, ms, arg) {
      const due: Due = { at: now + Math.max(ms, 0), order: order++, run: () => callback(arg) }
      add(due)
      return due
    },
    clearTimer(timer) {
      if (timer !== undefined) (timer as Due).run = undefined
    },
    unref() {},
    runUntil(until) {
      while (heap.length > 0 && (heap[0] as Due).at <= until) {
        const due = takeFirst()
        if (due.run === undefined) continue
        now = Math.max(now, due.at)
        due.run()
      }
      now = Math.max(now, until)
    },
  }
}
