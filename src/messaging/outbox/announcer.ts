// Tells relays of other processes that there is something, but never once a commit: on PostgreSQL each NOTIFY takes a lock of the whole cluster at commit.
import { detached } from '../../core/async-context.ts'
import type { Clock } from '../../core/clock.ts'

/** Announces at once, and then at most once in `everyMs`: the last word is never left out. */
export class Announcer {
  readonly #everyMs: number
  readonly #clock: Clock
  readonly #announce: () => Promise<void>
  readonly #failed: (error: unknown) => void
  /** The last one is less than `everyMs` ago, or still under way. */
  #waiting: boolean
  #again: boolean

  constructor(everyMs: number, clock: Clock, announce: () => Promise<void>, failed: (error: unknown) => void) {
    this.#everyMs = everyMs
    this.#clock = clock
    this.#announce = announce
    this.#failed = failed
    this.#waiting = false
    this.#again = false
  }

  /** There is something. */
  tell(): void {
    if (this.#waiting) this.#again = true
    // What goes on after the commit must not belong to the request that made it.
    else detached(() => this.#now())
  }

  #now(): void {
    this.#waiting = true
    this.#again = false
    const begun = this.#clock.now()
    const next = (): void => {
      const timer = this.#clock.setTimer(ring, Math.max(0, begun + this.#everyMs - this.#clock.now()), this)
      // Nobody stays up for it: relays look for themselves as well.
      this.#clock.unref(timer)
    }
    let announced: Promise<void>
    try {
      announced = Promise.resolve(this.#announce())
    } catch (error) {
      announced = Promise.reject(error)
    }
    announced.catch((error) => this.#failed(error)).then(next)
  }

  ring(): void {
    this.#waiting = false
    if (this.#again) this.#now()
  }
}

function ring(announcer: Announcer): void {
  announcer.ring()
}
