// Stores whose transactions are none.
import type { MemoryTx } from '../../../src/adapters/memory/index.ts'
import { createError } from '../../../src/errors/index.ts'
import { apart, type StoreMutant } from './store-kit.ts'

type Hook = (tx: MemoryTx) => Promise<void>

// A store that runs notes in a way of its own.
function noting(
  run: (hooks: Hook[], tx: MemoryTx, work: () => Promise<unknown>) => Promise<unknown>,
): StoreMutant['make'] {
  return () => {
    const noted = new Map<MemoryTx, Hook[]>()
    return (real) => ({
      transaction: ((work: (tx: MemoryTx) => Promise<unknown>) =>
        real.transaction((tx) => {
          const hooks: Hook[] = []
          noted.set(tx, hooks)
          return run(hooks, tx, () => work(tx))
        })) as typeof real.transaction,
      beforeCommit(tx, hook) {
        noted.get(tx)?.push(hook)
        return noted.has(tx)
      },
    })
  }
}

const inTurn = async (hooks: readonly Hook[], tx: MemoryTx): Promise<void> => {
  for (const hook of hooks) await hook(tx)
}

export const transactionMutants: readonly StoreMutant[] = [
  {
    what: 'runs the last note in its turn',
    caught: ['runs what was noted as the last when there is no other any more'],
    make: () => (real) => ({ beforeCommit: (tx, hook) => real.beforeCommit(tx, hook) }),
  },
  {
    what: 'shows rows before their commit',
    caught: [
      'shows rows once they are committed, and not before',
      'shows nothing of what was rolled back',
      'undoes all parts when the work throws, and rejects with the very same error',
      'commits what users write with what it writes, or neither',
    ],
    make: () => (real) => ({
      outbox: {
        async append(tx, rows) {
          await real.outbox.append(tx, [])
          await apart(real, (own) => real.outbox.append(own, rows))
        },
      },
    }),
  },
  {
    what: 'forgets what the work answered',
    caught: ['commits all parts of a transaction together, and answers what its work answered'],
    make: () => (real) => ({
      transaction: (async (work: (tx: MemoryTx) => Promise<unknown>) => {
        await real.transaction(work)
      }) as typeof real.transaction,
    }),
  },
  {
    what: 'rejects with an error of its own',
    caught: ['undoes all parts when the work throws, and rejects with the very same error'],
    make: () => (real) => ({
      transaction: (work) =>
        real.transaction(work).catch((cause: unknown) => {
          throw new Error('rolled back', { cause })
        }),
    }),
  },
  {
    what: 'makes an error of what is none',
    caught: ['rejects with what the work throws, whatever it is'],
    make: () => (real) => ({
      transaction: (work) =>
        real.transaction(work).catch((error: unknown) => {
          throw error instanceof Error ? error : new Error(String(error))
        }),
    }),
  },
  {
    what: 'runs what was noted after the commit',
    caught: [
      'runs what was noted after the work and before the commit, in the order given',
      'undoes everything when something noted throws',
    ],
    make: () => {
      const noted = new Map<MemoryTx, Hook[]>()
      return (real) => ({
        transaction: (async (work: (tx: MemoryTx) => Promise<unknown>) => {
          const hooks: Hook[] = []
          const value = await real.transaction((tx) => {
            noted.set(tx, hooks)
            return work(tx)
          })
          for (const hook of hooks) await apart(real, hook)
          return value
        }) as typeof real.transaction,
        beforeCommit(tx, hook) {
          noted.get(tx)?.push(hook)
          return noted.has(tx)
        },
      })
    },
  },
  {
    what: 'runs what was noted from the last to the first',
    caught: ['runs what was noted after the work and before the commit, in the order given'],
    make: noting(async (hooks, tx, work) => {
      const value = await work()
      await inTurn(hooks.toReversed(), tx)
      return value
    }),
  },
  {
    what: 'runs what was noted at the same time',
    caught: ['runs what was noted after the work and before the commit, in the order given'],
    make: noting(async (hooks, tx, work) => {
      const value = await work()
      await Promise.all(hooks.map((hook) => hook(tx)))
      return value
    }),
  },
  {
    what: 'runs nothing that is noted while notes are run',
    caught: [
      'runs what is noted by what was noted',
      'never takes a note that it does not run: once it is late, noting is refused',
    ],
    make: noting(async (hooks, tx, work) => {
      const value = await work()
      await inTurn([...hooks], tx)
      return value
    }),
  },
  {
    what: 'runs what was noted although the work has thrown',
    caught: ['runs nothing that was noted when the work throws'],
    make: noting(async (hooks, tx, work) => {
      try {
        return await work()
      } finally {
        await inTurn(hooks, tx)
      }
    }),
  },
  {
    what: 'commits although something noted has thrown',
    caught: ['undoes everything when something noted throws'],
    make: noting(async (hooks, tx, work) => {
      const value = await work()
      await inTurn(hooks, tx).catch(() => {})
      return value
    }),
  },
  {
    what: 'takes notes for whatever it is given',
    caught: [
      'takes no note for a transaction that it did not begin',
      'never takes a note that it does not run: once it is late, noting is refused',
    ],
    make: () => (real) => ({
      beforeCommit(tx, hook) {
        try {
          real.beforeCommit(tx, hook)
        } catch {}
        return true
      },
    }),
  },
  {
    what: 'tells of a commit before it',
    caught: ['tells of each commit once it can be seen, until it is told to stop'],
    make: () => (real) => {
      const listeners = new Set<(tx: MemoryTx) => void>()
      return {
        transaction: (work) =>
          real.transaction((tx) => {
            for (const listener of listeners) listener(tx)
            return work(tx)
          }),
        onCommitted(listener) {
          listeners.add(listener)
          return () => listeners.delete(listener)
        },
      }
    },
  },
  {
    what: 'tells of what was rolled back',
    caught: ['undoes all parts when the work throws, and rejects with the very same error'],
    make: () => (real) => {
      const listeners = new Set<(tx: MemoryTx) => void>()
      return {
        transaction: (work) =>
          real.transaction(work).finally(() => {
            for (const listener of listeners) listener(undefined as never)
          }),
        onCommitted(listener) {
          listeners.add(listener)
          return () => listeners.delete(listener)
        },
      }
    },
  },
  {
    what: 'does not say which transaction it was',
    caught: ['tells which transaction it was that was committed'],
    make: () => (real) => ({ onCommitted: (listener) => real.onCommitted(() => listener({} as MemoryTx)) }),
  },
  {
    what: 'never stops telling',
    caught: ['tells of each commit once it can be seen, until it is told to stop'],
    make: () => (real) => ({
      onCommitted(listener) {
        real.onCommitted(listener)
        return () => {}
      },
    }),
  },
  {
    what: 'begins a transaction inside another one',
    caught: ['refuses a transaction inside another one, and leaves that one usable'],
    make: () => (real) => ({
      transaction: (work) =>
        real.transaction(work).catch((error: { code?: unknown }) => {
          if (error.code === 'PROGRAMMING_ERROR') return apart(real, work)
          throw error
        }),
    }),
  },
  {
    what: 'takes two at the same time for one inside the other',
    caught: ['refuses a transaction inside another one, and leaves that one usable'],
    make: () => {
      let open = 0
      return (real) => ({
        async transaction(work) {
          if (open > 0) throw createError({ code: 'PROGRAMMING_ERROR' })
          open++
          try {
            return await real.transaction(work)
          } finally {
            open--
          }
        },
      })
    },
  },
  {
    what: 'takes everything for a transaction',
    caught: ['knows an open transaction from what is none'],
    make: () => (real) => ({
      isTransaction: (candidate): candidate is MemoryTx =>
        real.isTransaction(candidate) || typeof candidate === 'object',
    }),
  },
  {
    what: 'takes a transaction that is over for one',
    caught: ['knows an open transaction from what is none'],
    make: () => {
      const known = new WeakSet<object>()
      return (real) => ({
        transaction: (work) =>
          real.transaction((tx) => {
            known.add(tx)
            return work(tx)
          }),
        isTransaction: (candidate): candidate is MemoryTx => known.has(candidate as object),
      })
    },
  },
  {
    what: 'knows no transaction but its own',
    caught: [
      'knows a transaction that it did not begin, while it is open',
      'writes in a transaction that it did not begin: there with its commit, gone with its rollback',
      'claims in a transaction that it did not begin',
    ],
    make: () => {
      const known = new WeakSet<object>()
      return (real) => {
        const mine = <T>(tx: MemoryTx, work: () => Promise<T>): Promise<T> =>
          known.has(tx) ? work() : Promise.reject(createError({ code: 'TRANSACTION_REQUIRED' }))
        return {
          transaction: (work) =>
            real.transaction((tx) => {
              known.add(tx)
              return work(tx)
            }),
          isTransaction: (candidate): candidate is MemoryTx =>
            known.has(candidate as object) && real.isTransaction(candidate),
          outbox: { append: (tx, rows) => mine(tx, () => real.outbox.append(tx, rows)) },
          inbox: { claim: (tx, ...rest) => mine(tx, () => real.inbox.claim(tx, ...rest)) },
        }
      }
    },
  },
  {
    what: 'writes on its own where the transaction is over',
    caught: ['refuses to write in a transaction that is over, or in something that is none'],
    make: () => (real) => ({
      outbox: {
        append: (tx, rows) =>
          real.isTransaction(tx) ? real.outbox.append(tx, rows) : apart(real, (own) => real.outbox.append(own, rows)),
      },
    }),
  },
  {
    what: 'writes what users write apart from what it writes',
    caught: [
      'commits what users write with what it writes, or neither',
      'undoes all parts when the work throws, and rejects with the very same error',
    ],
    lab: { effects: 'apart' },
  },
  {
    what: 'does not see what the transaction has written',
    caught: ['lets a transaction see what it has written itself'],
    make: () => (real) => ({
      states: { load: (_, kind, id) => apart(real, (own) => real.states.load(own, kind, id)) },
    }),
  },
  {
    what: 'finds by correlation only what is committed',
    caught: ['lets a transaction see what it has written itself'],
    make: () => (real) => ({
      states: { find: (_, kind, correlation) => apart(real, (own) => real.states.find(own, kind, correlation)) },
    }),
  },
]
