// Questions to the store: each has a bound (a connection that was cut silently answers to nobody), and after a failure the next one waits.
import type { Clock } from '../../core/clock.ts'
import { createError } from '../../errors/classes.ts'

/** A question to the store. */
export interface Asked<T> {
  /** What the work ends with; or a `DEADLINE_EXCEEDED`, and what the work ends with later is nobody's any more. */
  readonly answer: Promise<T>
  /** Resolves once the work has ended, whether anybody waited for it or not. */
  readonly ended: Promise<void>
}

/** Asks, with a bound. */
export function asking<T>(work: () => Promise<T>, ms: number, clock: Clock): Asked<T> {
  let asked: Promise<T>
  try {
    asked = Promise.resolve(work())
  } catch (error) {
    asked = Promise.reject(error)
  }
  const answer = new Promise<T>((resolve, reject) => {
    const timer = clock.setTimer(
      () => reject(createError({ code: 'DEADLINE_EXCEEDED', message: `the store gave no answer within ${ms} ms` })),
      ms,
      undefined,
    )
    asked.then(
      (value) => {
        clock.clearTimer(timer)
        resolve(value)
      },
      (error) => {
        clock.clearTimer(timer)
        reject(error)
      },
    )
  })
  return { answer, ended: asked.then(nothing, nothing) }
}

/** What the work ends with; or a `DEADLINE_EXCEEDED`, and what the work ends with later is nobody's any more. */
export function within<T>(work: () => Promise<T>, ms: number, clock: Clock): Promise<T> {
  return asking(work, ms, clock).answer
}

function nothing(): void {}
