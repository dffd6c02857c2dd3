// What a transaction hands out: the handle itself, until the transaction ends. A handle that outlives it would commit each statement on its own,
// or take part in the transaction of somebody else.
import { createError } from '../../errors/index.ts'
import { inTransaction, type SqliteTx } from './handle-types.ts'

/** A handle that asks `check` before each use; `check` throws when the transaction is over. */
export function transactionHandle<D extends object>(handle: D, check: () => void): SqliteTx<D> {
  // An empty target: what a proxy may answer is bound to what its target has.
  const target = Object.create(Object.getPrototypeOf(handle)) as D
  const facade: SqliteTx<D> = new Proxy(target, {
    get(_, name) {
      if (name === inTransaction) return true
      const value: unknown = Reflect.get(handle, name, handle)
      if (typeof value !== 'function' || name === 'constructor') return value
      return (...args: unknown[]): unknown => {
        check()
        const answer: unknown = Reflect.apply(value, handle, args)
        return answer === handle ? facade : answer
      }
    },
    has: (_, name) => name === inTransaction || Reflect.has(handle, name),
    set: (_, name, value) => Reflect.set(handle, name, value, handle),
  }) as SqliteTx<D>
  return facade
}

/** Says what is missing. */
export function transactionRequired(message: string): Error {
  return createError({ code: 'TRANSACTION_REQUIRED', message, transport: 'sqlite' })
}
