// How much to ask of a store at once: what it can carry is known only from what it did.

/** What is read at once at most: rows may be a megabyte each. */
export const READ_BYTES: number = 16 * 1_048_576

/** Grows while it goes well, and is much smaller after a failure: what was too much once must not be asked for again and again. */
export class Portion {
  readonly #most: number
  #size: number
  /** Up to here it doubles; beyond, it grows slowly: twice as much has failed before. */
  #safe: number

  /** @param first rows, before anything is known */
  constructor(most: number, first: number) {
    this.#most = most
    this.#size = Math.min(first, most)
    this.#safe = most
  }

  /** Rows. */
  get size(): number {
    return this.#size
  }

  /** So many rows came, of so many that were asked for. */
  went(rows: number, asked: number, bytes: number): void {
    if (rows === 0) return
    // Fewer than were asked for prove nothing of more.
    if (rows >= asked && asked >= this.#size) {
      const doubled = Math.min(this.#size * 2, this.#safe)
      this.#size = Math.min(this.#most, Math.max(doubled, this.#size + Math.ceil(this.#most / 100)))
    }
    if (bytes > 0) this.#size = Math.max(1, Math.min(this.#size, Math.floor((READ_BYTES / bytes) * rows)))
  }

  /** So many were too many, or it failed for another reason. */
  failed(asked: number): void {
    this.#safe = Math.max(1, asked >> 1)
    this.#size = Math.max(1, asked >> 2)
  }
}
