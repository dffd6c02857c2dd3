// How every polling or watching source goes on: asks, tells, waits, asks again; sooner when told to, slower while it fails.
import { detached } from '../core/async-context.ts'
import type { Clock, Random, Timer } from '../core/clock.ts'
import type { SourceUpdate, SourceWatch } from '../core/contracts/source.ts'

/** What one question brought. */
export interface Asked {
  /** Undefined: nothing new (a blocking query that ran out, an equal answer). After an error the last update is then told once more. */
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
  #dueAt = Number.POSITIVE_INFINITY
  #asking: Promise<void> | undefined
  #abort: AbortController | undefined
  #closing: Promise<void> | undefined
  #failures = 0
  #brokenOff = 0
  #last: Asked['update']
  #lastAskedAt = Number.NEGATIVE_INFINITY
  #refreshWanted = false

  constructor(options: AskingOptions) {
    this.#options = options
    this.#ask()
  }

  refresh(): void {
    if (this.#closing !== undefined) return
    if (this.#asking !== undefined) {
      // What is under way may have been answered before whatever is to be seen.
      this.#refreshWanted = true
      if (this.#options.interrupt === true) this.#breakOff()
      return
    }
    const inMs = this.#gapMs()
    // Never later than it would have been asked anyway.
    if (this.#options.clock.now() + inMs < this.#dueAt) this.#arm(inMs)
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
    const { ask, sink } = this.#options
    const abort = new AbortController()
    this.#abort = abort
    // Never inside the caller's own turn: `watch` has to return first.
    await undefined
    try {
      const { update, againMs } = await ask(abort.signal)
      const wanted = this.#takeRefresh()
      if (this.#closing !== undefined) return 0
      const failed = this.#failures > 0
      this.#failures = 0
      this.#brokenOff = 0
      this.#last = update ?? this.#last
      // The listener has heard an error since: that it answers again is news, whatever it answers.
      if (this.#last !== undefined && (update !== undefined || failed)) this.#tell(sink, this.#last)
      return wanted ? Math.min(againMs, this.#gapMs()) : againMs
    } catch (error) {
      if (this.#closing !== undefined) return 0
      // Broken off by us: that is no failure of the registry.
      if (this.#takeRefresh() && abort.signal.aborted) return this.#gapMs()
      this.#brokenOff = 0
      const retryInMs = this.#pause()
      this.#tell(sink, { type: 'error', error, retryInMs })
      return retryInMs
    }
  }

  // A storm of refreshes must not break off every question of a registry that answers slowly: each one in a row is given twice as long.
  #breakOff(): void {
    const { clock } = this.#options
    const leastMs = this.#brokenOff === 0 ? 0 : REFRESH_GAP_MS * 2 ** Math.min(this.#brokenOff, 5)
    if (this.#abort?.signal.aborted !== false || clock.now() - this.#lastAskedAt < leastMs) return
    this.#brokenOff++
    this.#abort.abort(new Error('asked again'))
  }

  #takeRefresh(): boolean {
    const wanted = this.#refreshWanted
    this.#refreshWanted = false
    return wanted
  }

  #gapMs(): number {
    return Math.max(REFRESH_GAP_MS - (this.#options.clock.now() - this.#lastAskedAt), 0)
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
    this.#dueAt = clock.now() + ms
    this.#timer = detached(() =>
      clock.setTimer(
        () => {
          this.#timer = undefined
          this.#dueAt = Number.POSITIVE_INFINITY
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
    this.#dueAt = Number.POSITIVE_INFINITY
  }
}
