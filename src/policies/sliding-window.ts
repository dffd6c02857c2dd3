// An exact limit: never more than so many in any stretch of the given length, wherever it begins.

/** The last `limit` admissions. Memory grows with use, to 8 bytes for each of them. */
export class SlidingWindow {
  readonly #limit: number
  readonly #perMs: number
  // Instants in order, some of them still to come; a ring once it is full.
  #times: number[] = []
  #oldest = 0
  #newest = -Infinity

  constructor(limit: number, perMs: number) {
    this.#limit = limit
    this.#perMs = perMs
  }

  /**
   * Milliseconds until the next one may be let in, 0 for now. If that is no more than `maxWaitMs`, the place is taken;
   * who takes a place and leaves it unused has used it.
   */
  take(now: number, maxWaitMs: number): number {
    if (this.idle(now)) {
      this.#times = []
      this.#oldest = 0
    }
    const full = this.#times.length === this.#limit
    const at = full ? Math.max(now, (this.#times[this.#oldest] as number) + this.#perMs) : now
    const waitMs = at - now
    if (waitMs > maxWaitMs) return waitMs
    this.#newest = at
    if (full) {
      this.#times[this.#oldest] = at
      this.#oldest = (this.#oldest + 1) % this.#limit
    } else this.#times.push(at)
    return waitMs
  }

  /** Nothing in it counts any more: it may be forgotten. */
  idle(now: number): boolean {
    return now - this.#newest >= this.#perMs
  }
}
