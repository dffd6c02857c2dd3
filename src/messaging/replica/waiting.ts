// Those who wait until a replica has come to something: told after each look at its row.
import type { Clock } from '../../core/clock.ts'
import { durationOption, knownOptions } from '../../core/options.ts'
import { endsWithin } from '../../core/patience.ts'
import type { FairleadError } from '../../errors/base.ts'
import { createError } from '../../errors/classes.ts'
import type { ReplicaWait } from './types.ts'

/** Waits of callers. */
export class Waiting {
  readonly #name: string
  readonly #clock: Clock
  readonly #signal: AbortSignal
  readonly #lastError: () => FairleadError | undefined
  readonly #waiters = new Set<() => void>()

  constructor(name: string, clock: Clock, signal: AbortSignal, lastError: () => FairleadError | undefined) {
    this.#name = name
    this.#clock = clock
    this.#signal = signal
    this.#lastError = lastError
  }

  /** @throws FairleadError `DEADLINE_EXCEEDED` with what went wrong last, `SHUTDOWN`; what `what` throws */
  async until(what: () => boolean, name: string, wait: ReplicaWait = {}): Promise<void> {
    knownOptions('wait', wait, ['withinMs'])
    const withinMs =
      wait.withinMs === undefined ? undefined : durationOption('withinMs', wait.withinMs, 0, Number.MIN_VALUE)
    let look: () => void = nothing
    const come = new Promise<void>((resolve, reject) => {
      look = () => {
        try {
          if (what()) resolve()
          else if (this.#signal.aborted) reject(closedError(this.#name))
        } catch (error) {
          reject(error)
        }
      }
    })
    this.#waiters.add(look)
    look()
    try {
      if (withinMs === undefined) return await come
      if (await endsWithin(come, withinMs, this.#clock)) return
    } finally {
      this.#waiters.delete(look)
    }
    throw createError({
      code: 'DEADLINE_EXCEEDED',
      message: `the replica ${this.#name} was not ${name} within ${withinMs} ms; it goes on`,
      cause: this.#lastError(),
    })
  }

  wake(): void {
    for (const look of [...this.#waiters]) look()
  }
}

/** What is said once it is closed. */
export function closedError(name: string): FairleadError {
  return createError({ code: 'SHUTDOWN', message: `the replica ${name} is closed` })
}

function nothing(): void {}
