// Stores that let two have their way with one state, find the wrong one, or mind neither tables nor owners.
import type { MemoryStore, MemoryTx } from '../../../src/adapters/memory/index.ts'
import type { StateStore } from '../../../src/core/contracts/store.ts'
import { apart, type MakeStoreChange, type StoreMutant } from './store-kit.ts'

type States = StateStore<MemoryTx>
type Saved = NonNullable<Parameters<States['save']>[5]>

// Saves something else than it is given.
const saving =
  (change: (state: unknown, options: Saved) => readonly [unknown, Saved]): MakeStoreChange =>
  () =>
  (real) => ({
    states: {
      save: (tx, kind, id, expected, state, options = {}) =>
        real.states.save(tx, kind, id, expected, ...change(state, options)),
    },
  })

/** Answers otherwise. */
export const states =
  (change: (real: MemoryStore) => Partial<States>): MakeStoreChange =>
  () =>
  (real) => ({ states: change(real) })

function sorted(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)))
}

// What is kept is nothing new.
const listed = (correlations: Saved['correlations']): readonly string[] =>
  typeof correlations === 'string' ? [] : (correlations ?? [])

const MAKES = 'makes a state, and changes it from the version that is expected only'
const FINDS = 'finds a state by what it waits for, until it waits for something else or is done'
const KEEPS = 'keeps what a state waits for where it is told to, until it is done'
const DUE = 'gives what is due, earliest first'
const LISTS = 'lists states of a kind by id, page by page'

export const stateMutants: readonly StoreMutant[] = [
  {
    what: 'saves whatever version is expected',
    caught: [MAKES],
    make: states(({ states: real }) => ({
      async save(tx, kind, id, _, ...rest) {
        const found = await real.load(tx, kind, id)
        return real.save(tx, kind, id, found?.version ?? 0, ...rest)
      },
    })),
  },
  {
    what: 'says that it has saved what it has not',
    caught: [MAKES],
    make: states(({ states: real }) => ({
      async save(...args) {
        await real.save(...args)
        return true
      },
    })),
  },
  {
    what: 'lets two have their way that have read the same version',
    caught: [
      'lets exactly one of many that change a state at once have its way',
      'lets exactly one of many that make a state at once have its way',
    ],
    make: () => (real) => ({
      transaction: (async (work: (tx: MemoryTx) => Promise<unknown>) => {
        let value: unknown
        try {
          return await real.transaction(async (tx) => {
            value = await work(tx)
            return value
          })
        } catch (error) {
          if ((error as { code?: unknown }).code === 'TRANSACTION_CONFLICT') return value
          throw error
        }
      }) as typeof real.transaction,
    }),
  },
  {
    what: 'saves apart from the transaction',
    caught: ['keeps nothing of a save that was rolled back'],
    make: states((real) => ({
      async save(tx, ...rest) {
        await real.states.load(tx, 'suite', 'suite')
        return apart(real, (own) => real.states.save(own, ...rest))
      },
    })),
  },
  {
    what: 'knows states without their kind',
    caught: ['tells states apart by kind and id'],
    make: states(({ states: real }) => ({
      load: (tx, _, id) => real.load(tx, 'one', id),
      save: (tx, _, id, ...rest) => real.save(tx, 'one', id, ...rest),
    })),
  },
  {
    what: 'knows states without regard to case',
    caught: ['tells states apart by kind and id'],
    make: states(({ states: real }) => ({
      load: (tx, kind, id) => real.load(tx, kind, id.toLowerCase()),
      save: (tx, kind, id, ...rest) => real.save(tx, kind, id.toLowerCase(), ...rest),
    })),
  },
  {
    what: 'sorts the names of a state',
    caught: ['gives a state out as the JSON that it was'],
    make: saving((state, options) => [sorted(state), options]),
  },
  {
    what: 'cannot hold every text in a state',
    caught: ['gives a state out as the JSON that it was'],
    make: saving((state, options) => [JSON.parse(JSON.stringify(state).replaceAll('\\u0000', '')), options]),
  },
  {
    what: 'takes no state for an empty one',
    caught: ['gives a state out as the JSON that it was'],
    make: saving((state, options) => [state ?? {}, options]),
  },
  {
    what: 'finds by no correlation',
    caught: [FINDS, 'keeps nothing of a save that was rolled back'],
    make: saving((state, { correlations: _, ...options }) => [state, options]),
  },
  {
    what: 'finds a state that is done',
    caught: [FINDS],
    make: saving((state, { done: _, ...options }) => [state, options]),
  },
  {
    what: 'finds a state by what it waited for before',
    caught: [FINDS, 'lets a transaction see what it has written itself'],
    make: () => {
      const before = new Map<string, readonly string[]>()
      return (real) => ({
        states: {
          save(tx, kind, id, expected, state, options = {}) {
            const name = JSON.stringify([kind, id])
            const all = [...new Set([...(before.get(name) ?? []), ...listed(options.correlations)])]
            before.set(name, all)
            return real.states.save(tx, kind, id, expected, state, { ...options, correlations: all })
          },
        },
      })
    },
  },
  {
    what: 'forgets what a state waits for when that is to be kept',
    caught: [KEEPS],
    make: saving((state, options) => [
      state,
      { ...options, correlations: options.correlations === 'kept' ? [] : options.correlations },
    ]),
  },
  {
    what: 'finds by the first 255 characters',
    caught: [FINDS],
    make: saving((state, options) => [
      state,
      { ...options, correlations: listed(options.correlations).map((each) => each.slice(0, 255)) },
    ]),
  },
  {
    what: 'gives what is due by id',
    caught: [DUE],
    make: states(({ states: real }) => ({
      due: async (kind, now, limit) => (await real.due(kind, now, 10_000)).toSorted().slice(0, limit),
    })),
  },
  {
    what: 'gives all that is due, however many are asked for',
    caught: [DUE],
    make: states(({ states: real }) => ({ due: (kind, now) => real.due(kind, now, 10_000) })),
  },
  {
    what: 'gives what is nearly due',
    caught: [DUE],
    make: states(({ states: real }) => ({ due: (kind, now, limit) => real.due(kind, now + 1, limit) })),
  },
  {
    what: 'gives by its own time what is due',
    caught: [DUE],
    make: (clock) => (real) => ({ states: { due: (kind, _, limit) => real.states.due(kind, clock.wallNow(), limit) } }),
  },
  {
    what: 'lists in the order of making',
    caught: [LISTS],
    make: () => {
      const made: string[] = []
      return (real) => ({
        states: {
          save(tx, kind, id, ...rest) {
            if (!made.includes(id)) made.push(id)
            return real.states.save(tx, kind, id, ...rest)
          },
          async *list(kind, limit) {
            const all = []
            for await (const each of real.states.list(kind, 10_000)) all.push(each)
            yield* all.sort((a, b) => made.indexOf(a.id) - made.indexOf(b.id)).slice(0, limit)
          },
        },
      })
    },
  },
  {
    what: 'begins each page with the last of the page before',
    caught: [LISTS],
    make: states(({ states: real }) => ({
      async *list(kind, limit, after) {
        let left = limit
        for await (const each of real.list(kind, 10_000))
          if ((after === undefined || each.id >= after) && left-- > 0) yield each
      },
    })),
  },
  {
    what: 'does not say of a state that it is done',
    caught: [LISTS],
    make: states(({ states: real }) => ({
      async *list(...args) {
        for await (const each of real.list(...args)) yield { ...each, done: false }
      },
    })),
  },
]

