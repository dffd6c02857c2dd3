// Tells what happens to messages. Where nobody listens it costs one check, which the callers make.
import type { Clock } from '../../core/clock.ts'
import type { Events } from '../../core/events.ts'
import type { ConsumerFacts, ConsumerState, MessageFacts, MessageOutcome } from '../../core/message-events.ts'
import type { FairleadError } from '../../errors/base.ts'
import type { Held } from './held.ts'
import type { ThrottleStep } from './throttle.ts'

/** The events of one consumer. */
export class Teller {
  readonly #events: Events
  readonly #clock: Clock
  readonly #facts: ConsumerFacts

  constructor(events: Events, clock: Clock, channel: string, group: string | undefined) {
    this.#events = events
    this.#clock = clock
    this.#facts = group === undefined ? { channel } : { channel, group }
  }

  get heard(): boolean {
    return this.#events.heard
  }

  received(held: Held): void {
    this.#events.emit({ ...this.#of(held), type: 'message-received', redeliveries: held.delivery.redeliveries ?? 0 })
  }

  handled(held: Held, outcome: MessageOutcome): void {
    const elapsedMs = this.#clock.now() - held.arrivedAt
    this.#events.emit({ ...this.#of(held), type: 'message-handled', outcome, attempts: held.attempts, elapsedMs })
  }

  retried(held: Held, where: 'now' | 'here' | 'broker', delayMs: number, reason: string, error?: FairleadError): void {
    this.#events.emit({
      ...this.#of(held),
      type: 'message-retried',
      where,
      delayMs,
      reason,
      ...(error === undefined ? {} : { error }),
    })
  }

  dead(held: Held, reason: string, error?: FairleadError): void {
    this.#events.emit({ ...this.#of(held), type: 'message-dead', reason, ...(error === undefined ? {} : { error }) })
  }

  lost(held: Held, during: 'waiting' | 'handling' | 'settling', error: FairleadError): void {
    this.#events.emit({ ...this.#of(held), type: 'message-lost', during, error })
  }

  purged(entries: number): void {
    if (this.heard) this.#events.emit({ ...this.#facts, type: 'inbox-purged', entries })
  }

  inboxFailed(during: 'purge' | 'count', error: FairleadError): void {
    if (this.heard) this.#events.emit({ ...this.#facts, type: 'inbox-failed', during, error })
  }

  abandoned(ids: readonly string[], running: number): void {
    if (this.heard) this.#events.emit({ ...this.#facts, type: 'handler-abandoned', ids, running })
  }

  state(state: ConsumerState, was: ConsumerState, error: FairleadError | undefined): void {
    if (this.heard)
      this.#events.emit({
        ...this.#facts,
        type: 'consumer-state',
        state,
        was,
        ...(error === undefined ? {} : { error }),
      })
  }

  throttled(step: Exclude<ThrottleStep, 'due'>, waitMs: number): void {
    if (this.heard)
      this.#events.emit({ ...this.#facts, type: 'consumer-throttled', step, ...(waitMs > 0 ? { waitMs } : {}) })
  }

  restarted(tries: number, elapsedMs: number): void {
    if (this.heard) this.#events.emit({ ...this.#facts, type: 'consumer-restarted', tries, elapsedMs })
  }

  #of({ id, delivery }: Held): MessageFacts {
    const { key, attributes } = delivery.envelope
    const messageType = attributes['type']
    return {
      ...this.#facts,
      id,
      ...(key === undefined ? {} : { key }),
      ...(messageType === undefined ? {} : { messageType }),
    }
  }
}
