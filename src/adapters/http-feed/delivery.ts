// An event that was handed out, and the right to settle it: for as long as its member reads for the group.
import { LONGEST_TIMER_MS } from '../../core/clock.ts'
import type { Delivery, SettleOptions, SettleVerdict } from '../../core/contracts/transport.ts'
import type { Envelope } from '../../core/message.ts'
import { invalidOption } from '../../core/options.ts'
import { createError } from '../../errors/classes.ts'
import { classify } from '../../errors/classify.ts'
import { Listeners } from './listeners.ts'
import type { Slot } from './window.ts'
import type { FeedEntry } from './wire.ts'

/** Takes a message that is given up: after it has resolved, the message is settled. */
export type DeadPlace = (envelope: Envelope, reason: string) => Promise<void>

/** Whoever handed it out. */
export interface DeliveryOwner {
  readonly name: string
  readonly topic: string
  readonly dead: DeadPlace | undefined
  /** It is settled for good; resolves once that is saved. */
  settled(delivery: FeedDelivery): Promise<void>
  /** It comes again. */
  returned(delivery: FeedDelivery, delayMs: number): Promise<void>
  /** The saving failed: it is tried again. */
  save(): Promise<void>
}

/** One delivery. */
export class FeedDelivery implements Delivery {
  readonly envelope: Envelope
  readonly lane: string
  readonly position: string
  readonly redeliveries: number
  readonly slot: Slot
  private readonly owner: DeliveryOwner
  private readonly listeners = new Listeners<undefined>()
  private state: 'held' | 'settling' | 'settled' | 'lost' = 'held'
  private outcome: Promise<void> | undefined

  constructor(slot: Slot, entry: FeedEntry, owner: DeliveryOwner) {
    this.envelope = entry.envelope
    this.lane = owner.topic
    this.position = entry.position
    this.redeliveries = slot.handed - 1
    this.slot = slot
    this.owner = owner
  }

  onLost(listener: () => void): () => void {
    if (this.state === 'lost') listener()
    return this.listeners.add(listener)
  }

  settle(verdict: SettleVerdict, options?: SettleOptions | undefined): Promise<void> {
    if (this.outcome !== undefined) return this.outcome
    if (this.state === 'lost') return Promise.reject(this.lostError())
    const problem = this.wrong(verdict, options)
    if (problem !== undefined) return Promise.reject(problem)
    const outcome = this.settleOnce(verdict, options)
    this.outcome = outcome
    outcome.catch(() => {
      // What could not be told may be told again; the first verdict stands all the same.
      this.outcome = undefined
    })
    return outcome
  }

  /** Takes the right away; answers whether there was one. Listeners are told by `tellLost`, once all that went with it are back at their places. */
  lose(): boolean {
    if (this.state !== 'held' && this.state !== 'settling') return false
    this.state = 'lost'
    return true
  }

  tellLost(): void {
    this.listeners.tell(undefined)
  }

  private async settleOnce(verdict: SettleVerdict, options: SettleOptions | undefined): Promise<void> {
    if (this.state === 'settled') return this.owner.save()
    if (verdict === 'retry') {
      this.state = 'settled'
      return this.owner.returned(this, options?.delayMs ?? 0)
    }
    if (verdict === 'dead') await this.bury(options?.reason ?? 'given up')
    this.state = 'settled'
    return this.owner.settled(this)
  }

  private async bury(reason: string): Promise<void> {
    const { dead, name, topic } = this.owner
    this.state = 'settling'
    try {
      await dead?.(this.envelope, reason)
    } catch (error) {
      if (this.state === 'settling') this.state = 'held'
      throw classify(error, { transport: name, channel: topic })
    }
    if (this.state !== 'settling') throw this.lostError()
  }

  private wrong(verdict: SettleVerdict, options: SettleOptions | undefined): Error | undefined {
    if (verdict === 'ack') return undefined
    if (verdict === 'dead') return this.owner.dead === undefined ? this.noPlace() : undefined
    if (verdict !== 'retry') return invalidOption('verdict', verdict, "give 'ack', 'retry' or 'dead'")
    const delayMs = options?.delayMs
    if (delayMs === undefined || (delayMs >= 0 && delayMs <= LONGEST_TIMER_MS)) return undefined
    return invalidOption('delayMs', delayMs, `give milliseconds from 0 to ${LONGEST_TIMER_MS}`)
  }

  private noPlace(): Error {
    return createError({
      code: 'CAPABILITY_MISSING',
      message:
        'a feed has no place for messages that are given up: give the transport `dead`, or the consumer a deadLetter place',
      transport: this.owner.name,
      channel: this.owner.topic,
      details: { id: this.envelope.id },
    })
  }

  private lostError(): Error {
    return createError({
      code: 'LEASE_LOST',
      transport: this.owner.name,
      channel: this.owner.topic,
      details: { id: this.envelope.id },
    })
  }
}
