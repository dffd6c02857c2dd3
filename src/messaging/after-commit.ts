// What is told only when it is true: after the commit of the transaction in which it was done.
import type { Transactional } from '../core/contracts/store.ts'

/** Has things told after the commits of a store. */
export class AfterCommit {
  readonly #store: Pick<Transactional<unknown>, 'beforeCommit' | 'onCommitted'>
  readonly #noted: WeakMap<object, (() => void)[]>
  readonly #stop: () => void

  constructor(store: Pick<Transactional<unknown>, 'beforeCommit' | 'onCommitted'>) {
    this.#store = store
    this.#noted = new WeakMap()
    this.#stop = store.onCommitted((tx) => {
      const noted = this.#noted.get(tx as object)
      this.#noted.delete(tx as object)
      for (const tell of noted ?? []) tell()
    })
  }

  // Noted just before the commit: a handle may be used again for another transaction after this one was undone.
  note(tx: unknown, tell: () => void): void {
    const noted = this.#store.beforeCommit(
      tx,
      async () => {
        const before = this.#noted.get(tx as object)
        if (before === undefined) this.#noted.set(tx as object, [tell])
        else before.push(tell)
      },
      'last',
    )
    // Nobody tells of the commit of a transaction of the user's own. It cannot be far.
    if (!noted) tell()
  }

  stop(): void {
    this.#stop()
  }
}
