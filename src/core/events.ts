// What happens on the call path, as typed events: to one listener, and on diagnostics_channel for tools that know nothing of us.
import { type Channel, channel } from 'node:diagnostics_channel'
import type { FairleadError } from '../errors/base.ts'
import type { DiscoveryEvent, RegistrationEvent } from './discovery-events.ts'
import type { ConsumerEvent, OutboxEvent, RelayEvent, RequestEvent } from './message-events.ts'
import type { ProcessEvent } from './process-events.ts'
import type { ReplicaEvent } from './replica-events.ts'

/** Which call an event is about. */
export interface CallFacts {
  readonly service: string
  readonly operation: string
}

/** Everything that a pipeline, a consumer, an outbox, a relay or a discovery tells. Instants and durations are milliseconds. */
export type PipelineEvent =
  | ConsumerEvent
  | OutboxEvent
  | RelayEvent
  | RequestEvent
  | ProcessEvent
  | ReplicaEvent
  | DiscoveryEvent
  | RegistrationEvent
  | (CallFacts & {
      readonly type: 'call'
      readonly elapsedMs: number
      readonly error?: unknown
    })
  | (CallFacts & {
      readonly type: 'attempt'
      readonly attempt: number
      readonly elapsedMs: number
      readonly error?: FairleadError
      readonly endpoint?: string
    })
  | (CallFacts & {
      readonly type: 'retry'
      readonly attempt: number
      readonly delayMs: number
      readonly error: FairleadError
    })
  /** Nobody has answered for so long: another endpoint is asked as well. */
  | (CallFacts & { readonly type: 'hedge'; readonly attempt: number; readonly afterMs: number })
  | (CallFacts & {
      readonly type: 'retry-stopped'
      readonly attempt: number
      readonly reason: string
      readonly error: FairleadError
    })
  | (CallFacts & { readonly type: 'refused'; readonly code: string })
  | (CallFacts & { readonly type: 'timeout'; readonly what: 'attempt' | 'deadline'; readonly afterMs: number })
  | (CallFacts & { readonly type: 'abandoned'; readonly running: number })
  | (CallFacts & { readonly type: 'fallback'; readonly from: string; readonly error: unknown })
  | (CallFacts & { readonly type: 'cache'; readonly outcome: 'hit' | 'miss' | 'stale' | 'coalesced' })
  | {
      readonly type: 'circuit'
      readonly name: string
      readonly state: CircuitState
      readonly was: CircuitState
      readonly reason: string
      readonly openMs?: number
    }
  | {
      readonly type: 'rate-limit'
      readonly id: string
      readonly state: 'shared' | 'unavailable'
      readonly error?: unknown
    }
  | (CallFacts & {
      readonly type: 'bytes'
      readonly sent: number
      readonly received: number
      readonly elapsedMs: number
      readonly endpoint?: string
    })

/** States of a circuit breaker. `isolated` is open by hand. */
export type CircuitState = 'closed' | 'open' | 'half-open' | 'isolated'

/** Hears events. What it throws is swallowed: a listener never breaks a call. */
export type EventListener = (event: PipelineEvent) => void

/** Where layers tell what happened. `heard` is the one check that it costs when nobody listens. */
export interface Events {
  readonly heard: boolean
  emit(event: PipelineEvent): void
}

const CHANNEL = 'fairlead:event'

class ChannelEvents implements Events {
  readonly #listener: EventListener | undefined
  readonly #channel: Channel

  constructor(listener: EventListener | undefined) {
    this.#listener = listener
    this.#channel = channel(CHANNEL)
  }

  get heard(): boolean {
    return this.#listener !== undefined || this.#channel.hasSubscribers
  }

  emit(event: PipelineEvent): void {
    try {
      // An async function is taken for a listener as well: its rejection would end the process.
      const answer: unknown = this.#listener?.(event)
      if (answer instanceof Promise) answer.catch(nothing)
    } catch {
      // A listener's fault is not the call's.
    }
    // diagnostics_channel itself keeps a throwing subscriber away from us.
    if (this.#channel.hasSubscribers) this.#channel.publish(event)
  }
}

/** Events to a listener, if any, and to the diagnostics channel `fairlead:event`. */
export function createEvents(listener?: EventListener | undefined): Events {
  return new ChannelEvents(listener)
}

function nothing(): void {}
