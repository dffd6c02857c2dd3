// Watches what relays do to a database: whoever does not hold a partition any more changes nothing in it. Consumers with an inbox hide most of what a
// relay without fencing does, so it is looked for where it is done.
import type { MemoryStore } from 'fairlead/memory'
import type { Finding } from '../../src/testing/crash-test/run.ts'

interface Watched {
  /** The newest of each partition. */
  readonly epochs: Map<number, bigint>
  readonly partitions: Map<bigint, number>
}

export class Fences {
  readonly findings: Finding[] = []
  readonly #watched = new Map<string, Watched>()

  /** A view of the database `name` that is looked at. */
  watch(name: string, store: MemoryStore): MemoryStore {
    let watched = this.#watched.get(name)
    if (watched === undefined) {
      watched = { epochs: new Map(), partitions: new Map() }
      this.#watched.set(name, watched)
    }
    const { epochs, partitions } = watched
    const { outbox } = store
    return {
      ...store,
      outbox: {
        ...outbox,
        lease: async (relay, forMs) => {
          const leases = await outbox.lease(relay, forMs)
          for (const { partition, epoch } of leases)
            if (epoch > (epochs.get(partition) ?? -1n)) epochs.set(partition, epoch)
          return leases
        },
        pending: async (leases, limit) => {
          const rows = await outbox.pending(leases, limit)
          for (const { sequence, partition } of rows) partitions.set(sequence, partition)
          return rows
        },
        settle: async (leases, verdicts) => {
          const mine = new Set(
            leases.filter(({ partition, epoch }) => epochs.get(partition) === epoch).map(partitionOf),
          )
          const allowed = verdicts.filter(({ sequence }) => mine.has(partitions.get(sequence) ?? -1)).length
          const settled = await outbox.settle(leases, verdicts)
          if (settled > allowed)
            this.findings.push({
              rule: 'fencing',
              message: `a relay settled ${settled} rows of ${name}, and held the partitions of only ${allowed}`,
            })
          return settled
        },
      },
    }
  }
}

function partitionOf({ partition }: { readonly partition: number }): number {
  return partition
}
