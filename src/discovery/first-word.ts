// Calls that come before the source has said anything: they share one watch and wait for its first word, but not for long.
import type { Clock, Timer } from '../core/clock.ts'
import type { Deadline } from '../core/deadline.ts'

interface Waiter {
  readonly arrived: () => void
  readonly late: () => void
  readonly failed: (error: unknown) => void
  timer: Timer
}

/** Who waits for the first word of one service. */
export class FirstWord {
  private readonly clock: Clock
  private readonly endsAt: number
  private readonly waiting: Set<Waiter>

  constructor(clock: Clock, startupMs: number) {
    this.clock = clock
    this.endsAt = clock.now() + startupMs
    this.waiting = new Set()
  }

  get size(): number {
    return this.waiting.size
  }

  /** It had its time. Calls are not held up one after the other while a registry is down. */
  overdue(now: number): boolean {
    return now >= this.endsAt
  }

  /** Calls back exactly one of them. `late`: at the end of the startup time or the deadline, whichever is sooner. */
  wait(
    arrived: () => void,
    late: () => void,
    failed: (error: unknown) => void,
    deadline: Deadline | undefined = undefined,
  ): void {
    const waiter: Waiter = { arrived, late, failed, timer: undefined }
    const ms = Math.min(this.endsAt - this.clock.now(), deadline?.remainingMs() ?? Number.POSITIVE_INFINITY)
    waiter.timer = this.clock.setTimer((overdue) => this.release(overdue).late(), Math.max(ms, 0), waiter)
    this.waiting.add(waiter)
  }

  /** There is a word. */
  arrive(): void {
    for (const waiter of [...this.waiting]) this.release(waiter).arrived()
  }

  /** There will be none. */
  fail(error: unknown): void {
    for (const waiter of [...this.waiting]) this.release(waiter).failed(error)
  }

  private release(waiter: Waiter): Waiter {
    this.clock.clearTimer(waiter.timer)
    this.waiting.delete(waiter)
    return waiter
  }
}
