// A queue that is cheap at any length: `array.shift` moves everything behind it.

/** First in, first out, in an array that grows by doubling and shrinks again once it is nearly empty. */
export class Ring<T> {
  private slots: (T | undefined)[] = new Array(16)
  private head = 0
  /** How many are in it. */
  size = 0

  push(item: T): void {
    if (this.size === this.slots.length) this.resize(this.size * 2)
    this.slots[(this.head + this.size) & (this.slots.length - 1)] = item
    this.size++
  }

  first(): T | undefined {
    return this.slots[this.head]
  }

  last(): T | undefined {
    return this.size === 0 ? undefined : this.slots[(this.head + this.size - 1) & (this.slots.length - 1)]
  }

  /** The one at an index counted from the first. */
  at(index: number): T | undefined {
    return index < this.size ? this.slots[(this.head + index) & (this.slots.length - 1)] : undefined
  }

  shift(): T | undefined {
    if (this.size === 0) return undefined
    const item = this.slots[this.head]
    this.slots[this.head] = undefined
    this.head = (this.head + 1) & (this.slots.length - 1)
    this.size--
    if (this.slots.length > 1024 && this.size < this.slots.length / 8) this.resize(this.slots.length / 4)
    return item
  }

  private resize(length: number): void {
    const slots = new Array<T | undefined>(length)
    for (let index = 0; index < this.size; index++) slots[index] = this.at(index)
    this.slots = slots
    this.head = 0
  }
}