export const tableMutants: readonly StoreMutant[] = [
  {
    what: 'runs steps again that were run before',
    caught: ['migrates what is migrated without doing anything', 'refuses tables of another owner'],
    make: () => (real) => ({
      async migrate() {
        await real.migrate()
        return { applied: ['001-tables'] }
      },
    }),
  },
  {
    what: 'runs steps twice when several migrate at once',
    caught: [
      'makes tables once when several do it at once',
      'says of tables that are not there that they do not fit, and makes them',
    ],
    lab: { bare: 'again' },
  },
  {
    what: 'works without tables until they are looked for',
    caught: [
      'says of tables that are not there that they do not fit, and makes them',
      'makes tables once when several do it at once',
    ],
    lab: { bare: 'works' },
  },
  {
    what: 'minds no owner',
    caught: ['refuses tables of another owner'],
    make: () => () => ({ check: async () => undefined, migrate: async () => ({ applied: [] }) }),
  },
  {
    what: 'lets another owner migrate',
    caught: ['refuses tables of another owner'],
    make: () => (real) => ({
      migrate: () => real.migrate().catch(() => ({ applied: [] })),
    }),
  },
  {
    what: 'closes what others use',
    caught: ['closes twice, and leaves other stores alone'],
    make: () => {
      const all: MemoryStore[] = []
      return (real) => {
        all.push(real)
        return {
          async close() {
            for (const each of all) await each.close()
          },
        }
      }
    },
  },
  {
    what: 'cannot be closed twice',
    caught: ['closes twice, and leaves other stores alone'],
    make: () => (real) => {
      let closed = 0
      return {
        async close() {
          if (++closed === 2) throw new Error('closed already')
          await real.close()
        },
      }
    },
  },
  {
    what: 'lets whoever had a lane save its position',
    caught: ['checkpoints: who was replaced saves nothing'],
    make: () => {
      const positions = new Map<string, string>()
      return () => ({
        checkpoints: {
          save: async (consumer, { lane }, position) => !!positions.set(JSON.stringify([consumer, lane]), position),
          load: async (consumer, lane) => positions.get(JSON.stringify([consumer, lane])),
        },
      })
    },
  },
  {
    what: 'goes by the date',
    caught: ['is not put off by a date that is set back an hour, or forward'],
    lab: { clock: (clock) => ({ ...clock, now: () => clock.wallNow() }) },
  },
]
