// Deletes what a store need not remember any more, such as the entries of an inbox: now and then, a batch at a time, by any process that has the time.

import { detached } from '../../core/async-context.ts'
import type { Clock, Random, Timer } from '../../core/clock.ts'
import type { InboxStore } from '../../core/contracts/store.ts'

/** What the purger tells. */
export interface PurgerHooks {
  purged(entries: number): void
  failed(error: unknown): void
}

const BATCH = 1_000
/** A turn is bounded: what is left is for the next one, soon. */
const MOST_BATCHES = 20
const SOON_MS = 1_000

/** Its timer keeps no process up. Several processes at once do no harm: each deletes what it finds. */
export class Purger {
  readonly #store: Pick<InboxStore<unknown>, 'purge' | 'retentionMs'>
  readonly #everyMs: number
  readonly #clock: Clock
  readonly #random: Random
  readonly #hooks: PurgerHooks
  #timer: Timer
  #state: 'idle' | 'on' | 'off'

  constructor(
    store: Pick<InboxStore<unknown>, 'purge' | 'retentionMs'>,
    everyMs: number,
    clock: Clock,
    random: Random,
    hooks: PurgerHooks,
  ) {
    this.#store = store
    this.#everyMs = everyMs
    this.#clock = clock
    this.#random = random
    this.#hooks = hooks
    this.#timer = undefined
    this.#state = 'idle'
  }

  start(): void {
    if (this.#state !== 'idle') return
    this.#state = 'on'
    this.#arm(this.#everyMs)
  }

  stop(): void {
    this.#state = 'off'
    this.#clock.clearTimer(this.#timer)
  }

  // Processes that were started together must not stay together.
  #arm(ms: number): void {
    this.#timer = this.#clock.setTimer(ring, ms * (0.5 + this.#random()), this)
    this.#clock.unref(this.#timer)
  }

  async run(): Promise<void> {
    let entries = 0
    let last = 0
    try {
      for (let batch = 0; batch < MOST_BATCHES && this.#state === 'on'; batch++) {
        last = await this.#store.purge(this.#store.retentionMs, BATCH)
        entries += last
        if (last < BATCH) break
      }
    } catch (error) {
      last = 0
      this.#hooks.failed(error)
    }
    if (entries > 0) this.#hooks.purged(entries)
    if (this.#state === 'on') this.#arm(last < BATCH ? this.#everyMs : SOON_MS)
  }
}

function ring(purger: Purger): void {
  void detached(() => purger.run())
}
