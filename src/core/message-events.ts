// What happens to messages on their way through a consumer, as typed events; on the same listener and channel as those of calls.
import type { FairleadError } from '../errors/base.ts'
import type { ChannelAddress } from './message.ts'

/** Whose message an event is about. */
export interface ConsumerFacts {
  readonly channel: string
  /** Of a topic; absent for queues and live subscriptions. */
  readonly group?: string
}

/** Which message an event is about. */
export interface MessageFacts extends ConsumerFacts {
  readonly id: string
  readonly key?: string
  /** Of the message, as it says; absent where it says none. */
  readonly messageType?: string
}

/** What became of a message for now: `duplicate` (its inbox says that its effects stand), `ignored` (unknown type), `expired` (dropped), `later` (it comes again), `lost` (no right to say anything). */
export type MessageOutcome = 'ack' | 'duplicate' | 'later' | 'dead' | 'ignored' | 'expired' | 'lost'

/** States of a consumer. `throttled`: an outage was seen, it tries one message at a time. `restarting`: the subscription ended, a new one is tried. */
export type ConsumerState =
  | 'idle'
  | 'starting'
  | 'running'
  | 'paused'
  | 'throttled'
  | 'restarting'
  | 'closing'
  | 'closed'

/** Everything that a consumer tells. Durations are milliseconds. */
export type ConsumerEvent =
  | (MessageFacts & { readonly type: 'message-received'; readonly redeliveries: number })
  | (MessageFacts & {
      readonly type: 'message-handled'
      readonly outcome: MessageOutcome
      /** Attempts of this delivery: 0 where no handler was called. */
      readonly attempts: number
      /** From its delivery to its outcome. */
      readonly elapsedMs: number
    })
  | (MessageFacts & {
      readonly type: 'message-retried'
      /** `now`: another attempt at once; `here`: held back by this consumer; `broker`: given back. */
      readonly where: 'now' | 'here' | 'broker'
      readonly delayMs: number
      readonly reason: string
      readonly error?: FairleadError
    })
  | (MessageFacts & { readonly type: 'message-dead'; readonly reason: string; readonly error?: FairleadError })
  | (MessageFacts & {
      readonly type: 'message-lost'
      /** What was under way when the right to settle was lost. */
      readonly during: 'waiting' | 'handling' | 'settling'
      readonly error: FairleadError
    })
  /** Old entries of an inbox were deleted. */
  | (ConsumerFacts & { readonly type: 'inbox-purged'; readonly entries: number })
  /** Something beside the messages went wrong with an inbox: deleting what is old, counting deliveries. It is tried again the next time. */
  | (ConsumerFacts & {
      readonly type: 'inbox-failed'
      readonly during: 'purge' | 'count'
      readonly error: FairleadError
    })
  /** A handler did not heed the end of its time and was left alone. `running` is how many there are. */
  | (ConsumerFacts & { readonly type: 'handler-abandoned'; readonly ids: readonly string[]; readonly running: number })
  | (ConsumerFacts & {
      readonly type: 'consumer-state'
      readonly state: ConsumerState
      readonly was: ConsumerState
      readonly error?: FairleadError
    })
  | (ConsumerFacts & {
      readonly type: 'consumer-throttled'
      /** `on`: so many messages failed in a row; `probe`: one is tried; `longer`: it failed too; `off`: one went well. */
      readonly step: 'on' | 'probe' | 'longer' | 'off'
      /** To the next probe, for `on` and `longer`. */
      readonly waitMs?: number
    })
  | (ConsumerFacts & {
      readonly type: 'consumer-restarted'
      /** Tries since it ended. */
      readonly tries: number
      readonly elapsedMs: number
    })

/** What an outbox tells. */
export type OutboxEvent = {
  /** Relays of other processes could not be told of new messages: they find them when they look the next time. */
  readonly type: 'outbox-announce-failed'
  /** The outbox, by its source. */
  readonly outbox: string
  readonly error: FairleadError
}

/** Which relay an event is about. */
export interface RelayFacts {
  /** Its outbox, by its source. */
  readonly outbox: string
  readonly relay: string
}

/** Which message of an outbox an event is about. */
export interface RowFacts extends RelayFacts {
  readonly channel: string
  readonly id: string
  readonly key?: string
  readonly messageType?: string
}

