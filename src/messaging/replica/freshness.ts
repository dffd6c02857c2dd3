// How old a copy is, in numbers: what waits at the broker, and how long ago what was handled last was published.
import { boundedBy } from '../../core/bounded.ts'
import type { Clock } from '../../core/clock.ts'
import type { Backlog } from '../../core/contracts/transport.ts'

/** What is asked, and how often. */
export interface FreshnessParts {
  readonly clock: Clock
  readonly everyMs: number
  /** What waits at the broker and how much is held here; undefined where nobody can say just now. */
  ask(): Promise<(Backlog & { readonly held: number }) | undefined>
}

const WITHIN_MS = 1_000

/** Figures of this process. Instants are milliseconds since 1970. */
export class Freshness {
  /** What was published up to then is in the copy. */
  asOf: number
  waiting: number | undefined
  lastEventAt: number | undefined
  lastAppliedAt: number | undefined
  applied: number
  skipped: number
  readonly #parts: FreshnessParts
  /** Whether the broker can say: then nothing is concluded from messages alone, which are of one lane only. */
  #told: boolean
  #askedAt: number
  #asking: Promise<void> | undefined

  constructor(parts: FreshnessParts) {
    this.asOf = -Infinity
    this.waiting = undefined
    this.lastEventAt = undefined
    this.lastAppliedAt = undefined
    this.applied = 0
    this.skipped = 0
    this.#parts = parts
    this.#told = false
    this.#askedAt = -Infinity
    this.#asking = undefined
  }

  /** A message is done. `time`: when it was published. */
  handled(time: number, newer: number, of: number): void {
    this.lastEventAt = Math.max(this.lastEventAt ?? -Infinity, time)
    this.applied += newer
    this.skipped += of - newer
    if (newer > 0) this.lastAppliedAt = this.#parts.clock.wallNow()
    if (!this.#told) this.known(time)
  }

  known(asOf: number): void {
    if (asOf > this.asOf) this.asOf = asOf
  }

  /** Milliseconds; Infinity where nothing is known. */
  age(): number {
    return Math.max(0, this.#parts.clock.wallNow() - this.asOf)
  }

  /** As `age`; asks the broker first where that was too long ago, or the answer would be more than `wantedMs`. */
  async ageWithin(wantedMs: number): Promise<number> {
    const { clock, everyMs } = this.#parts
    if (clock.now() - this.#askedAt >= everyMs || this.age() > wantedMs) await this.ask()
    return this.age()
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
    let answer: Awaited<ReturnType<FreshnessParts['ask']>>
    try {
      answer = await boundedBy(clock, WITHIN_MS, this.#parts.ask(), 'DEADLINE_EXCEEDED', 'the broker gave no answer')
    } catch {
      // Then it grows old, which is what there is to say about it.
    }
    this.waiting = answer?.waiting
    if (answer === undefined) return
    this.#told = true
    if (answer.waiting === 0 && answer.held === 0) this.known(at)
    else if (this.lastEventAt !== undefined)
      this.known(answer.oldestMs === undefined ? this.lastEventAt : Math.min(this.lastEventAt, at - answer.oldestMs))
  }
}
