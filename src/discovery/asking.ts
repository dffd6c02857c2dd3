// How every polling or watching source goes on: asks, tells, waits, asks again; sooner when told to, slower while it fails.
import { detached } from '../core/async-context.ts'
import type { Clock, Random, Timer } from '../core/clock.ts'
import type { SourceUpdate, SourceWatch } from '../core/contracts/source.ts'

/** What one question brought. */
export interface Asked {
  /** Undefined: nothing new (a blocking query that ran out, an equal answer). */
  readonly update: Exclude<SourceUpdate, { readonly type: 'error' }> | undefined
  /** When to ask again, milliseconds; 0 for at once (a blocking query waits at the server). */
  readonly againMs: number
}

/** How a source asks. */
export interface AskingOptions {
  readonly clock: Clock
  readonly random: Random
  /** One question. Its signal is aborted by `close`, and by `refresh` where `interrupt` is on. A rejection is told as an error, and asked again. */
  readonly ask: (signal: AbortSignal) => Promise<Asked>
  readonly sink: (update: SourceUpdate) => void
  /** First pause after an error, doubling up to `mostMs`; each pause is drawn from its upper half (equal jitter). Defaults 1000 and 30000. */
  readonly leastMs?: number | undefined
  readonly mostMs?: number | undefined
  /** `refresh` breaks off a question that is under way: for questions that wait at the server. Default false. */
  readonly interrupt?: boolean | undefined
  /** Last thing of `close`: sockets of this watch. */
  readonly end?: (() => Promise<void> | void) | undefined
}

// A refresh that follows another this closely waits for it: a storm of failed calls must not become a storm of questions.
const REFRESH_GAP_MS = 1_000

/** Asks until closed. The first question goes out at once. */
export function keepAsking(options: AskingOptions): SourceWatch {
  return new Asking(options)
}

class Asking implements SourceWatch {
  readonly #options: AskingOptions
  #timer: Timer | undefined
  #asking: Promise<void> | undefined
  #abort: AbortController | undefined
  #closing: Promise<void> | undefined
  #failures = 0
  #lastAskedAt = Number.NEGATIVE_INFINITY
  #refreshWanted = false

  constructor(options: AskingOptions) {
    this.#options = options
    this.#ask()
  }

  refresh(): void {
    if (this.#closing !== undefined) return
    if (this.#asking !== undefined) {
      if (this.#options.interrupt !== true || this.#refreshWanted) return
      this.#refreshWanted = true
      this.#abort?.abort(new Error('asked again'))
      return
    }
    const sinceMs = this.#options.clock.now() - this.#lastAskedAt
    this.#arm(Math.max(REFRESH_GAP_MS - sinceMs, 0))
  }

  close(): Promise<void> {
    this.#closing ??= this.#end()
    return this.#closing
  }

  async #end(): Promise<void> {
    this.#disarm()
    this.#abort?.abort(new Error('the watch is closed'))
    await this.#asking
    await this.#options.end?.()
  }

  #ask(): void {
    this.#lastAskedAt = this.#options.clock.now()
    // A watch outlives the call that happened to start it.
    this.#asking = detached(() => this.#once()).then((againMs) => {
      this.#asking = undefined
      if (this.#closing !== undefined) return
      if (againMs <= 0) this.#ask()
      else this.#arm(againMs)
    })
  }

  async #once(): Promise<number> {
    const { ask, sink, clock } = this.#options
    const abort = new AbortController()
    this.#abort = abort
    // Never inside the caller's own turn: `watch` has to return first.
    await undefined
    try {
      const { update, againMs } = await ask(abort.signal)
      this.#refreshWanted = false
      if (this.#closing !== undefined) return 0
      this.#failures = 0
      if (update !== undefined) this.#tell(sink, update)
      return againMs
    } catch (error) {
      if (this.#closing !== undefined) return 0
      if (this.#refreshWanted) {
        this.#refreshWanted = false
        return Math.max(REFRESH_GAP_MS - (clock.now() - this.#lastAskedAt), 0)
      }
      const retryInMs = this.#pause()
      this.#tell(sink, { type: 'error', error, retryInMs })
      return retryInMs
    }
  }

  #tell(sink: AskingOptions['sink'], update: SourceUpdate): void {
    try {
      sink(update)
    } catch {
      // The listener's fault must not end the watch.
    }
  }

  #pause(): number {
    const { leastMs = 1_000, mostMs = 30_000, random } = this.#options
    const ms = Math.min(leastMs * 2 ** Math.min(this.#failures++, 20), mostMs)
    return ms / 2 + (random() * ms) / 2
  }

  #arm(ms: number): void {
    this.#disarm()
    const { clock } = this.#options
    this.#timer = detached(() =>
      clock.setTimer(
        () => {
          this.#timer = undefined
          this.#ask()
        },
        ms,
        undefined,
      ),
    )
    clock.unref(this.#timer)
  }

  #disarm(): void {
    if (this.#timer !== undefined) this.#options.clock.clearTimer(this.#timer)
    this.#timer = undefined
  }
}
