// A handle is one connection: transactions of asynchronous work take turns on it, in the order in which they came.
import { AsyncLocalStorage } from 'node:async_hooks'
import type { Clock } from '../../core/clock.ts'

/** A transaction of ours, as long as its work runs. */
export interface Scope {
  open: boolean
}

/** Those who wait for the same thing, in the order in which they came. */
export interface Queue {
  /** The way to give the turn on: at once where it is free, so that nobody comes between; undefined when it did not come in time. */
  take(clock: Clock, withinMs: number): (() => void) | Promise<(() => void) | undefined>
}

/** Who may use a handle now. */
export interface Turns {
  /** The transaction inside which the code runs that asks. */
  readonly scopes: AsyncLocalStorage<Scope>
  /** The one of ours that is open, whoever asks. */
  current: Scope | undefined
  /** Those who write. Whoever waits for other connections keeps this turn, and leaves the handle to those who read. */
  readonly writers: Queue
  readonly handle: Queue
}

const KEPT = Symbol.for('fairlead.sqlite.turns')

/** Those of a handle: one for all drivers on it, whatever the number of installed copies of fairlead. */
export function turnsOf(handle: object): Turns {
  const known = (handle as { [KEPT]?: Turns })[KEPT]
  if (known !== undefined) return known
  const turns: Turns = {
    scopes: new AsyncLocalStorage(),
    current: undefined,
    writers: createQueue(),
    handle: createQueue(),
  }
  Object.defineProperty(handle, KEPT, { value: turns })
  return turns
}

function createQueue(): Queue {
  const waiting = new Set<() => void>()
  let taken = false
  const give = (): (() => void) => {
    let given = false
    return () => {
      if (given) return
      given = true
      const [next] = waiting
      if (next === undefined) taken = false
      else {
        waiting.delete(next)
        next()
      }
    }
  }
  return {
    take(clock, withinMs) {
      if (!taken) {
        taken = true
        return give()
      }
      return new Promise((resolve) => {
        const mine = (): void => {
          clock.clearTimer(timer)
          resolve(give())
        }
        const timer = clock.setTimer(
          () => {
            waiting.delete(mine)
            resolve(undefined)
          },
          withinMs,
          undefined,
        )
        waiting.add(mine)
      })
    },
  }
}
