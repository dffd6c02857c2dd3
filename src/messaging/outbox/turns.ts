// Whose turn it is while little can be tried: a send to several receivers may fail as a whole and reach those that are there all the same, so each message has to be tried.
import type { PendingRow } from '../../core/contracts/store.ts'
import { nameOf } from './hand.ts'

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

  /** Whether there is one, not behind another of its key, that was not tried since nothing gets through. */
  anyUntried(rows: readonly PendingRow[]): boolean {
    const keys = new Set<string>()
    for (const row of rows) {
      const { key } = row.envelope
      const name = key === undefined ? undefined : `${nameOf(row.channel)} ${key}`
      if ((name === undefined || !keys.has(name)) && this.rank(row) === 0) return true
      if (name !== undefined) keys.add(name)
    }
    return false
  }

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
