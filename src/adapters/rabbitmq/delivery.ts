// A message that was handed out, and the right to settle it: it lasts as long as the channel it came on, at most as long as the broker's own timeout.
import type { Delivery, SettleOptions, SettleVerdict } from '../../core/contracts/transport.ts'
import type { Envelope } from '../../core/message.ts'
import { addListener, tellEach } from '../../core/settle.ts'
import { createError } from '../../errors/classes.ts'

/** Whoever handed it out. */
export interface DeliveryOwner {
  readonly name: string
  readonly channel: string
  /** What keeps a verdict from being told; undefined: nothing. */
  wrong(delivery: RabbitDelivery, verdict: SettleVerdict, options: SettleOptions | undefined): Error | undefined
  /** Tells the broker. Resolves once it knows. Before it rejects it says so to `untold`. */
  settled(delivery: RabbitDelivery, verdict: SettleVerdict, options: SettleOptions | undefined): Promise<void>
}

/** One delivery; `Held` is what its receiver keeps of it. */
export class RabbitDelivery implements Delivery {
  readonly envelope: Envelope
  readonly redeliveries: number
  readonly leaseMs: number
  /** What its owner knows of it. */
  readonly kept: unknown
  state: 'held' | 'settling' | 'settled' | 'lost' = 'held'
  private settling: Promise<void> | undefined
  private readonly owner: DeliveryOwner
  private listeners: Set<() => void> | undefined

  constructor(owner: DeliveryOwner, envelope: Envelope, redeliveries: number, leaseMs: number, kept: unknown) {
    this.owner = owner
    this.envelope = envelope
    this.redeliveries = redeliveries
    this.leaseMs = leaseMs
    this.kept = kept
  }

  onLost(listener: () => void): () => void {
    if (this.state === 'lost') listener()
    if (this.state !== 'held' && this.state !== 'settling') return nothing
    this.listeners ??= new Set()
    return addListener(this.listeners, listener)
  }

  settle(verdict: SettleVerdict, options?: SettleOptions | undefined): Promise<void> {
    if (this.settling !== undefined) return this.settling
    if (this.state === 'lost') return Promise.reject(this.lostError())
    const problem = this.owner.wrong(this, verdict, options)
    if (problem !== undefined) return Promise.reject(problem)
    this.state = 'settling'
    this.settling = this.owner.settled(this, verdict, options)
    return this.settling
  }

  /** The verdict could not be told: it may be told again, as long as the right lasts. */
  untold(): void {
    // Whoever does not look must not lose the process over it.
    this.settling?.catch(nothing)
    this.settling = undefined
    if (this.state === 'settling') this.state = 'held'
  }

  /** The broker knows the verdict. */
  done(): void {
    this.state = 'settled'
    this.listeners = undefined
  }

  /** Takes the right away, and tells whoever listens. */
  lose(): void {
    if (this.state === 'lost' || this.state === 'settled') return
    this.state = 'lost'
    const { listeners } = this
    this.listeners = undefined
    if (listeners !== undefined) tellEach(listeners)
  }

  lostError(): Error {
    const { name, channel } = this.owner
    return createError({ code: 'LEASE_LOST', transport: name, channel, details: { id: this.envelope.id } })
  }
}

function nothing(): void {}
