// Questions to the store: each has a bound (a connection that was cut silently answers to nobody), and after a failure the next one waits.
import { boundedBy } from '../../core/bounded.ts'
import type { Clock } from '../../core/clock.ts'

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
  const answer = boundedBy(clock, ms, asked, 'DEADLINE_EXCEEDED', 'the store gave no answer')
  return { answer, ended: asked.then(nothing, nothing) }
}

/** What the work ends with; or a `DEADLINE_EXCEEDED`, and what the work ends with later is nobody's any more. */
export function within<T>(work: () => Promise<T>, ms: number, clock: Clock): Promise<T> {
  return asking(work, ms, clock).answer
}

function nothing(): void {}
