// What comes by an order other than that of arrival: delayed messages by their time, returned ones by their place.

/** A binary heap. `before` says whether the first has to come out sooner. */
export class Heap<T> {
  private items: T[] = []
  private readonly before: (a: T, b: T) => boolean

  constructor(before: (a: T, b: T) => boolean) {
    this.before = before
  }

  get size(): number {
    return this.items.length
  }

  first(): T | undefined {
    return this.items[0]
  }

  /** In no order. */
  all(): readonly T[] {
    return this.items
  }

  push(item: T): void {
    const { items } = this
    let at = items.push(item) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!this.before(item, items[parent] as T)) break
      items[at] = items[parent] as T
      at = parent
    }
    items[at] = item
  }

  pop(): T | undefined {
    const { items } = this
    const first = items[0]
    const last = items.pop()
    if (items.length > 0) {
      items[0] = last as T
      this.sink(0)
    }
    return first
  }

  /** Keeps only what passes. */
  keep(test: (item: T) => boolean): void {
    this.items = this.items.filter(test)
    for (let at = (this.items.length >> 1) - 1; at >= 0; at--) this.sink(at)
  }

  private sink(from: number): void {
    const { items } = this
    const item = items[from] as T
    let at = from
    for (;;) {
      let child = at * 2 + 1
      if (child >= items.length) break
      if (child + 1 < items.length && this.before(items[child + 1] as T, items[child] as T)) child++
      if (!this.before(items[child] as T, item)) break
      items[at] = items[child] as T
      at = child
    }
    items[at] = item
  }
}
