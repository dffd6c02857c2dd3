// Stores that share partitions wrongly, or settle for whoever asks.

import type { MemoryTx } from '../../../src/adapters/memory/index.ts'
import type { OutboxStore, PartitionLease, RowVerdict } from '../../../src/core/contracts/store.ts'
import type { StoreMutant } from './store-kit.ts'

type Outbox = OutboxStore<MemoryTx>

const LATER = 1_000_000
// What is asked for in the name of whoever has it by now.
function knowing(
  change: (current: (leases: readonly PartitionLease[]) => readonly PartitionLease[], real: Outbox) => Partial<Outbox>,
): StoreMutant['make'] {
  return () => {
    const latest = new Map<number, PartitionLease>()
    const current = (leases: readonly PartitionLease[]): readonly PartitionLease[] =>
      leases.map((lease) => latest.get(lease.partition) ?? lease)
    return (real) => ({
      outbox: {
        async lease(...args) {
          const leases = await real.outbox.lease(...args)
          for (const lease of leases) latest.set(lease.partition, lease)
          return leases
        },
        ...change(current, real.outbox),
      },
    })
  }
}

const ALL: readonly PartitionLease[] = Array.from({ length: 64 }, (_, partition) => ({
  partition,
  epoch: 1n,
  until: 0,
}))

