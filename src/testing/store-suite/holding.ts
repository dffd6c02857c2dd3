// A transaction that does its work and then waits to be told how to end: to see what others meet meanwhile.
import type { AnyStore, Desk } from './desk.ts'

/** A transaction that is open. */
export interface Held<T> {
  /** What its work answered. */
  readonly value: T
  /** Ends it. Rejects with what the database says. */
  end(how?: 'commit' | 'rollback' | undefined): Promise<void>
}

const ROLLED_BACK = new Error('rolled back')

/** Runs `work` in a transaction, and keeps that open. It is let go at the end of the case at the latest. */
export async function holding<T>(desk: Desk, store: AnyStore, work: (tx: unknown) => Promise<T>): Promise<Held<T>> {
  let letGo = (_: 'commit' | 'rollback'): void => {}
  const told = new Promise<'commit' | 'rollback'>((resolve) => {
    letGo = resolve
  })
  desk.onEnd(() => letGo('rollback'))
  let answered = (_: T): void => {}
  const answer = new Promise<T>((resolve) => {
    answered = resolve
  })
  const running = store
    .transaction(async (tx) => {
      answered(await work(tx))
      if ((await told) === 'rollback') throw ROLLED_BACK
    })
    .catch((error: unknown) => {
      if (error !== ROLLED_BACK) throw error
    })
  // What goes wrong before the answer ends the wait for it.
  const value = await desk.done('the work of a transaction', Promise.race([answer, running.then(() => answer)]))
  running.catch(() => {})
  return {
    value,
    async end(how = 'commit') {
      letGo(how)
      await desk.done('the end of a transaction', running)
    },
  }
}
