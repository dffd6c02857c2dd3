// Transactions of a driver with what has to happen just before their commit and just after it, one for all SQL stores.
import { createError } from '../errors/classes.ts'
import type { Closing, SqlDriver, Transactional } from './contracts/store.ts'

type Hook<Tx> = (tx: Tx) => Promise<void>

interface Open<Tx> {
  readonly hooks: Hook<Tx>[]
  readonly last: Hook<Tx>[]
  closing: Closing | undefined
  /** All hooks have been run: what is noted now would be lost. */
  sealed: boolean
}

/** `transaction`, `isTransaction`, `beforeCommit` and `onCommitted` of a store that speaks through this driver. */
export function transactional<Tx>(
  driver: Pick<SqlDriver<Tx>, 'transaction' | 'isTransaction' | 'closes'>,
): Transactional<Tx> {
  const open = new WeakMap<object, Open<Tx>>()
  const listeners = new Set<(tx: Tx) => void>()

  return {
    async transaction(work, options) {
      const mine: Open<Tx> = { hooks: [], last: [], closing: undefined, sealed: false }
      let handle: object | undefined
      const run = async <T>(tx: Tx, work: (tx: Tx) => Promise<T>): Promise<T> => {
        handle = tx as object
        open.set(handle, mine)
        try {
          const answer = await work(tx)
          // A hook may note another one.
          for (let hook = next(mine); hook !== undefined; hook = next(mine)) await hook(tx)
          return answer
        } finally {
          mine.sealed = true
        }
      }
      let value: Awaited<ReturnType<typeof work>>
      try {
        value = (await driver.transaction(
          (tx, opened) => run(tx, (handle) => work(handle, opened)),
          driver.closes === true ? { ...options, closing: () => mine.closing?.statement } : options,
        )) as Awaited<ReturnType<typeof work>>
      } finally {
        // Only now: what comes while COMMIT is under way would run after it. The next transaction may have the same client by then.
        if (handle !== undefined && open.get(handle) === mine) open.delete(handle)
      }
      // It is committed: a listener's fault must not look like a failure of it.
      for (const listener of [...listeners]) heard(listener, handle as Tx)
      return value
    },
    isTransaction: (candidate): candidate is Tx => driver.isTransaction(candidate),
    beforeCommit(tx, hook, place) {
      const mine = open.get(tx as object)
      if (mine === undefined) return false
      if (mine.sealed)
        throw createError({
          code: 'TRANSACTION_REQUIRED',
          message: 'the transaction is being committed: await what you publish inside it',
        })
      if (place === 'last') mine.last.push(hook)
      else mine.hooks.push(hook)
      return true
    },
    ...(driver.closes === true
      ? {
          closeWith(tx: Tx, replace: (before: Closing | undefined) => Closing | undefined): boolean {
            const mine = open.get(tx as object)
            if (mine === undefined || mine.sealed) return false
            mine.closing = replace(mine.closing)
            return true
          },
        }
      : undefined),
    onCommitted(listener) {
      const own = (tx: Tx): void => listener(tx)
      listeners.add(own)
      return () => {
        listeners.delete(own)
      }
    },
  }
}

function next<Tx>({ hooks, last }: Open<Tx>): Hook<Tx> | undefined {
  return hooks.shift() ?? last.shift()
}

function heard<Tx>(listener: (tx: Tx) => unknown, tx: Tx): void {
  try {
    const answer = listener(tx)
    // An async function is taken for a listener as well: its rejection would end the process.
    if (answer instanceof Promise) answer.catch(nothing)
  } catch {
    // As of all listeners.
  }
}

function nothing(): void {}
