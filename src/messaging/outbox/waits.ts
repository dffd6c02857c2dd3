// Waiting on the injected clock: growing with each failure, with jitter, and one timer at a time.
import type { Clock, Random, Timer } from '../../core/clock.ts'

/** From, doubling to, milliseconds. */
export interface Growth {
  readonly minMs: number
  readonly maxMs: number
}

/** The wait after so many failures: half to all of it, so that many relays do not come back together. */
export function grown({ minMs, maxMs }: Growth, failures: number, random: Random): number {
  const ms = Math.min(maxMs, minMs * 2 ** Math.min(failures, 40))
  return ms * (0.5 + random() / 2)
}

/** One thing that is due at one time. */
export class Alarm {
  readonly #clock: Clock
  readonly #ring: () => void
  #timer: Timer
  #at: number

  constructor(clock: Clock, ring: () => void) {
    this.#clock = clock
    this.#ring = ring
    this.#timer = undefined
    this.#at = Infinity
  }

  /** When it rings, on the scale of the clock; Infinity: not at all. */
  get at(): number {
    return this.#at
  }

  /** In so long, whatever was set before. */
  set(ms: number): void {
    this.clear()
    this.#at = this.#clock.now() + ms
    this.#timer = this.#clock.setTimer(ring, ms, this)
  }

  /** In so long, or when it would ring anyway, if that is sooner. */
  atLatest(ms: number): void {
    if (this.#clock.now() + ms < this.#at) this.set(ms)
  }

  clear(): void {
    if (this.#at === Infinity) return
    this.#clock.clearTimer(this.#timer)
    this.#at = Infinity
  }

  rings(): void {
    this.#at = Infinity
    this.#ring()
  }
}

function ring(alarm: Alarm): void {
  alarm.rings()
}