/** States of a relay. `backing-off`: the transport, or the database, is away; it tries again at growing intervals. */
export type RelayState = 'idle' | 'running' | 'backing-off' | 'closing' | 'closed'

/** Everything that a relay tells. Durations are milliseconds. */
export type RelayEvent =
  | (RelayFacts & {
      readonly type: 'relay-state'
      readonly state: RelayState
      readonly was: RelayState
      readonly error?: FairleadError
    })
  /** Some messages of a channel were published. */
  | (RelayFacts & {
      readonly type: 'relay-published'
      readonly channel: ChannelAddress
      readonly count: number
      readonly elapsedMs: number
    })
  /** One failed on its own account; its key waits for it. */
  | (RowFacts & {
      readonly type: 'relay-retried'
      /** Failed ones so far. */
      readonly attempts: number
      readonly delayMs: number
      readonly error: FairleadError
    })
  /** One is given up. `blocksKey`: later ones of its key wait until it is skipped or redriven. */
  | (RowFacts & {
      readonly type: 'relay-dead'
      readonly attempts: number
      readonly reason: string
      readonly blocksKey: boolean
      readonly error?: FairleadError
    })
  /** Nothing gets through, or nothing of one channel while others do: no message is held accountable, and all of them wait. */
  | (RelayFacts & {
      readonly type: 'relay-backing-off'
      readonly waitMs: number
      readonly error: FairleadError
      /** Absent: all channels. */
      readonly channel?: ChannelAddress
    })
  /** Something got through again. */
  | (RelayFacts & { readonly type: 'relay-resumed'; readonly afterMs: number; readonly channel?: ChannelAddress })
  /** It got partitions, or gave some up. `partitions` is how many it has now. */
  | (RelayFacts & {
      readonly type: 'relay-leases'
      readonly partitions: number
      readonly gained: number
      readonly lost: number
    })
  /** Partitions went to another relay while messages of them were in hand: those may be published twice. */
  | (RelayFacts & {
      readonly type: 'relay-lease-lost'
      readonly partitions: readonly number[]
      readonly messages: number
    })
  /** The database could not be asked; it is asked again after `waitMs`. */
  | (RelayFacts & {
      readonly type: 'relay-store-failed'
      readonly during: 'lease' | 'read' | 'settle' | 'release' | 'purge' | 'listen'
      readonly error: FairleadError
      readonly waitMs?: number
    })
  /** A send did not end with its deadline: it was left alone. */
  | (RelayFacts & { readonly type: 'relay-send-abandoned'; readonly channel: ChannelAddress; readonly count: number })
  | (RelayFacts & { readonly type: 'relay-purged'; readonly count: number })

/** What requests over messaging tell, on either side. Durations are milliseconds. */
export type RequestEvent =
  /** A reply that nobody waits for. `late`: its request is over (answered, given up); `unknown`: there was none that is remembered. */
  | {
      readonly type: 'reply-dropped'
      readonly transport: string
      readonly why: 'late' | 'unknown'
      readonly id: string
      readonly correlationId?: string
      readonly messageType?: string
    }
  /** The subscription for replies ended on its own. `requests`: so many that waited have failed, as their address is gone. */
  | {
      readonly type: 'replies-lost'
      readonly transport: string
      readonly requests: number
      readonly error: FairleadError
    }
  /** It stands again. */
  | {
      readonly type: 'replies-restored'
      readonly transport: string
      readonly tries: number
      readonly elapsedMs: number
    }
  /** A stored requester could not look for requests whose time is over, or move one on. It tries again. */
  | { readonly type: 'request-scan-failed'; readonly requester: string; readonly error: FairleadError }
  /** A stored requester has deleted rows of requests that are over (`keepDoneMs`). */
  | { readonly type: 'request-purged'; readonly requester: string; readonly count: number }
  /** It could not delete them. It tries again. */
  | { readonly type: 'request-purge-failed'; readonly requester: string; readonly error: FairleadError }
  /** A responder has a reply that went nowhere: whoever asked is gone (`gone`), its time was over (`late`), or it could not be sent (`failed`). */
  | (MessageFacts & {
      readonly type: 'reply-undelivered'
      readonly why: 'gone' | 'late' | 'failed'
      readonly replyTo: ChannelAddress
      readonly error?: FairleadError
    })
