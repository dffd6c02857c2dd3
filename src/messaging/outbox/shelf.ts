// Which partitions to read next. One is read only while nothing of it is in hand: then what comes is all there is of it, in order, whatever was committed late, freed or put
// back meanwhile. Reading on behind the last row that was read would miss those, and let later rows of a key pass them.
import type { PartitionLease, PendingRow } from '../../core/contracts/store.ts'

/** Rows in hand by partition, and what is worth reading. */
export class Shelf {
  /** Rows in hand, by number of the partition. */
  readonly #counts: number[]
  #total: number
  /** There may be something. */
  readonly #wanted: Set<number>
  /** When each was read last, in reads. */
  readonly #readAt: number[]
  #reads: number

  constructor() {
    this.#counts = []
    this.#total = 0
    this.#wanted = new Set()
    this.#readAt = []
    this.#reads = 0
  }

  /** Rows in hand. */
  get total(): number {
    return this.#total
  }

  /** Whether something of the partition is in hand. */
  has(partition: number): boolean {
    return (this.#counts[partition] ?? 0) > 0
  }

  /** There may be something in all of these. */
  want(leases: readonly PartitionLease[]): void {
    for (const { partition } of leases) this.#wanted.add(partition)
  }

  /**
   * Those to read now: free, and worth it.
   * @param most partitions at most; those that were not read for the longest time come first
   */
  next(leases: readonly PartitionLease[], most: number): readonly PartitionLease[] {
    const free = leases.filter(({ partition }) => this.#wanted.has(partition) && !this.has(partition))
    if (free.length <= most) return free
    const readAt = this.#readAt
    return free.sort((a, b) => (readAt[a.partition] ?? 0) - (readAt[b.partition] ?? 0)).slice(0, most)
  }

  /** They are being read: whatever is there now is found. */
  begin(leases: readonly PartitionLease[]): void {
    this.#reads++
    for (const { partition } of leases) {
      this.#wanted.delete(partition)
      this.#readAt[partition] = this.#reads
    }
  }

  taken({ partition }: PendingRow): void {
    this.#counts[partition] = (this.#counts[partition] ?? 0) + 1
    this.#total++
  }

  /** Settled, or let go of. */
  gone({ partition }: PendingRow): void {
    this.#counts[partition] = (this.#counts[partition] as number) - 1
    this.#total--
  }

  /** Let go of as it is: it has to be read again. */
  letGo(row: PendingRow): void {
    this.gone(row)
    this.#wanted.add(row.partition)
  }
}
