// Which partitions are ours, since when and until when.
import type { PartitionLease } from '../../core/contracts/store.ts'

/** What an answer of the store changed. */
export interface TenureChange {
  readonly gained: readonly number[]
  readonly lost: readonly number[]
  /** Beyond its share by now. */
  readonly leaving: readonly number[]
}

/** The partitions of a relay. Everything is on the relay's clock. */
export class Tenure {
  #leases: readonly PartitionLease[]
  /** Beyond its share: nothing is begun with them, and what was sent of them is settled. By partition. */
  readonly #leaving: Map<number, PartitionLease>
  #until: number
  /** By partition: epoch, and the version with which it was gained. */
  readonly #held: Map<number, { readonly epoch: bigint; readonly since: number }>
  #version: number
  #lostAt: number

  constructor() {
    this.#leases = []
    this.#leaving = new Map()
    this.#until = -Infinity
    this.#held = new Map()
    this.#version = 0
    this.#lostAt = 0
  }

  get leases(): readonly PartitionLease[] {
    return this.#leases
  }

  /** Those that are to be given back once all that was sent of them is settled. */
  get leaving(): Iterable<PartitionLease> & { readonly size: number } {
    const leaving = this.#leaving
    return { size: leaving.size, [Symbol.iterator]: () => leaving.values() }
  }

  /** When the first of them ends. */
  get until(): number {
    return this.#until
  }

  /** Grows with each change. */
  get version(): number {
    return this.#version
  }

  /** Whether any partition was lost, or is to be given back, after the version. */
  lostSince(version: number): boolean {
    return this.#lostAt > version
  }

  /** Whether the partition is ours, and was all the time since the version. */
  holds(partition: number, since: number): boolean {
    const held = this.#held.get(partition)
    return held !== undefined && held.since <= since
  }

  /** The same, and something may be begun with it. */
  keeps(partition: number, since: number): boolean {
    return !this.#leaving.has(partition) && this.holds(partition, since)
  }

  /** They were given back. */
  gaveBack(leases: readonly PartitionLease[]): void {
    for (const { partition } of leases) {
      this.#leaving.delete(partition)
      this.#held.delete(partition)
    }
  }

  /** What the store answered to a question of `askedAt`. */
  update(leases: readonly PartitionLease[], askedAt: number, forMs: number): TenureChange {
    const gained: number[] = []
    const lost: number[] = []
    const leaving: number[] = []
    const version = this.#version + 1
    const now = new Map(leases.map((lease) => [lease.partition, lease]))
    for (const [partition, { epoch }] of this.#held) {
      if (now.get(partition)?.epoch === epoch) continue
      // Somebody else may have had it in between.
      lost.push(partition)
      this.#held.delete(partition)
      this.#leaving.delete(partition)
    }
    const kept: PartitionLease[] = []
    // Not later than the store can mean it, whatever it says.
    let until = askedAt + forMs
    for (const lease of leases) {
      const { partition, epoch, until: end, surplus } = lease
      const known = this.#held.has(partition)
      if (!known) this.#held.set(partition, { epoch, since: version })
      if (surplus === true) {
        // It counts for nothing that it is still held.
        if (known && !this.#leaving.has(partition)) leaving.push(partition)
        this.#leaving.set(partition, lease)
        continue
      }
      kept.push(lease)
      if (end < until) until = end
      // There may be something that was let go of meanwhile.
      if (this.#leaving.delete(partition) || !known) gained.push(partition)
    }
    this.#leases = kept
    this.#until = kept.length === 0 ? -Infinity : until
    if (gained.length + lost.length + leaving.length > 0) this.#version = version
    if (lost.length + leaving.length > 0) this.#lostAt = version
    return { gained, lost, leaving }
  }
}
