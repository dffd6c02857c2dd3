// Tells an outage from bad messages: when one message after another fails, it is not the messages. Then they are tried one at a time, at growing
// intervals, and nothing is held against them, until one goes well.
import type { Clock, Random, Timer } from '../../core/clock.ts'

/** What the throttle tells; `due`: a message may be tried. */
export type ThrottleStep = 'on' | 'due' | 'probe' | 'longer' | 'off'

/** Counts failures of different messages in a row. */
export class Throttle {
  readonly #failures: number
  readonly #probeMs: number
  readonly #maxProbeMs: number
  readonly #clock: Clock
  readonly #random: Random
  readonly #changed: (step: ThrottleStep, waitMs: number) => void
  readonly #failing: Set<string>
  #on: boolean
  /** A message may be tried. */
  #due: boolean
  #probing: boolean
  #waitMs: number
  #timer: Timer

  constructor(
    plan: { readonly failures: number; readonly probeMs: number; readonly maxProbeMs: number },
    clock: Clock,
    random: Random,
    changed: (step: ThrottleStep, waitMs: number) => void,
  ) {
    this.#failures = plan.failures
    this.#probeMs = plan.probeMs
    this.#maxProbeMs = plan.maxProbeMs
    this.#clock = clock
    this.#random = random
    this.#changed = changed
    this.#failing = new Set()
    this.#on = false
    this.#due = false
    this.#probing = false
    this.#waitMs = plan.probeMs
    this.#timer = undefined
  }

  get on(): boolean {
    return this.#on
  }

  /** How many handler calls there may be at once. */
  limit(usual: number): number {
    return this.#on ? (this.#due ? 1 : 0) : usual
  }

  /** A handler call begins. */
  begun(): void {
    if (!this.#on) return
    this.#due = false
    this.#probing = true
    this.#changed('probe', 0)
  }

  /** Something that could go well later went wrong. */
  failed(id: string): void {
    if (this.#on) {
      // Those that were under way when it began say nothing new.
      if (this.#probing) this.#wait('longer', Math.min(this.#waitMs * 2, this.#maxProbeMs))
      return
    }
    this.#failing.add(id)
    if (this.#failing.size < this.#failures) return
    this.#on = true
    this.#wait('on', this.#probeMs)
  }

  /** It says nothing about an outage: a wish of the handler, a bad message, a lost lease. */
  neutral(): void {
    if (this.#probing) this.#wait('longer', this.#waitMs)
  }

  succeeded(): void {
    if (this.#failing.size > 0) this.#failing.clear()
    if (!this.#on) return
    this.stop()
    this.#on = false
    this.#due = false
    this.#probing = false
    this.#changed('off', 0)
  }

  stop(): void {
    this.#clock.clearTimer(this.#timer)
    this.#timer = undefined
  }

  #wait(step: ThrottleStep, ms: number): void {
    this.#probing = false
    this.#due = false
    this.#waitMs = ms
    // Half to one and a half of it: many consumers of one failing service must not come back together.
    const waitMs = ms * (0.5 + this.#random())
    this.stop()
    this.#timer = this.#clock.setTimer(due, waitMs, this)
    this.#clock.unref(this.#timer)
    this.#changed(step, waitMs)
  }

  ring(): void {
    this.#timer = undefined
    this.#due = true
    this.#changed('due', 0)
  }
}

function due(throttle: Throttle): void {
  throttle.ring()
}
