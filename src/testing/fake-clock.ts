// Time that stands still until a test moves it: what waits for five seconds is tested in none, and always in the same order.
import { type Clock, LONGEST_TIMER_MS } from '../core/clock.ts'

/** Where a fake clock begins. */
export interface FakeClockOptions {
  /** What `now()` says at first, milliseconds. Default 0. */
  readonly now?: number | undefined
  /** What `wallNow()` says at first, milliseconds since 1970. Default: the first instant of 2026, UTC. */
  readonly wall?: number | undefined
}

/** A clock that a test owns. Nothing fires unless the test moves it. */
export interface FakeClock extends Clock {
  /**
   * Moves time on by `ms`, firing what falls due on the way in order of time (in order of setting at one instant).
   * Before, between and after the timers it lets promises of any length settle. A timer of 0 ms that is set on the way fires on the way;
   * `advance(0)` fires what is due now.
   * @throws RangeError for a time that is negative or not finite, and when 1,000,000 timers have fired (one that sets itself again for ever);
   * rejects with what a timer's callback throws
   */
  advance(ms: number): Promise<void>
  /**
   * Moves time on until no timer is left that would keep the process up.
   * @param limit how many timers may fire before it gives up with a RangeError; default 10,000
   */
  runAll(limit?: number): Promise<void>
  /** How many timers are set. */
  readonly pending: number
}

interface FakeTimer {
  readonly due: number
  readonly order: number
  readonly fire: () => void
  state: 'set' | 'done'
  keepsUp: boolean
}

const FIRST_OF_2026 = 1_767_225_600_000
const MOST = 1_000_000
const before = (a: FakeTimer, b: FakeTimer): boolean => a.due < b.due || (a.due === b.due && a.order < b.order)

/**
 * Makes a clock for tests.
 * @example
 * const clock = fakeClock()
 * const call = resilient('stock', getStock, { deadlineMs: 500, clock })()
 * await clock.advance(500)
 */
export function fakeClock(options: FakeClockOptions = {}): FakeClock {
  const start = options.now ?? 0
  const wall = options.wall ?? FIRST_OF_2026
  const queue = timerQueue()
  let now = start
  let order = 0

  const fire = (timer: FakeTimer): void => {
    queue.remove(timer)
    // Two that advance at once must not move time back.
    now = Math.max(now, timer.due)
    timer.fire()
  }

  return {
    now: () => now,
    wallNow: () => wall + now - start,
    setTimer(callback, ms, arg) {
      if (typeof ms !== 'number' || Number.isNaN(ms)) throw new RangeError(`a timer of ${String(ms)} ms: give a number`)
      const timer: FakeTimer = {
        due: now + Math.min(Math.max(ms, 0), LONGEST_TIMER_MS),
        order: order++,
        fire: () => callback(arg),
        state: 'set',
        keepsUp: true,
      }
      queue.add(timer)
      return timer
    },
    clearTimer(timer) {
      if (timer !== undefined && timer !== null) queue.remove(timer as FakeTimer)
    },
    unref(timer) {
      queue.letGo(timer as FakeTimer)
    },
    async advance(ms) {
      if (!(ms >= 0) || ms === Infinity) throw new RangeError(`cannot advance by ${ms} ms: give a number from 0`)
      const until = now + ms
      await settle()
      for (let fired = 0; ; fired++) {
        const timer = queue.first()
        if (timer === undefined || timer.due > until) break
        if (fired === MOST)
          throw new RangeError(`${MOST} timers fired within ${ms} ms: does one set itself again at once?`)
        fire(timer)
        await settle()
      }
      now = Math.max(now, until)
      await settle()
    },
    async runAll(limit = 10_000) {
      await settle()
      for (let fired = 0; queue.keepingUp > 0; fired++) {
        if (fired === limit)
          throw new RangeError(`${limit} timers fired and ${queue.size} are still set: does one set itself again?`)
        fire(queue.first() as FakeTimer)
        await settle()
      }
    },
    get pending() {
      return queue.size
    },
  }
}

// Taken when the module is loaded: a test runner may put its own in place later.
const immediately = setImmediate

// Microtasks run dry before each turn of the event loop. A second turn is for work that takes a turn itself.
async function settle(): Promise<void> {
  for (let turn = 0; turn < 2; turn++) await new Promise<void>((resolve) => void immediately(resolve))
}

interface TimerQueue {
  add(timer: FakeTimer): void
  /** Does nothing to a timer that has fired or was removed. */
  remove(timer: FakeTimer): void
  letGo(timer: FakeTimer): void
  first(): FakeTimer | undefined
  readonly size: number
  readonly keepingUp: number
}

// A binary heap: simulations hold thousands of timers. Removed ones stay until they surface or outnumber the others.
function timerQueue(): TimerQueue {
  let heap: FakeTimer[] = []
  let size = 0
  let keepingUp = 0

  const sink = (from: number): void => {
    const timer = heap[from] as FakeTimer
    let at = from
    for (;;) {
      let child = at * 2 + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && before(heap[child + 1] as FakeTimer, heap[child] as FakeTimer)) child++
      if (!before(heap[child] as FakeTimer, timer)) break
      heap[at] = heap[child] as FakeTimer
      at = child
    }
    heap[at] = timer
  }
  const dropFirst = (): void => {
    const last = heap.pop() as FakeTimer
    if (heap.length === 0) return
    heap[0] = last
    sink(0)
  }

  return {
    add(timer) {
      size++
      keepingUp++
      let at = heap.push(timer) - 1
      while (at > 0) {
        const parent = (at - 1) >> 1
        if (!before(timer, heap[parent] as FakeTimer)) break
        heap[at] = heap[parent] as FakeTimer
        at = parent
      }
      heap[at] = timer
    },
    remove(timer) {
      if (timer.state === 'done') return
      timer.state = 'done'
      size--
      if (timer.keepsUp) keepingUp--
      if (heap.length > 64 && size < heap.length / 2) {
        heap = heap.filter((each) => each.state === 'set')
        for (let at = (heap.length >> 1) - 1; at >= 0; at--) sink(at)
      }
    },
    letGo(timer) {
      if (timer.state === 'done' || !timer.keepsUp) return
      timer.keepsUp = false
      keepingUp--
    },
    first() {
      while (heap[0]?.state === 'done') dropFirst()
      return heap[0]
    },
    get size() {
      return size
    },
    get keepingUp() {
      return keepingUp
    },
  }
}
