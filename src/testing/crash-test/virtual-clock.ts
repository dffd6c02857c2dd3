// Time of a run: it stands still while any code has something to do, and then goes on to the next timer at once.
import { type Clock, LONGEST_TIMER_MS, type Timer } from '../../core/clock.ts'

interface VirtualTimer {
  readonly due: number
  readonly order: number
  callback: ((arg: unknown) => void) | undefined
  readonly arg: unknown
}

const FIRST_OF_2026 = 1_767_225_600_000
const before = (a: VirtualTimer, b: VirtualTimer): boolean => a.due < b.due || (a.due === b.due && a.order < b.order)

/** A clock that is moved from timer to timer. Those of one instant fire in the order in which they were set. */
export class VirtualClock implements Clock {
  private time = 0
  private order = 0
  // A binary heap. A timer that was cleared stays until it surfaces.
  private readonly heap: VirtualTimer[] = []

  now(): number {
    return this.time
  }

  wallNow(): number {
    return FIRST_OF_2026 + this.time
  }

  setTimer<A>(callback: (arg: A) => void, ms: number, arg: A): Timer {
    if (typeof ms !== 'number' || Number.isNaN(ms)) throw new RangeError(`a timer of ${String(ms)} ms: give a number`)
    const timer: VirtualTimer = {
      due: this.time + Math.min(Math.max(ms, 0), LONGEST_TIMER_MS),
      order: this.order++,
      callback: callback as (arg: unknown) => void,
      arg,
    }
    const { heap } = this
    let at = heap.push(timer) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      const above = heap[parent] as VirtualTimer
      if (!before(timer, above)) break
      heap[at] = above
      at = parent
    }
    heap[at] = timer
    return timer
  }

  clearTimer(timer: Timer): void {
    if (timer !== undefined && timer !== null) (timer as VirtualTimer).callback = undefined
  }

  unref(): void {}

  /** Goes to the next timer and fires it; false where there is none until then: then it is `until`. */
  next(until: number): boolean {
    const timer = this.first()
    if (timer === undefined || timer.due > until) {
      if (until !== Infinity && until > this.time) this.time = until
      return false
    }
    this.drop()
    const { callback } = timer
    timer.callback = undefined
    if (timer.due > this.time) this.time = timer.due
    callback?.(timer.arg)
    return true
  }

  private first(): VirtualTimer | undefined {
    for (let first = this.heap[0]; first !== undefined; first = this.heap[0]) {
      if (first.callback !== undefined) return first
      this.drop()
    }
    return undefined
  }

  private drop(): void {
    const { heap } = this
    const last = heap.pop() as VirtualTimer
    const size = heap.length
    if (size === 0) return
    let at = 0
    for (;;) {
      let child = at * 2 + 1
      if (child >= size) break
      if (child + 1 < size && before(heap[child + 1] as VirtualTimer, heap[child] as VirtualTimer)) child++
      if (!before(heap[child] as VirtualTimer, last)) break
      heap[at] = heap[child] as VirtualTimer
      at = child
    }
    heap[at] = last
  }
}
