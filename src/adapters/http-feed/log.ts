// What a feed asks of the place where its events lie: append, read on from somewhere, say what is kept. It knows nothing of HTTP or of messages.
import { createError } from '../../errors/classes.ts'

/** One event as it lies in the log. */
export interface FeedRecord {
  /** Counted from 1 in each topic, without gaps. */
  readonly sequence: number
  /** When it was appended, milliseconds since 1970. */
  readonly at: number
  /** One CloudEvent in JSON. */
  readonly event: string
}

/** What is kept of a topic. */
export interface FeedBounds {
  /** Sequence of the oldest event that is kept; where there is none, that of the next one. */
  readonly first: number
  /** Sequence that the next event will get. */
  readonly next: number
}

/** How long events are kept. The stricter one decides. */
export interface FeedRetention {
  /** How many of each topic. */
  readonly maxCount?: number | undefined
  /** For how long, milliseconds. Default: without limit. */
  readonly maxAgeMs?: number | undefined
}

/** An append-only log of events by topic. Events of one topic are read in the order in which they were appended. */
export interface FeedLog {
  /** Events survive the end of the process. */
  readonly persistent: boolean
  /** Where an event is once `append` has resolved. */
  readonly acknowledged: 'memory' | 'disk' | 'replicated' | 'configured'
  /** Part of every position, letters and digits. A log that has lost its events, or starts anew, has another: positions of the old one are then known to be void. */
  readonly generation: string
  readonly retention: FeedRetention
  /** Makes a topic; one that is there stays as it is. */
  create(topic: string): Promise<void>
  /** What is kept of a topic, or undefined where there is no such topic. */
  bounds(topic: string): FeedBounds | undefined
  /**
   * Appends all of them or none; makes the topic if it is not there. Calls for one topic take effect in the order in which they were made.
   * @throws FairleadError whose effect says whether they may have been appended
   */
  append(topic: string, events: readonly string[]): Promise<void>
  /** From a sequence that is kept on, at most so many, and no more once they have so many characters together; but at least one, if there is one. */
  read(topic: string, from: number, limit: number, maxLength: number): Promise<readonly FeedRecord[]>
  /** When the event of this sequence was appended, milliseconds since 1970; undefined where there is none. */
  timeOf(topic: string, sequence: number): Promise<number | undefined>
  /** Sequence of the first kept event that was appended at or after an instant (milliseconds since 1970), or of the next one. */
  since(topic: string, time: number): Promise<number>
  /** Tells of events that were appended, by whatever process. Returns the way to stop listening. */
  onAppended(listener: (topic: string) => void): () => void
  close(): Promise<void>
}

/** The error of a log that is closed. */
export function logClosed(): Error {
  return createError({ code: 'SHUTDOWN', message: 'the log of the feed is closed', stack: false })
}
