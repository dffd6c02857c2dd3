// What has to be done now and then: live places say that they are alive, what they left behind and what is past its retention goes, tables are cleaned.
import { detached } from '../../../core/async-context.ts'
import type { Clock, Random, Timer } from '../../../core/clock.ts'
import type { MessageStore } from './store.ts'

/** A live place that was not heard of for so long is removed. */
export const STALE_MS = 60_000
const TIDY_EVERY_MS = 15_000
const PURGED_AT_ONCE = 1_000
// Autovacuum comes once a minute at best; until then each claim steps over what the ones before it took.
const CLEAN_AFTER = 100_000

/** The housekeeping of one transport. */
export class Tidy {
  private readonly store: MessageStore
  private readonly clock: Clock
  private readonly random: Random
  private readonly live = new Map<number, () => void>()
  private timer: Timer | undefined
  private claimed = 0
  private cleaning = false
  private closed = false

  constructor(store: MessageStore, clock: Clock, random: Random) {
    this.store = store
    this.clock = clock
    this.random = random
  }

  /** Begins, once there is something to do it for. */
  start(): void {
    if (this.timer !== undefined || this.closed) return
    this.timer = this.clock.setTimer(
      (tidy: Tidy) => detached(() => void tidy.round()),
      TIDY_EVERY_MS * (0.75 + this.random() / 2),
      this,
    )
    this.clock.unref(this.timer)
  }

  /** Keeps a live place; `onGone` is called if it is gone nevertheless. */
  keep(place: number, onGone: () => void): void {
    this.live.set(place, onGone)
    this.start()
  }

  forget(place: number): void {
    this.live.delete(place)
  }

  /** So many were taken out of the tables. */
  took(count: number): void {
    this.claimed += count
    if (this.claimed < CLEAN_AFTER || this.cleaning || this.closed) return
    this.claimed = 0
    this.cleaning = true
    detached(() => this.store.vacuum())
      .catch(nothing)
      .finally(() => {
        this.cleaning = false
      })
  }

  close(): void {
    this.closed = true
    if (this.timer !== undefined) this.clock.clearTimer(this.timer)
  }

  private async round(): Promise<void> {
    this.timer = undefined
    // Whatever fails now is done the next time.
    try {
      const before = [...this.live]
      if (before.length > 0) {
        const there = new Set(await this.store.beat(before.map(([place]) => place)))
        for (const [place, onGone] of before) if (!there.has(place) && this.live.get(place) === onGone) onGone()
      }
      while (!this.closed && (await this.store.tidy(STALE_MS, PURGED_AT_ONCE)) >= PURGED_AT_ONCE);
    } catch {}
    this.start()
  }
}

function nothing(): void {}
