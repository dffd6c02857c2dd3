// What is remembered for a while: as much as there is room for, so that memory has a bound.

/** By id; the oldest go first when there are too many. */
export class Remembered<V> {
  readonly #all: Map<string, V>
  readonly #max: number

  constructor(max: number) {
    this.#all = new Map()
    this.#max = max
  }

  get size(): number {
    return this.#all.size
  }

  has(id: string): boolean {
    return this.#all.has(id)
  }

  get(id: string): V | undefined {
    return this.#all.get(id)
  }

  set(id: string, value: V): void {
    this.#all.delete(id)
    this.#all.set(id, value)
    if (this.#all.size <= this.#max) return
    const oldest = this.#all.keys().next()
    if (oldest.done !== true) this.#all.delete(oldest.value)
  }

  delete(id: string): void {
    this.#all.delete(id)
  }
}
