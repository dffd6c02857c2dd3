// The ends of handler calls, under one timer: calls begin one after another with the same bound, so their ends stand in order already.
import type { Clock, Timer } from '../../core/clock.ts'

/** Something that ends. */
export interface Ending {
  /** On the scale of the clock. */
  endsAt: number
  /** Neighbours. Of the list. */
  sooner: Ending | undefined
  later: Ending | undefined
  listed: boolean
  /** Called once at its end, unless it was removed. */
  end(): void
}

/** A list in order of time. Adding at the end and removing cost a few writes; the timer is set once for many. */
export class Deadlines {
  readonly #clock: Clock
  #first: Ending | undefined
  #last: Ending | undefined
  #timer: Timer
  #ringsAt: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#first = undefined
    this.#last = undefined
    this.#timer = undefined
    this.#ringsAt = Infinity
  }

  add(ending: Ending, endsAt: number): void {
    ending.endsAt = endsAt
    ending.listed = true
    let before = this.#last
    while (before !== undefined && before.endsAt > endsAt) before = before.sooner
    const after = before === undefined ? this.#first : before.later
    ending.sooner = before
    ending.later = after
    if (before === undefined) this.#first = ending
    else before.later = ending
    if (after === undefined) this.#last = ending
    else after.sooner = ending
    if (endsAt < this.#ringsAt) this.#arm(endsAt)
  }

  remove(ending: Ending): void {
    if (!ending.listed) return
    ending.listed = false
    if (ending.sooner === undefined) this.#first = ending.later
    else ending.sooner.later = ending.later
    if (ending.later === undefined) this.#last = ending.sooner
    else ending.later.sooner = ending.sooner
    ending.sooner = undefined
    ending.later = undefined
  }

  /** No timer is left behind. */
  stop(): void {
    if (this.#ringsAt !== Infinity) this.#clock.clearTimer(this.#timer)
    this.#ringsAt = Infinity
  }

  #arm(at: number): void {
    this.stop()
    this.#ringsAt = at
    const ms = at - this.#clock.now()
    this.#timer = this.#clock.setTimer(ring, ms > 0 ? ms : 0, this)
    this.#clock.unref(this.#timer)
  }

  // By the time it was set for, not by the clock: a timer may ring a little early.
  ring(): void {
    const now = Math.max(this.#ringsAt, this.#clock.now())
    this.#ringsAt = Infinity
    for (;;) {
      const first = this.#first
      if (first === undefined) return
      if (first.endsAt > now) {
        if (first.endsAt < this.#ringsAt) this.#arm(first.endsAt)
        return
      }
      this.remove(first)
      first.end()
    }
  }
}

function ring(deadlines: Deadlines): void {
  deadlines.ring()
}
