// Tells what a relay does. Where nobody listens it costs one check.
import type { PendingRow } from '../../core/contracts/store.ts'
import type { Events } from '../../core/events.ts'
import type { ChannelAddress } from '../../core/message.ts'
import type { RelayEvent, RelayFacts, RelayState, RowFacts } from '../../core/message-events.ts'
import type { FairleadError } from '../../errors/base.ts'

type StoreWork = Extract<RelayEvent, { readonly type: 'relay-store-failed' }>['during']

/** The events of one relay. */
export class RelayTeller {
  readonly #events: Events
  readonly #facts: RelayFacts

  constructor(events: Events, outbox: string, relay: string) {
    this.#events = events
    this.#facts = { outbox, relay }
  }

  get heard(): boolean {
    return this.#events.heard
  }

  state(state: RelayState, was: RelayState, error: FairleadError | undefined): void {
    if (this.heard)
      this.#events.emit({ ...this.#facts, type: 'relay-state', state, was, ...(error === undefined ? {} : { error }) })
  }

  published(channel: ChannelAddress, count: number, elapsedMs: number): void {
    if (this.heard) this.#events.emit({ ...this.#facts, type: 'relay-published', channel, count, elapsedMs })
  }

  retried(row: PendingRow, delayMs: number, counts: boolean, error: FairleadError): void {
    const attempts = row.attempts + (counts ? 1 : 0)
    if (this.heard) this.#events.emit({ ...this.#of(row), type: 'relay-retried', attempts, delayMs, error })
  }

  dead(row: PendingRow, reason: string, blocksKey: boolean, error: FairleadError | undefined): void {
    if (!this.heard) return
    const attempts = row.attempts + (error === undefined ? 0 : 1)
    this.#events.emit({
      ...this.#of(row),
      type: 'relay-dead',
      attempts,
      reason,
      blocksKey,
      ...(error === undefined ? {} : { error }),
    })
  }

  backingOff(waitMs: number, error: FairleadError, channel?: ChannelAddress): void {
    if (this.heard)
      this.#events.emit({
        ...this.#facts,
        type: 'relay-backing-off',
        waitMs,
        error,
        ...(channel === undefined ? {} : { channel }),
      })
  }

  resumed(afterMs: number, channel?: ChannelAddress): void {
    if (this.heard)
      this.#events.emit({
        ...this.#facts,
        type: 'relay-resumed',
        afterMs,
        ...(channel === undefined ? {} : { channel }),
      })
  }

  leases(partitions: number, gained: number, lost: number): void {
    if (this.heard) this.#events.emit({ ...this.#facts, type: 'relay-leases', partitions, gained, lost })
  }

  leaseLost(partitions: readonly number[], messages: number): void {
    if (this.heard) this.#events.emit({ ...this.#facts, type: 'relay-lease-lost', partitions, messages })
  }

  storeFailed(during: StoreWork, error: FairleadError, waitMs?: number): void {
    if (this.heard)
      this.#events.emit({
        ...this.#facts,
        type: 'relay-store-failed',
        during,
        error,
        ...(waitMs === undefined ? {} : { waitMs }),
      })
  }

  abandoned(channel: ChannelAddress, count: number): void {
    if (this.heard) this.#events.emit({ ...this.#facts, type: 'relay-send-abandoned', channel, count })
  }

  purged(count: number): void {
    if (this.heard) this.#events.emit({ ...this.#facts, type: 'relay-purged', count })
  }

  #of({ channel, envelope }: PendingRow): RowFacts {
    const { id, key, attributes } = envelope
    const messageType = attributes['type']
    return {
      ...this.#facts,
      channel: channel.name,
      id,
      ...(key === undefined ? {} : { key }),
      ...(messageType === undefined ? {} : { messageType }),
    }
  }
}
