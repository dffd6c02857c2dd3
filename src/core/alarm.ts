// One timer for all the bounds of one call: a timer is the dearest thing that a call in good order makes, and an attempt
// timeout nearly always stands before the deadline, so that the one timer serves both.
import type { Clock, Timer } from './clock.ts'

/** What has to be told when its time is over. It is a link of the alarm's list itself, so that waiting allocates nothing. */
export interface Bound {
  /** Of the alarm. Set it to undefined and leave it alone. */
  nextBound: Bound | undefined
  /** When, on the scale of the clock. Of the alarm. */
  dueAt: number
  expire(): void
}

/** The bounds of one call. What is over takes itself off; the timer may then ring for nobody, and is set anew for the rest. */
export class Alarm {
  readonly clock: Clock
  private first: Bound | undefined
  private timer: Timer
  private ringsAt: number

  constructor(clock: Clock) {
    this.clock = clock
    this.first = undefined
    this.timer = undefined
    this.ringsAt = Infinity
  }

  /** Tells the bound at an instant, which is `ms` from now. */
  add(bound: Bound, dueAt: number, ms: number): void {
    bound.dueAt = dueAt
    bound.nextBound = this.first
    this.first = bound
    if (dueAt < this.ringsAt) this.set(dueAt, ms)
  }

  /** The bound is not told any more. */
  remove(bound: Bound): void {
    if (this.first === bound) this.first = bound.nextBound
    else {
      let each = this.first
      while (each !== undefined && each.nextBound !== bound) each = each.nextBound
      if (each === undefined) return
      each.nextBound = bound.nextBound
    }
    bound.nextBound = undefined
    if (this.first !== undefined) return
    if (this.ringsAt !== Infinity) this.clock.clearTimer(this.timer)
    this.ringsAt = Infinity
  }

  private set(dueAt: number, ms: number): void {
    if (this.ringsAt !== Infinity) this.clock.clearTimer(this.timer)
    this.ringsAt = dueAt
    this.timer = this.clock.setTimer(ring, ms > 0 ? ms : 0, this)
  }

  // By the time that the timer was set for, not by the clock: a timer may ring a little early. Only one is told at a time:
  // what follows from it runs before the next one is, and an inner bound is told before an outer one of the same instant.
  ring(): void {
    const now = this.ringsAt
    this.ringsAt = Infinity
    const due = this.earliest()
    if (due === undefined) return
    if (due.dueAt > now) {
      this.set(due.dueAt, due.dueAt - this.clock.now())
      return
    }
    this.remove(due)
    const next = this.earliest()
    if (next !== undefined) this.set(next.dueAt, next.dueAt <= now ? 0 : next.dueAt - this.clock.now())
    due.expire()
  }

  // Those added first are last in the list.
  private earliest(): Bound | undefined {
    let found = this.first
    for (let each = found; each !== undefined; each = each.nextBound)
      if (found === undefined || each.dueAt <= found.dueAt) found = each
    return found
  }
}

function ring(alarm: Alarm): void {
  alarm.ring()
}
