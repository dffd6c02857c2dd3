// What a reader of a feed tells of itself.
import type { FairleadError } from '../../errors/base.ts'

/** Which reader an event is about. */
export interface FeedReaderFacts {
  readonly channel: string
  /** Undefined for a live subscription. */
  readonly group: string | undefined
}

/** What happens to a reader. Durations are milliseconds. */
export type FeedReaderEvent =
  /** The feed, or the store of the positions, could not be asked; it is asked again. */
  | (FeedReaderFacts & { readonly type: 'unreachable'; readonly error: FairleadError; readonly retryInMs: number })
  /** It can be asked again. */
  | (FeedReaderFacts & { readonly type: 'reachable' })
  /** This member reads for the group from now on. */
  | (FeedReaderFacts & { readonly type: 'lane-taken'; readonly position: string })
  /** It does not any more: its lease ran out, or somebody else has it. */
  | (FeedReaderFacts & { readonly type: 'lane-lost' })
  /** Events were dropped before they were read; with `onExpired: 'earliest'` it goes on with the oldest one. */
  | (FeedReaderFacts & { readonly type: 'expired'; readonly position: string; readonly earliest: string })

/** Hears of a reader. What it throws is swallowed. */
export type FeedReaderListener = (event: FeedReaderEvent) => void

/** Tells a listener, and is not harmed by it. */
export function tell(listener: FeedReaderListener | undefined, event: FeedReaderEvent): void {
  try {
    const answer: unknown = listener?.(event)
    // An async function is taken for a listener as well: its rejection would end the process.
    if (answer instanceof Promise) answer.catch(() => {})
  } catch {
    // A listener's fault is not the reader's.
  }
}
