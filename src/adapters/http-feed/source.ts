// Where a reader gets its pages: over HTTP, or from a feed in the same process.
import type { Feed } from './feed.ts'
import { goneBy } from './pages.ts'
import { formatPosition } from './position.ts'
import { envelopeOf, type FeedEntry } from './wire.ts'

/** Where to begin: a position, or what stands for one. `time` is milliseconds since 1970. */
export type Start = string | 'earliest' | 'latest' | { readonly time: number }

/** Events and where they lead. */
export interface SourcePage {
  readonly entries: readonly FeedEntry[]
  readonly next: string
}

/** How much stands behind a position. */
export interface SourceTail {
  /** What the start came to. */
  readonly position: string
  /** Undefined where the server does not say. */
  readonly waiting: number | undefined
  readonly oldestMs: number | undefined
}

/** One feed. Everything it throws is a FairleadError. */
export interface Source {
  /** The next page behind a position; waits for so long where there is nothing yet, and then answers an empty one. */
  page(after: string, limit: number, waitMs: number, signal: AbortSignal): Promise<SourcePage>
  tail(after: Start, signal: AbortSignal): Promise<SourceTail>
}

/** A feed of the same process. */
export function localSource(feed: Feed, topic: string): Source {
  return {
    async page(after, limit, waitMs, signal) {
      signal.throwIfAborted()
      const { records, next } = await feed.page(topic, { after, limit, waitMs, onGone: goneBy(signal) })
      const entries = records.map(({ event, sequence }): FeedEntry => {
        const position = formatPosition(feed.log.generation, sequence)
        return { position, envelope: envelopeOf(JSON.parse(event), topic, position) }
      })
      return { entries, next }
    },
    tail: (after) => feed.tail(topic, after),
  }
}
