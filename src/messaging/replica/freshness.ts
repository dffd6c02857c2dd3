// How old a copy is, in numbers: what waits at the broker, what is held here, and since when that is known.

import { detached } from '../../core/async-context.ts'
import { boundedBy } from '../../core/bounded.ts'
import type { Clock, Timer } from '../../core/clock.ts'
import type { Backlog } from '../../core/contracts/transport.ts'

/** What is asked, and how often. */
export interface FreshnessParts {
  readonly clock: Clock
  readonly everyMs: number
  /** Whether the broker can say what waits: then nothing is concluded from messages alone, which are of one lane only. */
  readonly tells: boolean
  /** What waits at the broker; undefined where nobody listens just now. */
  ask(): Promise<Backlog | undefined>
  /** When the oldest message that is held here was published, milliseconds since 1970. */
  held(): number | undefined
}

const WITHIN_MS = 1_000

/** Figures of this process. Instants are milliseconds since 1970. */
export class Freshness {
  /** What the broker took up to then is in the copy. */
  asOf: number
  waiting: number | undefined
  lastEventAt: number | undefined
  lastAppliedAt: number | undefined
  applied: number
  skipped: number
  readonly #parts: FreshnessParts
  #askedAt: number
  #asking: Promise<void> | undefined
  #timer: Timer
  #stopped: boolean

  constructor(parts: FreshnessParts) {
    this.asOf = -Infinity
    this.waiting = undefined
    this.lastEventAt = undefined
    this.lastAppliedAt = undefined
    this.applied = 0
    this.skipped = 0
    this.#parts = parts
    this.#askedAt = -Infinity
    this.#asking = undefined
    this.#timer = undefined
    this.#stopped = false
  }

  /** Asks now and then, until `stop`; its timer keeps no process up. Who reads and wants nothing of it finds how old the copy is, not how long ago somebody asked. */
  start(): void {
    const { clock, everyMs, tells } = this.#parts
    if (!tells) return
    const ring = (): void => {
      if (this.#stopped) return
      this.#timer = clock.setTimer(() => void detached(() => this.#askAgain()).finally(ring), everyMs, undefined)
      clock.unref(this.#timer)
    }
    ring()
  }

  stop(): void {
    this.#stopped = true
    this.#parts.clock.clearTimer(this.#timer)
  }

  /** A message is done. `time`: when it was published. */
  handled(time: number, newer: number, of: number): void {
    this.lastEventAt = Math.max(this.lastEventAt ?? -Infinity, time)
    this.applied += newer
    this.skipped += of - newer
    if (newer > 0) this.lastAppliedAt = this.#parts.clock.wallNow()
    if (!this.#parts.tells) this.#found(this.lastEventAt)
  }

  known(asOf: number): void {
    if (asOf > this.asOf) this.asOf = asOf
  }

  /** Another copy takes the place of this one: what was known is of that one. */
  forget(): void {
    this.asOf = -Infinity
    this.#askedAt = -Infinity
  }

  /** Milliseconds; Infinity where nothing is known. */
  age(): number {
    return Math.max(0, this.#parts.clock.wallNow() - this.asOf)
  }

  /** As `age`; asks the broker first where the answer would be more than `wantedMs`. */
  async ageWithin(wantedMs: number): Promise<number> {
    if (this.age() > wantedMs) await this.ask()
    return this.age()
  }

  // Unless that was done lately.
  async #askAgain(): Promise<void> {
    if (this.#parts.clock.now() - this.#askedAt >= this.#parts.everyMs) await this.ask()
  }

  /** One question at a time, and no longer than a second. */
  ask(): Promise<void> {
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined
    })
    return this.#asking
  }

  async #ask(): Promise<void> {
    const { clock } = this.#parts
    const at = clock.wallNow()
    this.#askedAt = clock.now()
    let answer: Backlog | undefined
    try {
      answer = await boundedBy(clock, WITHIN_MS, this.#parts.ask(), 'DEADLINE_EXCEEDED', 'the broker gave no answer')
    } catch {
      // Then it grows old, which is what there is to say about it.
    }
    this.waiting = answer?.waiting
    if (answer === undefined) return
    const { waiting, oldestMs } = answer
    // Where it does not say how old they are: they are behind those that were handed out.
    const upTo = waiting === 0 ? at : oldestMs === undefined ? this.lastEventAt : at - oldestMs
    if (upTo !== undefined) this.#found(Math.min(at, upTo))
  }

  // It may be less than was known before: a message has come back that was given up, or that somebody else held. What is held is looked at after the broker was asked: what it
  // handed out meanwhile is here.
  #found(asOf: number): void {
    this.asOf = Math.min(asOf, this.#parts.held() ?? Infinity)
  }
}
