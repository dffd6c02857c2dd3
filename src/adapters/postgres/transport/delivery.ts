// A message that was handed out, and the right to settle it: a lease by the database's clock, watched on ours.
import { LONGEST_TIMER_MS } from '../../../core/clock.ts'
import type { Delivery, SettleOptions, SettleVerdict } from '../../../core/contracts/transport.ts'
import type { Envelope } from '../../../core/message.ts'
import { invalidOption } from '../../../core/options.ts'
import { addListener, tellEach, wrongVerdict } from '../../../core/settle.ts'
import { createError } from '../../../errors/classes.ts'

/** Whoever handed it out. */
export interface DeliveryOwner {
  readonly name: string
  readonly channel: string
  readonly leaseMs: number
  /** Of a topic: its one lane. */
  readonly lane: string | undefined
  /** Tells the database. Resolves once it knows. */
  settled(delivery: PgDelivery, verdict: SettleVerdict, options: SettleOptions | undefined): Promise<void>
  extended(delivery: PgDelivery, ms: number): Promise<void>
}

/** One delivery. */
export class PgDelivery implements Delivery {
  readonly envelope: Envelope
  readonly redeliveries: number
  readonly seq: string
  readonly attempts: number
  /** Instant of our clock at which the right ends: never after the database thinks so. */
  until: number
  state: 'held' | 'settling' | 'settled' | 'lost' = 'held'
  private settling: Promise<void> | undefined
  private readonly owner: DeliveryOwner
  private listeners: Set<() => void> | undefined

  constructor(owner: DeliveryOwner, envelope: Envelope, seq: string, attempts: number, until: number) {
    this.owner = owner
    this.envelope = envelope
    this.seq = seq
    this.attempts = attempts
    this.redeliveries = attempts - 1
    this.until = until
  }

  get leaseMs(): number {
    return this.owner.leaseMs
  }

  get lane(): string | undefined {
    return this.owner.lane
  }

  get position(): string | undefined {
    return this.owner.lane === undefined ? undefined : this.seq
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
    if (verdict !== 'ack') {
      const problem = wrongVerdict(verdict, options)
      if (problem !== undefined) return Promise.reject(problem)
    }
    this.state = 'settling'
    this.settling = this.owner.settled(this, verdict, options)
    return this.settling
  }

  extend(ms: number): Promise<void> {
    if (this.state === 'lost') return Promise.reject(this.lostError())
    if (this.state !== 'held') return Promise.resolve()
    if (!(ms > 0 && ms <= LONGEST_TIMER_MS))
      return Promise.reject(invalidOption('ms', ms, `give milliseconds above 0 to ${LONGEST_TIMER_MS}`))
    return this.owner.extended(this, ms)
  }

  /** The database knows the verdict. */
  done(): void {
    this.state = 'settled'
    this.listeners = undefined
  }

  /** Takes the right away. Whoever listens is told by `tellLost`. */
  lose(): void {
    this.state = 'lost'
  }

  tellLost(): void {
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
