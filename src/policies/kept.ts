// Answers kept per key, where keys come from requests: bounded, and the longest unused goes first.

/** A bounded map by last use. */
export class Kept<V extends object> {
  // A Map keeps insertion order: taking out and putting in again makes it a list by last use.
  readonly #values: Map<string, V> = new Map()
  readonly #max: number

  constructor(max: number) {
    this.#max = max
  }

  get size(): number {
    return this.#values.size
  }

  /** Counts as a use. */
  get(key: string): V | undefined {
    const value = this.#values.get(key)
    if (value !== undefined && this.#values.size > 1) {
      this.#values.delete(key)
      this.#values.set(key, value)
    }
    return value
  }

  /** Gives back what had to go for it. */
  set(key: string, value: V): V | undefined {
    if (this.#values.delete(key) || this.#values.size < this.#max) {
      this.#values.set(key, value)
      return undefined
    }
    const [oldest] = this.#values as Iterable<[string, V]>
    if (oldest !== undefined) this.#values.delete(oldest[0])
    this.#values.set(key, value)
    return oldest?.[1]
  }

  delete(key: string): void {
    this.#values.delete(key)
  }

  values(): IterableIterator<V> {
    return this.#values.values()
  }
}
