// What a feed gives to its readers, whether they come over HTTP or are in the same process.
import { onSignal } from '../../core/signals.ts'
import type { FeedRecord } from './log.ts'

/** What a reader asks for. */
export interface PageAsk {
  /** A position, or where to begin: at the oldest event, behind the newest, or at the first since an instant (milliseconds since 1970). */
  readonly after: string | 'earliest' | 'latest' | { readonly time: number }
  /** Most events. Default: the page size of the feed, which is also the most. */
  readonly limit?: number | undefined
  /** How long to wait where there is nothing yet. Default 0. */
  readonly waitMs?: number | undefined
  /** Ends the wait at once. */
  readonly onGone?: ((gone: () => void) => () => void) | undefined
}

/** A page of a feed. */
export interface FeedPage {
  /** Where it begins. */
  readonly position: string
  readonly records: readonly FeedRecord[]
  /** Behind the last one; where there is none, where the reader stands. */
  readonly next: string
  /** It will never be another one: events are only ever added behind it. */
  readonly closed: boolean
}

/** How much stands behind a position. */
export interface FeedTail {
  readonly position: string
  /** Behind the newest event. */
  readonly next: string
  readonly waiting: number
  readonly oldestMs: number | undefined
}

/** Whoever gives pages. */
export interface FeedPages {
  /** @throws FairleadError `CHANNEL_NOT_FOUND`, `POSITION_EXPIRED` with `details.earliest`, `INVALID_REQUEST`, `OUTSTANDING_LIMIT` for a wait too many */
  page(topic: string, ask: PageAsk): Promise<FeedPage>
  /** How much stands behind a position. Throws as `page` does. */
  tail(topic: string, after: PageAsk['after']): Promise<FeedTail>
}

/** A reader that is gone once a signal is aborted, or is so already. */
export function goneBy(signal: AbortSignal): NonNullable<PageAsk['onGone']> {
  return (gone) => {
    if (!signal.aborted) return onSignal(signal, gone)
    gone()
    return () => {}
  }
}