export const leaseMutants: readonly StoreMutant[] = [
  {
    what: 'leases everything to everyone',
    caught: [
      'never leases a partition to two relays that ask at once',
      'shares partitions fairly when relays join',
      'releases only what is asked for, and what is still held',
    ],
    make: (clock) => () => ({
      outbox: { lease: async (_, forMs) => ALL.map((each) => ({ ...each, until: clock.now() + forMs })) },
    }),
  },
  {
    what: 'does not raise epochs',
    caught: [
      'gives the partitions of a relay that died to others when its lease is over, and not before',
      'takes a relay that comes back too late for a new holder',
      'gives released partitions to others at once, at a higher epoch',
      'settles nothing for a relay that was replaced',
      'settles nothing for a relay that comes back under its name with the leases of before',
      'settles nothing by leases that were given back',
    ],
    make: () => {
      const latest = new Map<number, PartitionLease>()
      const current = (leases: readonly PartitionLease[]): readonly PartitionLease[] =>
        leases.map((lease) => latest.get(lease.partition) ?? lease)
      return (real) => ({
        outbox: {
          async lease(...args) {
            const leases = await real.outbox.lease(...args)
            for (const lease of leases) latest.set(lease.partition, lease)
            return leases.map((lease) => ({ ...lease, epoch: 1n }))
          },
          release: (leases) => real.outbox.release(current(leases)),
          pending: (leases, ...rest) => real.outbox.pending(current(leases), ...rest),
          async settle(leases, verdicts) {
            const back = leases.filter(({ partition }) => latest.has(partition))
            await real.outbox.lease('somebody', LATER)
            return real.outbox.settle(current(back), verdicts)
          },
        },
      })
    },
  },
  {
    what: 'raises epochs with each asking',
    caught: [
      'lets a relay that asks again in time keep partitions and epochs',
      'leaves partitions where they are once they are shared',
    ],
    make: () => {
      let raised = 0n
      return (real) => ({
        outbox: {
          async lease(...args) {
            raised++
            return (await real.outbox.lease(...args)).map((lease) => ({ ...lease, epoch: lease.epoch + raised }))
          },
        },
      })
    },
  },
  {
    what: 'says that leases last longer than they do',
    caught: ['does not lease a partition to another one before the holder knows that its time is over'],
    make: () => (real) => ({
      outbox: {
        lease: async (relay, forMs) =>
          (await real.outbox.lease(relay, forMs / 2)).map((lease) => ({ ...lease, until: lease.until + forMs / 2 })),
      },
    }),
  },
  {
    what: 'says of leases that they end far later',
    caught: ['leases every partition to a relay that is alone, for as long as it asks'],
    make: () => (real) => ({
      outbox: {
        lease: async (...args) =>
          (await real.outbox.lease(...args)).map((lease) => ({ ...lease, until: lease.until + LATER })),
      },
    }),
  },
  {
    what: 'never ends a lease',
    caught: [
      'gives the partitions of a relay that died to others when its lease is over, and not before',
      'gives rows of a batch whose relay died to the next one, in order',
      'does not extend what is beyond its share for a relay that asks again and again, and never gives it back',
    ],
    make: () => (real) => ({
      outbox: {
        lease: async (relay, forMs) =>
          (await real.outbox.lease(relay, forMs + LATER)).map((lease) => ({ ...lease, until: lease.until - LATER })),
      },
    }),
  },
  {
    what: 'leaves all to the first relay',
    caught: ['shares partitions fairly when relays join'],
    make: () => {
      let first: string | undefined
      return (real) => ({
        outbox: {
          lease: async (relay, forMs) => {
            const leases = await real.outbox.lease(first === undefined || first === relay ? relay : first, forMs)
            if (leases.length > 0) first ??= relay
            return first === relay ? leases : []
          },
          release: async (leases) => {
            first = undefined
            await real.outbox.release(leases)
          },
        },
      })
    },
  },
  {
    what: 'deals partitions anew with each asking',
    caught: [
      'leaves partitions where they are once they are shared',
      'lets a relay that asks again in time keep partitions and epochs',
    ],
    make: () => {
      const held = new Map<string, readonly PartitionLease[]>()
      return (real) => ({
        outbox: {
          async lease(relay, forMs) {
            await real.outbox.release(held.get(relay) ?? [])
            const leases = await real.outbox.lease(relay, forMs)
            held.set(relay, leases)
            return leases
          },
        },
      })
    },
  },
  {
    what: 'takes what is beyond its share from a relay at once',
    caught: [
      'leaves what is beyond its share to a relay until it has settled what it sent and gives it back, and to no other meanwhile',
    ],
    make: () => (real) => ({
      outbox: {
        async lease(relay, forMs) {
          const leases = await real.outbox.lease(relay, forMs)
          const kept = leases.filter(({ surplus }) => surplus !== true)
          if (kept.length < leases.length) await real.outbox.release(leases.filter((lease) => !kept.includes(lease)))
          return kept
        },
      },
    }),
  },
  {
    what: 'counts a relay that left before it held anything',
    caught: ['shares without a relay that leaves before it has held anything'],
    make: () => (real) => ({ outbox: { release: (leases) => real.outbox.release(leases) } }),
  },
  {
    what: 'gives nothing back',
    caught: ['gives released partitions to others at once, at a higher epoch', 'shares again when a relay leaves'],
    make: () => (_real) => ({ outbox: { release: async () => undefined } }),
  },
  {
    what: 'gives back for whoever asks',
    caught: ['releases only what is asked for, and what is still held'],
    make: knowing((current, real) => ({ release: (leases) => real.release(current(leases)) })),
  },
  {
    what: 'gives back all when one is given back',
    caught: ['releases only what is asked for, and what is still held'],
    make: () => {
      const latest = new Map<number, PartitionLease>()
      return (real) => ({
        outbox: {
          async lease(...args) {
            const leases = await real.outbox.lease(...args)
            for (const lease of leases) latest.set(lease.partition, lease)
            return leases
          },
          release: (leases) => real.outbox.release(leases.length === 0 ? leases : [...latest.values()]),
        },
      })
    },
  },
  {
    what: 'takes relays for consumers of the same name',
    caught: ['has relays beside consumers that keep positions under the same names'],
    make: () => {
      const relays = new Set<string>()
      return (real) => ({
        outbox: {
          lease(relay, forMs) {
            relays.add(relay)
            return real.outbox.lease(relay, forMs)
          },
        },
        checkpoints: {
          lease: async (consumer, ...rest) => (relays.has(consumer) ? [] : real.checkpoints.lease(consumer, ...rest)),
        },
      })
    },
  },
  {
    what: 'settles for whoever asks',
    caught: [
      'settles nothing for a relay that was replaced',
      'settles nothing for a relay that comes back under its name with the leases of before',
      'settles what it holds among what it does not',
    ],
    make: () => {
      const latest = new Map<number, PartitionLease>()
      return (real) => ({
        outbox: {
          async lease(...args) {
            const leases = await real.outbox.lease(...args)
            for (const lease of leases) latest.set(lease.partition, lease)
            return leases
          },
          settle: (_, verdicts) => real.outbox.settle([...latest.values()], verdicts),
        },
      })
    },
  },
  {
    what: 'settles nothing where one of many is not its own',
    caught: ['settles what it holds among what it does not'],
    make: () => (real) => ({
      outbox: {
        async settle(leases, verdicts) {
          const mine = new Set((await real.outbox.pending(leases, LATER)).map(({ sequence }) => sequence))
          return verdicts.every(({ sequence }) => mine.has(sequence)) ? real.outbox.settle(leases, verdicts) : 0
        },
      },
    }),
  },
  {
    what: 'counts what it was asked to settle, settled or not',
    caught: [
      'takes published rows away, and counts them',
      'settles nothing by leases that were given back',
      'settles each row once among relays that join, stall and leave',
    ],
    make: () => (real) => ({
      outbox: {
        async settle(leases, verdicts) {
          await real.outbox.settle(leases, verdicts)
          return verdicts.length
        },
      },
    }),
  },
  {
    what: 'settles the first rows, whichever are named',
    caught: ['takes published rows away, and counts them'],
    make: () => (real) => ({
      outbox: {
        async settle(leases, verdicts) {
          const rows = await real.outbox.pending(leases, verdicts.length)
          return real.outbox.settle(
            leases,
            verdicts.map(
              (verdict, at): RowVerdict => ({ ...verdict, sequence: rows[at]?.sequence ?? verdict.sequence }),
            ),
          )
        },
      },
    }),
  },
  {
    what: 'settles no more than 100 at once',
    caught: ['settles many at once, with verdicts of every kind'],
    make: () => (real) => ({
      outbox: { settle: (leases, verdicts) => real.outbox.settle(leases, verdicts.slice(0, 100)) },
    }),
  },
]
