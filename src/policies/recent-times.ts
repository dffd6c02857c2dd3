// How long the latest answers took, for a percentile that follows the load without a clock or a timer.

const KEPT = 200
const LEAST = 20

// Sorting is what it costs, so it is done once for so many new ones.
const SORT_EVERY = 20

/** The last 200 times and a percentile of them. */
export class RecentTimes {
  readonly #share: number
  readonly #ring: Float64Array = new Float64Array(KEPT)
  #count = 0
  #unsorted = 0
  /** Undefined before the first 20. */
  percentileMs: number | undefined

  constructor(share: number) {
    this.#share = share
    this.percentileMs = undefined
  }

  add(ms: number): void {
    this.#ring[this.#count % KEPT] = ms
    this.#count++
    if (++this.#unsorted < SORT_EVERY || this.#count < LEAST) return
    this.#unsorted = 0
    const sorted = this.#ring.slice(0, Math.min(this.#count, KEPT)).sort()
    this.percentileMs = sorted[Math.min(Math.floor(sorted.length * this.#share), sorted.length - 1)]
  }
}
