// Notices that a client does nothing any more. kafkajs can come to wait for ever (for an answer on a connection that it is closing), and says nothing then.
import type { Clock, Timer } from '../../../core/clock.ts'

// Several looks: a process that was stopped for a while finds its timers due, and its client has had no turn yet.
const LOOKS = 4

/** Calls once when there was no beat for so long. */
export class Pulse {
  private readonly clock: Clock
  private readonly everyMs: number
  private readonly silent: () => void
  private timer: Timer | undefined
  private heard = false
  private missed = 0

  /** @param limitMs of silence */
  constructor(clock: Clock, limitMs: number, silent: () => void) {
    this.clock = clock
    this.everyMs = limitMs / LOOKS
    this.silent = silent
  }

  /** A sign of life. */
  beat(): void {
    this.heard = true
  }

  start(): void {
    this.heard = true
    this.later()
  }

  end(): void {
    if (this.timer !== undefined) this.clock.clearTimer(this.timer)
    this.timer = undefined
  }

  private later(): void {
    this.timer = this.clock.setTimer((pulse: Pulse) => pulse.look(), this.everyMs, this)
    this.clock.unref(this.timer)
  }

  private look(): void {
    this.timer = undefined
    this.missed = this.heard ? 0 : this.missed + 1
    this.heard = false
    if (this.missed >= LOOKS) this.silent()
    else this.later()
  }
}
