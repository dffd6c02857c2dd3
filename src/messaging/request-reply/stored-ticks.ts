// When the requests of this process run out: so that none of them waits for the next regular look at the store, and thousands of them need no timer each.

/** Instants rounded up to a grid, each once, in order. */
export class Ticks {
  readonly #gridMs: number
  readonly #most: number
  /** Ascending; those before `#from` are over. */
  #ticks: number[]
  #from: number

  /** @param most beyond so many the later ones are not remembered: the regular look finds them */
  constructor(gridMs: number, most: number) {
    this.#gridMs = gridMs
    this.#most = most
    this.#ticks = []
    this.#from = 0
  }

  add(at: number): void {
    const tick = Math.ceil(at / this.#gridMs) * this.#gridMs
    let low = this.#from
    let high = this.#ticks.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#ticks[middle] as number) < tick) low = middle + 1
      else high = middle
    }
    if (this.#ticks[low] === tick) return
    this.#ticks.splice(low, 0, tick)
    if (this.#ticks.length - this.#from > this.#most) this.#ticks.pop()
  }

  /** The next one; Infinity for none. */
  get next(): number {
    return this.#ticks[this.#from] ?? Infinity
  }

  /** Forgets those up to now. */
  passed(now: number): void {
    while (this.next <= now) this.#from++
    if (this.#from < 1_000 && this.#from < this.#ticks.length) return
    this.#ticks = this.#ticks.slice(this.#from)
    this.#from = 0
  }
}
