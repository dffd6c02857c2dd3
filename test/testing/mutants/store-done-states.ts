// Stores that delete the wrong states, or count them wrongly.
import type { MakeStoreChange, StoreMutant } from './store-kit.ts'
import { states } from './store-states.ts'

/** What a broken store goes by. Times are of the clock of the store. */
interface Noted {
  readonly kind: string
  readonly id: string
  readonly madeAt: number
  changedAt: number
  doneAt: number | undefined
  /** Also when it was done before that. */
  firstDoneAt: number | undefined
}

// Goes by a book of its own, and hides what is gone. What it picks is all of them that `over` finds, the first ones first.
const purging =
  (
    over: (noted: Noted, kind: string, before: number) => boolean,
    pick: (found: readonly Noted[], limit: number) => readonly Noted[] = (found, limit) => found.slice(0, limit),
  ): MakeStoreChange =>
  (clock) => {
    const book = new Map<string, Noted>()
    const gone = new Set<string>()
    const nameOf = (kind: string, id: string): string => JSON.stringify([kind, id])
    return ({ states: real }) => ({
      states: {
        async save(tx, kind, id, expected, state, options = {}) {
          const saved = await real.save(tx, kind, id, expected, state, options)
          const now = clock.now()
          const name = nameOf(kind, id)
          const noted = book.get(name) ?? {
            kind,
            id,
            madeAt: now,
            changedAt: now,
            doneAt: undefined,
            firstDoneAt: undefined,
          }
          if (!saved) return false
          noted.changedAt = now
          noted.doneAt = options.done === true ? (noted.doneAt ?? now) : undefined
          noted.firstDoneAt ??= noted.doneAt
          book.set(name, noted)
          return true
        },
        load: async (tx, kind, id) => (gone.has(nameOf(kind, id)) ? undefined : real.load(tx, kind, id)),
        async *list(kind, limit, after) {
          for await (const each of real.list(kind, limit, after)) if (!gone.has(nameOf(kind, each.id))) yield each
        },
        async purge(kind, olderThanMs, limit) {
          await real.purge(kind, olderThanMs, 0)
          const before = clock.now() - olderThanMs
          const found = [...book.values()]
            .filter((noted) => !gone.has(nameOf(noted.kind, noted.id)) && over(noted, kind, before))
            .sort((a, b) => (a.doneAt ?? 0) - (b.doneAt ?? 0))
          const picked = pick(found, limit)
          for (const { kind, id } of picked) gone.add(nameOf(kind, id))
          return picked.length
        },
      },
    })
  }

const isBefore = (at: number | undefined, before: number): boolean => at !== undefined && at <= before

const PURGES = 'purges states of a kind that are done for long enough, the first ones first and a bounded number'
const LEAVES = 'purges no state that is not done, whatever its age'
const AGES = 'counts from when a state was done, and not from when it was made, changed, or done before'
const FREES = 'has the id of a state that was purged free for another one'
const ONCE = 'counts each state once when several purge at the same time'

export const doneStateMutants: readonly StoreMutant[] = [
  {
    what: 'purges nothing',
    caught: [PURGES, AGES, FREES, ONCE],
    make: states(() => ({ purge: async () => 0 })),
  },
  {
    what: 'purges what is done, however long that is',
    caught: [PURGES, AGES],
    make: states(({ states: real }) => ({ purge: (kind, _, limit) => real.purge(kind, 0, limit) })),
  },
  {
    what: 'purges more than it was asked for',
    caught: [PURGES],
    make: states(({ states: real }) => ({ purge: (kind, olderThanMs) => real.purge(kind, olderThanMs, 10_000) })),
  },
  {
    what: 'purges the last ones first',
    caught: [PURGES],
    make: purging(
      (noted, kind, before) => noted.kind === kind && isBefore(noted.doneAt, before),
      (found, limit) => found.toReversed().slice(0, limit),
    ),
  },
  {
    what: 'purges states of every kind',
    caught: [PURGES],
    make: purging((noted, _, before) => isBefore(noted.doneAt, before)),
  },
  {
    what: 'purges what is old, done or not',
    caught: [LEAVES],
    make: purging((noted, kind, before) => noted.kind === kind && isBefore(noted.changedAt, before)),
  },
  {
    what: 'purges what was done once, and is not any more',
    caught: [LEAVES, AGES],
    make: purging((noted, kind, before) => noted.kind === kind && isBefore(noted.firstDoneAt, before)),
  },
  {
    what: 'counts the age of a state from when it was made',
    caught: [AGES],
    make: purging(
      (noted, kind, before) => noted.kind === kind && noted.doneAt !== undefined && isBefore(noted.madeAt, before),
    ),
  },
  {
    what: 'counts the age of a state from its last change',
    caught: [AGES],
    make: purging(
      (noted, kind, before) => noted.kind === kind && noted.doneAt !== undefined && isBefore(noted.changedAt, before),
    ),
  },
  {
    what: 'keeps the id of a state that it has purged',
    caught: [FREES],
    make: purging((noted, kind, before) => noted.kind === kind && isBefore(noted.doneAt, before)),
  },
  {
    what: 'counts what another one has purged',
    caught: [ONCE],
    make: states(({ states: real }) => ({
      async purge(kind, olderThanMs, limit) {
        let found = 0
        for await (const { done } of real.list(kind, 10_000)) if (done) found++
        await new Promise<void>((resolve) => setImmediate(resolve))
        await real.purge(kind, olderThanMs, limit)
        return Math.min(found, limit)
      },
    })),
  },
]
