// Which partitions are ours, since when and until when.
import type { PartitionLease } from '../../core/contracts/store.ts'

/** What an answer of the store changed. */
export interface TenureChange {
  readonly gained: readonly number[]
  readonly lost: readonly number[]
}

/** The partitions of a relay. Everything is on the relay's clock. */
export class Tenure {
  #leases: readonly PartitionLease[]
  #until: number
  /** By partition: epoch, and the version with which it was gained. */
  readonly #held: Map<number, { readonly epoch: bigint; readonly since: number }>
  #version: number
  #lostAt: number

  constructor() {
    this.#leases = []
    this.#until = -Infinity
    this.#held = new Map()
    this.#version = 0
    this.#lostAt = 0
  }

  get leases(): readonly PartitionLease[] {
    return this.#leases
  }

  /** When the first of them ends. */
  get until(): number {
    return this.#until
  }

  /** Grows with each change. */
  get version(): number {
    return this.#version
  }

  /** Whether any partition was lost after the version. */
  lostSince(version: number): boolean {
    return this.#lostAt > version
  }

  /** Whether the partition is ours, and was all the time since the version. */
  holds(partition: number, since: number): boolean {
    const held = this.#held.get(partition)
    return held !== undefined && held.since <= since
  }

  /** What the store answered to a question of `askedAt`. */
  update(leases: readonly PartitionLease[], askedAt: number, forMs: number): TenureChange {
    const gained: number[] = []
    const lost: number[] = []
    const version = this.#version + 1
    const now = new Map(leases.map((lease) => [lease.partition, lease]))
    for (const [partition, { epoch }] of this.#held) {
      if (now.get(partition)?.epoch === epoch) continue
      // Somebody else may have had it in between.
      lost.push(partition)
      this.#held.delete(partition)
    }
    // Not later than the store can mean it, whatever it says.
    let until = askedAt + forMs
    for (const { partition, epoch, until: end } of leases) {
      if (end < until) until = end
      if (this.#held.has(partition)) continue
      gained.push(partition)
      this.#held.set(partition, { epoch, since: version })
    }
    this.#leases = leases
    this.#until = leases.length === 0 ? -Infinity : until
    if (gained.length > 0 || lost.length > 0) this.#version = version
    if (lost.length > 0) this.#lostAt = version
    return { gained, lost }
  }
}
