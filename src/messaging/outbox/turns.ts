// Whose turn it is while little can be tried: a send to several receivers may fail as a whole and reach those that are there all the same, so each message has to be tried.
import type { PendingRow } from '../../core/contracts/store.ts'

/** Rows that are remembered at most. */
const MOST = 10_000

/** When rows were tried during an outage. */
export class Turns {
  /** By sequence, the one that was tried the longest time ago first. */
  readonly #triedAt: Map<bigint, number>
  #tries: number

  constructor() {
    this.#triedAt = new Map()
    this.#tries = 0
  }

  /** The lowest comes first: 0 was never tried. */
  readonly rank = ({ sequence }: PendingRow): number => this.#triedAt.get(sequence) ?? 0

  tried(rows: readonly PendingRow[]): void {
    const at = ++this.#tries
    for (const { sequence } of rows) {
      this.#triedAt.delete(sequence)
      this.#triedAt.set(sequence, at)
    }
    for (const sequence of this.#triedAt.keys()) {
      if (this.#triedAt.size <= MOST) break
      this.#triedAt.delete(sequence)
    }
  }

  clear(): void {
    this.#triedAt.clear()
    this.#tries = 0
  }
}
