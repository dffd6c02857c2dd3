// What a reader does when its feed or its store cannot be asked: it tries again, later and later, and gives up only what time does not mend.
import { type Clock, type Random, sleep } from '../../core/clock.ts'
import type { FairleadError } from '../../errors/base.ts'

/** How long to go on. */
export interface RecoverySettings {
  /** The longest wait before jitter. */
  readonly maxBackoffMs: number
  /** After so many refusals in a row that are no passing trouble (404, 401, 403, what breaks the protocol). */
  readonly giveUpAfter: number
  readonly clock: Clock
  readonly random: Random
}

const FIRST_MS = 100

/** Counts failures in a row. */
export class Recovery {
  private readonly settings: RecoverySettings
  private readonly told: (error: FairleadError, retryInMs: number) => void
  private readonly mended: () => void
  private failures = 0
  private refusals = 0

  constructor(settings: RecoverySettings, told: (error: FairleadError, retryInMs: number) => void, mended: () => void) {
    this.settings = settings
    this.told = told
    this.mended = mended
  }

  /** Waits before the next try: full jitter, on top of what the server asked for. @throws the error itself once it is given up, or the reason of the signal */
  async failed(error: FairleadError, signal: AbortSignal): Promise<void> {
    const { maxBackoffMs, giveUpAfter, clock, random } = this.settings
    if (!error.transient && ++this.refusals >= giveUpAfter) throw error
    const backoffMs = random() * Math.min(maxBackoffMs, FIRST_MS * 2 ** Math.min(this.failures++, 30))
    const ms = (error.retryAfterMs ?? 0) + backoffMs
    this.told(error, ms)
    await sleep(clock, ms, signal)
  }

  succeeded(): void {
    if (this.failures > 0) this.mended()
    this.failures = 0
    this.refusals = 0
  }
}
