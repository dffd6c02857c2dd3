// Deletes what is over, one batch when it is due and never two at a time: whether the outbox is idle or not, for one that is always busy would keep all that it ever published.
import { asking, within } from './asking.ts'
import type { RelaySettings } from './relay-options.ts'
import type { RelayTeller } from './relay-telling.ts'

const PURGE_EVERY_MS = 60_000
const PURGED_AT_ONCE = 1_000
/** One that was given up may still be deleting; for so long there is no other. */
const GIVEN_UP_MS = 600_000

/** The purging of one relay. */
export class Purger {
  readonly #settings: RelaySettings
  readonly #teller: RelayTeller
  readonly #failed: (error: unknown) => void
  #at: number
  #purging: boolean

  /** @param failed told of each failure */
  constructor(settings: RelaySettings, teller: RelayTeller, failed: (error: unknown) => void) {
    const { clock, random } = settings.world
    this.#settings = settings
    this.#teller = teller
    this.#failed = failed
    // Many relays that start together must not delete together.
    this.#at = clock.now() + PURGE_EVERY_MS * (0.5 + random())
    this.#purging = false
  }

  /** Purges if it is time. */
  look(): void {
    const { purgeAfterMs, store, leaseMs, poll, world } = this.#settings
    const { clock } = world
    if (purgeAfterMs === false || this.#purging || clock.now() < this.#at) return
    this.#at = clock.now() + PURGE_EVERY_MS
    this.#purging = true
    const options = { olderThanMs: purgeAfterMs, limit: PURGED_AT_ONCE }
    const { answer, ended } = asking(() => store.purge(options), leaseMs, clock)
    const over = (): void => {
      this.#purging = false
    }
    answer.then(
      (count) => {
        over()
        if (count === 0) return
        this.#teller.purged(count)
        // There is more: but whoever publishes meanwhile comes first.
        if (count >= PURGED_AT_ONCE) this.#at = clock.now() + poll.maxMs
      },
      (error) => {
        this.#failed(error)
        void within(() => ended, GIVEN_UP_MS, clock).then(over, over)
      },
    )
  }
}
