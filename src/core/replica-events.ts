// What becomes of replicas, as typed events; on the same listener and channel as those of calls.
import type { FairleadError } from '../errors/base.ts'

/** Which replica an event is about. */
export interface ReplicaFacts {
  /** Its name. */
  readonly replica: string
}

/** Everything that a replica tells. Durations are milliseconds. */
export type ReplicaEvent =
  /** This process fills it from a snapshot. `resumed`: it goes on where another attempt ended. */
  | (ReplicaFacts & { readonly type: 'replica-loading'; readonly generation: number; readonly resumed: boolean })
  /** The snapshot is in, and what came meanwhile was caught up with. */
  | (ReplicaFacts & {
      readonly type: 'replica-loaded'
      readonly generation: number
      readonly entries: number
      readonly elapsedMs: number
    })
  /** It is tried again after `waitMs`. */
  | (ReplicaFacts & {
      readonly type: 'replica-load-failed'
      readonly generation: number
      readonly error: FairleadError
      readonly waitMs: number
    })
  /** This process goes by another generation of the table now. */
  | (ReplicaFacts & { readonly type: 'replica-live'; readonly generation: number })
  /** Nobody listens under this group any more: give it up at the broker. */
  | (ReplicaFacts & { readonly type: 'replica-group-over'; readonly group: string })
  /** A read that the copy could not answer: it is not loaded, too old, that of code with a newer revision, or does not hold the key. `called`: somebody else was asked. */
  | (ReplicaFacts & {
      readonly type: 'replica-missed'
      readonly why: 'loading' | 'old' | 'missing' | 'revision'
      readonly called: boolean
    })
  /** Something beside the messages went wrong; it is tried again. */
  | (ReplicaFacts & {
      readonly type: 'replica-failed'
      readonly what: 'look' | 'subscribe' | 'purge' | 'give-up'
      readonly error: FairleadError
    })
