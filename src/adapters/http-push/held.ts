// One message at a receiver: waiting for credit, handed out, settled, or lost.
import type { ChannelPlace, Delivery, SettleOptions, SettleVerdict } from '../../core/contracts/transport.ts'
import type { Envelope } from '../../core/message.ts'
import { tellEach } from '../../core/settle.ts'
import { createError } from '../../errors/classes.ts'
import type { Gathering } from './request.ts'

/** Where a message waits, or waited. */
export interface HeldPlace {
  readonly place: ChannelPlace
  arrive(held: Held): void
  freed(held: Held): void
}

/** Who holds it. */
export interface Holder {
  freed(held: Held): void
}

const DONE: Promise<void> = Promise.resolve()

/** A delivery whose sender waits for the answer. */
export class Held implements Delivery {
  readonly envelope: Envelope
  readonly redeliveries: number
  readonly leaseMs: number
  readonly place: HeldPlace
  receiver: Holder | undefined
  readonly #gathering: Gathering
  #state: 'waiting' | 'handed' | 'settled' | 'lost' = 'waiting'
  #settling: Promise<void> = DONE
  #why = ''
  readonly #listeners = new Set<() => void>()

  constructor(envelope: Envelope, redeliveries: number, place: HeldPlace, gathering: Gathering) {
    this.envelope = envelope
    this.redeliveries = redeliveries
    this.place = place
    this.leaseMs = gathering.leaseMs
    this.#gathering = gathering
    gathering.add(this)
  }

  handedTo(receiver: Holder): void {
    this.#state = 'handed'
    this.receiver = receiver
  }

  settle(verdict: SettleVerdict, options: SettleOptions = {}): Promise<void> {
    if (this.#state === 'lost') return Promise.reject(this.#lost(this.#why))
    if (this.#state === 'settled') return this.#settling
    this.#state = 'settled'
    this.#listeners.clear()
    if (verdict === 'ack') this.#gathering.acked(this)
    else if (verdict === 'dead') this.#gathering.dead(this, options.reason ?? 'the receiver gave the message up')
    else
      this.#gathering.retry(this, {
        delayMs: options.delayMs ?? 0,
        reason: options.reason ?? 'the receiver gave the message back',
        handedOut: true,
        asked: true,
      })
    // With others in the same request, the answer waits for them.
    this.#settling = this.#gathering.complete ? this.#told() : DONE
    this.place.freed(this)
    return this.#settling
  }

  onLost(listener: () => void): () => void {
    if (this.#state === 'lost') {
      listener()
      return () => {}
    }
    if (this.#state !== 'settled') this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** The right to settle is gone. `retryMs`: when it may come again. */
  lose(reason: string, retryMs: number = 0): void {
    if (this.#state === 'settled' || this.#state === 'lost') return
    const handedOut = this.#state === 'handed'
    this.#state = 'lost'
    this.#why = reason
    this.#gathering.retry(this, { delayMs: retryMs, reason, handedOut, asked: false })
    this.place.freed(this)
    const listeners = [...this.#listeners]
    this.#listeners.clear()
    tellEach(listeners)
  }

  async #told(): Promise<void> {
    if (!(await this.#gathering.told)) throw this.#lost('the sender was gone before it had the answer')
  }

  #lost(why: string): Error {
    return createError({
      code: 'LEASE_LOST',
      message: `message ${this.envelope.id}: ${why}`,
      channel: this.place.place.name,
      stack: false,
    })
  }
}
