// Stores whose order of rows is not the order of commits.
import type { MemoryTx } from '../../../src/adapters/memory/index.ts'
import { nextTurn } from '../../../src/core/clock.ts'
import type { PendingRow } from '../../../src/core/contracts/store.ts'
import { createError } from '../../../src/errors/index.ts'
import type { StoreMutant } from './store-kit.ts'

const ORDER_CASES = [
  'keeps the order of a key when a transaction that began first commits last',
  'keeps the order of each key among transactions at the same time, and undoes none of them',
  'keeps the order of each key among transactions that note what they append',
  'keeps the order of each key among transactions that it did not begin',
  'keeps the order of each key at every isolation level',
]

export const orderMutants: readonly StoreMutant[] = [
  {
    what: 'draws sequences before the commit, without a lock',
    caught: ORDER_CASES,
    make: () => {
      const drawn = new Map<string, bigint>()
      let sequence = 0n
      const turns = async (count: number): Promise<void> => {
        for (let turn = 0; turn < count; turn++) await new Promise<void>((resolve) => nextTurn(resolve, undefined))
      }
      return (real) => ({
        outbox: {
          async append(tx, rows) {
            for (const { envelope } of rows) drawn.set(envelope.id, ++sequence)
            await turns(Number(sequence % 5n))
            await real.outbox.append(tx, rows)
          },
          pending: async (...args) =>
            (await real.outbox.pending(...args))
              .map((row): PendingRow => ({ ...row, sequence: drawn.get(row.envelope.id) as bigint }))
              .toSorted((a, b) => Number(a.sequence - b.sequence)),
        },
      })
    },
  },
  {
    what: 'undoes transactions that meet',
    caught: [
      'keeps the order of each key among transactions at the same time, and undoes none of them',
      'keeps the order of each key among transactions that note what they append',
    ],
    make: () => {
      let open = 0
      return (real) => ({
        async transaction(work) {
          open++
          try {
            return await real.transaction(async (tx) => {
              const value = await work(tx)
              if (open > 2) throw createError({ code: 'TRANSACTION_CONFLICT' })
              return value
            })
          } finally {
            open--
          }
        },
      })
    },
  },
  {
    what: 'appends the rows of a call from the last to the first',
    caught: [
      'keeps the order of rows in one call, of calls in one transaction, and of transactions',
      'appends many rows in one call',
    ],
    make: () => (real) => ({ outbox: { append: (tx, rows) => real.outbox.append(tx, rows.toReversed()) } }),
  },
  {
    what: 'appends calls of a transaction from the last to the first',
    caught: ['keeps the order of rows in one call, of calls in one transaction, and of transactions'],
    make: () => {
      const calls = new Map<MemoryTx, (() => Promise<void>)[]>()
      return (real) => ({
        outbox: {
          async append(tx, rows) {
            const first = !calls.has(tx)
            const all = calls.get(tx) ?? []
            calls.set(tx, all)
            all.unshift(() => real.outbox.append(tx, rows))
            if (
              first &&
              !real.beforeCommit(tx, async () => {
                for (const call of all) await call()
              })
            )
              await real.outbox.append(tx, rows)
          },
        },
      })
    },
  },
  {
    what: 'loses rows of a long call',
    caught: ['appends many rows in one call'],
    make: () => (real) => ({ outbox: { append: (tx, rows) => real.outbox.append(tx, rows.slice(0, 256)) } }),
  },
]
