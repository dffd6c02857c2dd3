// What happens to messages on their way through a consumer, as typed events; on the same listener and channel as those of calls.
import type { FairleadError } from '../errors/base.ts'

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

/** What became of a message for now: `ignored` (unknown type), `expired` (dropped), `later` (it comes again), `lost` (no right to say anything). */
export type MessageOutcome = 'ack' | 'later' | 'dead' | 'ignored' | 'expired' | 'lost'

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
