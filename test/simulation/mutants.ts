// Relays, stores and consumers that are broken in the ways that are known from others: the simulation has to find each of them.
import type { MemoryStore } from 'fairlead/memory'
import type { PartitionLease, PendingRow } from '../../src/core/contracts/store.ts'
import type { Delivery } from '../../src/core/contracts/transport.ts'
import type { Life } from '../../src/testing/crash-test/life.ts'
import type { Catalogue, Step } from '../../src/testing/crash-test/schedule.ts'
import type { Breakage } from './order-flow.ts'

export interface Mutant {
  readonly name: string
  /** Rules of which it breaks one. */
  readonly breaks: readonly string[]
  /** Anew for each run. */
  readonly breakage: () => Breakage
  /** Where faults are to strike it, if not anywhere: what it breaks comes about too seldom otherwise. */
  readonly struck?: ((catalogue: Catalogue) => Catalogue) | undefined
}

// Relays hand over what they hold: only one that stands still for longer than its lease finds that another holds it.
const standingRelays = (catalogue: Catalogue): Catalogue => {
  const asked = /outbox\.(lease|pending|settle)|broker\.send/
  const narrowed = new Map<string, readonly Step[]>()
  for (const [process, steps] of catalogue) {
    const ofRelays = steps
      .filter(({ step }) => asked.test(step))
      .map((step) => ({ ...step, kinds: step.kinds.filter((kind) => kind.startsWith('pause')) }))
    if (ofRelays.length > 0) narrowed.set(process, ofRelays)
  }
  return narrowed
}

const withOutbox = (store: MemoryStore, change: Partial<MemoryStore['outbox']>): MemoryStore => ({
  ...store,
  outbox: { ...store.outbox, ...change },
})

/** What the database remembers besides, for each of its views the same. */
const perDatabase = <T>(make: () => T): ((store: MemoryStore) => T) => {
  const kept = new Map<object, T>()
  return ({ database }) => {
    const state = kept.get(database) ?? make()
    kept.set(database, state)
    return state
  }
}

interface Tickets {
  last: bigint
  readonly byId: Map<string, bigint>
  readonly rows: Map<bigint, bigint>
  readonly published: Map<number, bigint>
}

// A sequence that is drawn when a row is written, and says nothing about commits: there is no lock, or it is taken afterwards.
const ticketed = (cursor: boolean): Breakage => {
  const ticketsOf = perDatabase<Tickets>(() => ({ last: 0n, byId: new Map(), rows: new Map(), published: new Map() }))
  return {
    store: (store, life) => {
      const { outbox } = store
      const tickets = ticketsOf(store)
      return withOutbox(store, {
        append: async (tx, rows) => {
          for (const { envelope } of rows) tickets.byId.set(envelope.id, ++tickets.last)
          // The lock.
          await life.world.pause(life.random() * 20)
          await outbox.append(tx, rows)
        },
        pending: async (leases, limit) => {
          const rows = await outbox.pending(leases, 10_000)
          const drawn = rows.map((row): PendingRow => {
            const sequence = tickets.byId.get(row.envelope.id) as bigint
            tickets.rows.set(sequence, row.sequence)
            return { ...row, sequence }
          })
          return drawn
            .filter(({ sequence, partition }) => !cursor || sequence > (tickets.published.get(partition) ?? -1n))
            .sort((a, b) => Number(a.sequence - b.sequence))
            .slice(0, limit)
        },
        settle: async (leases, verdicts) => {
          if (cursor)
            for (const { sequence } of verdicts)
              for (const { partition } of leases)
                if (sequence > (tickets.published.get(partition) ?? -1n)) tickets.published.set(partition, sequence)
          return outbox.settle(
            leases,
            verdicts.map((verdict) => ({ ...verdict, sequence: tickets.rows.get(verdict.sequence) ?? -1n })),
          )
        },
      })
    },
  }
}

const markBeforePublish = (): Breakage => ({
  store: (store) => {
    const { outbox } = store
    return withOutbox(store, {
      pending: async (leases, limit) => {
        const rows = await outbox.pending(leases, limit)
        await outbox.settle(
          leases,
          rows.map(({ sequence }) => ({ sequence, verdict: 'published' })),
        )
        return rows
      },
      settle: async (_, verdicts) => verdicts.length,
    })
  },
})

// Whoever says so may settle, whatever its lease.
const noFencing = (): Breakage => {
  const currentOf = perDatabase(() => new Map<number, PartitionLease>())
  return {
    store: (store) => {
      const { outbox } = store
      const current = currentOf(store)
      return withOutbox(store, {
        lease: async (relay, forMs) => {
          const leases = await outbox.lease(relay, forMs)
          for (const lease of leases) current.set(lease.partition, lease)
          return leases
        },
        settle: (_, verdicts) => outbox.settle([...current.values()], verdicts),
      })
    },
  }
}

// Any relay takes any row that no other has: `for update skip locked`.
const skipLocked = (): Breakage => {
  const claimsOf = perDatabase(() => new Map<bigint, { readonly by: Life; readonly until: number }>())
  return {
    store: (store, life) => {
      const { outbox } = store
      const claims = claimsOf(store)
      return withOutbox(store, {
        lease: (_, forMs) => outbox.lease('all', forMs),
        release: async () => undefined,
        pending: async (leases, limit) => {
          const now = life.clock.now()
          const rows = await outbox.pending(leases, 10_000)
          const free = rows.filter(({ sequence }) => (claims.get(sequence)?.until ?? -1) <= now).slice(0, limit)
          for (const { sequence } of free) claims.set(sequence, { by: life, until: now + 2_000 })
          return free
        },
        settle: async (leases, verdicts) => {
          for (const { sequence } of verdicts) claims.delete(sequence)
          return outbox.settle(leases, verdicts)
        },
      })
    },
  }
}

const ackBeforeCommit = (): Breakage => ({
  transport: (transport) => ({
    ...transport,
    name: transport.name,
    capabilities: transport.capabilities,
    prepare: transport.prepare.bind(transport),
    send: transport.send.bind(transport),
    close: transport.close.bind(transport),
    receive: (from, sink) =>
      transport.receive(from, (delivery) => {
        void delivery.settle('ack')
        sink({ envelope: delivery.envelope, onLost: () => () => undefined, settle: async () => undefined } as Delivery)
      }),
  }),
})

// Remembers what it has seen, but not in the transaction of the effects.
const forgetfulInbox = (): Breakage => ({
  store: (store) => ({
    ...store,
    inbox: { ...store.inbox, claim: async (_, __, messages) => messages.map(() => 'first' as const) },
  }),
})

export const mutants: readonly Mutant[] = [
  { name: 'an id as cursor', breaks: ['lost'], breakage: () => ticketed(true) },
  { name: 'marked before it is published', breaks: ['lost'], breakage: markBeforePublish },
  { name: 'no fencing', breaks: ['fencing'], breakage: noFencing, struck: standingRelays },
  { name: 'acknowledged before the commit', breaks: ['lost'], breakage: ackBeforeCommit },
  { name: 'rows claimed one by one', breaks: ['order'], breakage: skipLocked },
  { name: 'the lock after the sequence', breaks: ['order'], breakage: () => ticketed(false) },
  { name: 'an inbox that forgets', breaks: ['twice'], breakage: forgetfulInbox },
]
