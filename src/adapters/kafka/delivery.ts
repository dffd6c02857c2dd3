// A record that was handed out, and the right to settle it: as long as its partition is ours.
import type { Delivery, SettleOptions, SettleVerdict } from '../../core/contracts/transport.ts'
import type { Envelope } from '../../core/message.ts'
import { addListener, refusedVerdict, tellEach } from '../../core/settle.ts'
import { createError, type FairleadError } from '../../errors/index.ts'
import type { Entry } from './lanes/partition.ts'

/** Whoever handed it out. */
export interface DeliveryOwner {
  readonly name: string
  readonly channel: string
  readonly leaseMs: number | undefined
  readonly maxDelayMs: number
  /** Resolves once the verdict is kept. */
  settled(delivery: KafkaDelivery, verdict: SettleVerdict, options: SettleOptions | undefined): Promise<void>
}

/** One delivery. */
export class KafkaDelivery implements Delivery {
  readonly envelope: Envelope
  readonly redeliveries: number
  readonly entry: Entry
  /** Instant of our clock. */
  readonly handedAt: number
  state: 'held' | 'settling' | 'settled' | 'lost' = 'held'
  readonly owner: DeliveryOwner
  private settling: Promise<void> | undefined
  // Of a transaction: whether it was committed.
  private committing: Promise<boolean> | undefined
  private listeners: Set<() => void> | undefined
  private revoking: Set<() => void> | undefined

  constructor(owner: DeliveryOwner, entry: Entry, handedAt: number) {
    this.owner = owner
    this.entry = entry
    this.envelope = entry.envelope
    this.redeliveries = entry.attempts - 1
    this.handedAt = handedAt
  }

  get lane(): string {
    return this.entry.lane.name
  }

  get position(): string {
    return String(this.entry.offset)
  }

  get leaseMs(): number | undefined {
    return this.owner.leaseMs
  }

  onLost(listener: () => void): () => void {
    if (this.state === 'lost') listener()
    if (this.state !== 'held' && this.state !== 'settling') return nothing
    this.listeners ??= new Set()
    return addListener(this.listeners, listener)
  }

  onRevoking(listener: () => void): () => void {
    if (this.state !== 'held') return nothing
    this.revoking ??= new Set()
    return addListener(this.revoking, listener)
  }

  settle(verdict: SettleVerdict, options?: SettleOptions | undefined): Promise<void> {
    if (this.settling !== undefined) return this.settling
    if (this.committing !== undefined) {
      // Whatever is said of it meanwhile: what is committed is done.
      this.settling = this.committing.then((done) => (done ? undefined : this.settled(verdict, options)))
      return this.settling
    }
    return this.settled(verdict, options)
  }

  /** A transaction that it is part of is under way. */
  get inTransaction(): boolean {
    return this.committing !== undefined
  }

  /** It is part of a transaction that ends so. Where that is not committed it stays held, unless its partition was lost. */
  endsWith(committed: Promise<boolean>): void {
    this.committing = committed.then((done) => {
      if (!done) this.committing = undefined
      return done
    })
  }

  private settled(verdict: SettleVerdict, options: SettleOptions | undefined): Promise<void> {
    if (this.state === 'lost') return Promise.reject(this.lostError())
    if (verdict !== 'ack') {
      const { maxDelayMs, name, channel } = this.owner
      const problem = refusedVerdict(verdict, options, maxDelayMs, { transport: name, channel })
      if (problem !== undefined) return Promise.reject(problem)
    }
    this.state = 'settling'
    this.settling = this.owner.settled(this, verdict, options)
    return this.settling
  }

  /** The verdict is kept. */
  done(): void {
    if (this.state !== 'lost') this.state = 'settled'
    this.listeners = undefined
    this.revoking = undefined
  }

  tellRevoking(): void {
    const { revoking } = this
    this.revoking = undefined
    if (revoking !== undefined) tellEach(revoking)
  }

  /** The right is gone: its holder is told, once. */
  lose(): void {
    if (this.state === 'settled' || this.state === 'lost') return
    const held = this.state === 'held'
    this.state = 'lost'
    const { listeners } = this
    this.listeners = undefined
    // Of a verdict under way its holder hears by the answer.
    if (held && listeners !== undefined) tellEach(listeners)
  }

  lostError(): FairleadError {
    const { name, channel } = this.owner
    return createError({ code: 'LEASE_LOST', transport: name, channel, details: { id: this.envelope.id } })
  }
}

function nothing(): void {}
