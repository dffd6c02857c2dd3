// One send and all that has to end with it: waits for a turn, pauses between tries, requests on their way.
import type { Clock, Timer } from '../../core/clock.ts'
import type { CallContext } from '../../core/context.ts'
import { type FairleadError, isFairleadError } from '../../errors/base.ts'
import { createError, withFields } from '../../errors/classes.ts'
import type { Effect } from '../../errors/codes.ts'

/** Why a scope ended, as the error of something that had this effect so far. */
export type Ending = (effect: Effect) => FairleadError

/** The bounds of one send: its deadline, the abort of its call, the close of the transport. */
export class Scope {
  ending: Ending | undefined
  readonly #context: CallContext
  readonly #clock: Clock
  readonly #waiting = new Set<() => void>()
  readonly #working = new Set<() => void>()
  #ended = false
  readonly #timer: Timer
  readonly #unwatch: () => void
  readonly #over: (scope: Scope) => void

  constructor(context: CallContext, clock: Clock, over: (scope: Scope) => void) {
    this.#context = context
    this.#clock = clock
    this.#over = over
    const left = context.deadline.remainingMs()
    if (left <= 0) this.ending = spent
    this.#timer = left > 0 && left !== Infinity ? clock.setTimer(passed, left, this) : undefined
    this.#unwatch = context.onAbort((reason) => this.end(abortedBy(reason)))
  }

  /** Milliseconds left; Infinity without a deadline. */
  remainingMs(): number {
    return this.#context.deadline.remainingMs()
  }

  /** Ends everything: waits, pauses, and what is on its way. The first reason stands. */
  end(ending: Ending): void {
    this.windDown(ending)
    if (this.#ended) return
    this.#ended = true
    tell(this.#working)
  }

  /** Ends waits and pauses; what is on its way goes on. */
  windDown(ending: Ending): void {
    if (this.ending !== undefined) return
    this.ending = ending
    tell(this.#waiting)
  }

  /** For what waits: called once at the end; not at once where that has come already. Returns the way to stop listening. */
  onEnd(listener: () => void): () => void {
    this.#waiting.add(listener)
    return () => this.#waiting.delete(listener)
  }

  /** For what is on its way. */
  onCut(listener: () => void): () => void {
    this.#working.add(listener)
    return () => this.#working.delete(listener)
  }

  /** Waits; true unless the scope ended first. */
  sleep(ms: number): Promise<boolean> {
    if (this.ending !== undefined) return Promise.resolve(false)
    return new Promise((resolve) => {
      const timer = this.#clock.setTimer(
        () => {
          stop()
          resolve(true)
        },
        ms,
        undefined,
      )
      const stop = this.onEnd(() => {
        this.#clock.clearTimer(timer)
        resolve(false)
      })
    })
  }

  /** The send has its verdicts: nothing is left behind on clock or context. */
  dispose(): void {
    if (this.#timer !== undefined) this.#clock.clearTimer(this.#timer)
    this.#unwatch()
    this.#over(this)
  }
}

function tell(listeners: Set<() => void>): void {
  const all = [...listeners]
  listeners.clear()
  for (const listener of all) listener()
}

function passed(scope: Scope): void {
  scope.end(late)
}

const spent: Ending = () =>
  createError({ code: 'DEADLINE_SPENT', message: 'the deadline had passed before the send began', stack: false })

const late: Ending = (effect) =>
  createError({ code: 'DEADLINE_EXCEEDED', message: 'no receiver has handled it in time', effect, stack: false })

/** The transport was closed meanwhile. */
export const closed: Ending = (effect) =>
  createError({
    code: 'SHUTDOWN',
    message: 'the transport was closed before the message was handled',
    effect,
    stack: false,
  })

function abortedBy(reason: unknown): Ending {
  return (effect) =>
    isFairleadError(reason)
      ? withFields(reason, { effect })
      : createError({ code: 'CANCELLED', effect, cause: reason, stack: false })
}
