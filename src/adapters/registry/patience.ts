// How long one question may take: ends by time, with the asker's signal, or with the client; each tells itself apart.
import type { Clock, Timer } from '../../core/clock.ts'
import { createError } from '../../errors/classes.ts'
import { classify } from '../../errors/classify.ts'

/** The patience with one question. */
export interface Patience {
  readonly signal: AbortSignal
  /** What to reject with: why it was ended by us, or else what `error` says. Always a FairleadError. */
  explain(error: unknown): Error
  /** Settles as `work` does, or rejects as soon as patience is at its end: undici holds a queued request however often it is aborted. */
  race<T>(work: Promise<T>): Promise<T>
  /** From now on so many milliseconds. */
  again(ms: number): void
  /** Time does not count: the asker is at work on what came. */
  pause(): void
  /** Ends it from outside. */
  give(reason: unknown): void
  /** No timer and no listener is left. */
  end(): void
}

/**
 * Begins to count.
 * @param who for the message: the server that is asked
 * @param outer the asker's signal; its reason is what is rejected with, classified
 */
export function limited(clock: Clock, who: string, firstMs: number, outer: AbortSignal | undefined): Patience {
  const abort = new AbortController()
  const { signal } = abort
  let timer: Timer | undefined
  const pause = (): void => {
    if (timer !== undefined) clock.clearTimer(timer)
    timer = undefined
  }
  const give = (reason: unknown): void => {
    pause()
    abort.abort(reason)
  }
  const again = (ms: number): void => {
    pause()
    if (signal.aborted) return
    timer = clock.setTimer(
      () =>
        give(createError({ code: 'ATTEMPT_TIMEOUT', message: `${who} did not answer within ${ms} ms`, stack: false })),
      ms,
      undefined,
    )
    clock.unref(timer)
  }
  const leave = (): void => give(outer?.reason)
  if (outer?.aborted === true) leave()
  else outer?.addEventListener('abort', leave, { once: true })
  again(firstMs)
  return {
    signal,
    explain: (error) =>
      signal.aborted ? classify(signal.reason, { aborted: { reason: signal.reason } }) : classify(error, {}),
    race: (work) =>
      new Promise((resolve, reject) => {
        const stop = (): void => reject(signal.reason)
        work
          .then(resolve, reject)
          .finally(() => signal.removeEventListener('abort', stop))
          .catch(() => {})
        if (signal.aborted) stop()
        else signal.addEventListener('abort', stop, { once: true })
      }),
    again,
    pause,
    give,
    end() {
      pause()
      outer?.removeEventListener('abort', leave)
    },
  }
}
