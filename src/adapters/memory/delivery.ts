// A message that was handed out, and the right to settle it.
import { LONGEST_TIMER_MS } from '../../core/clock.ts'
import type { Delivery, SettleOptions, SettleVerdict } from '../../core/contracts/transport.ts'
import type { Envelope } from '../../core/message.ts'
import { invalidOption } from '../../core/options.ts'
import { addListener, tellEach, wrongVerdict } from '../../core/settle.ts'
import { createError } from '../../errors/classes.ts'
import type { Entry } from './entry.ts'

/** Whoever handed it out. */
export interface DeliveryOwner {
  readonly name: string
  readonly channel: string
  readonly leaseMs: number
  /** Of a topic: its one lane. */
  readonly lane: string | undefined
  settled(delivery: MemoryDelivery, verdict: SettleVerdict, options: SettleOptions | undefined): void
  extended(delivery: MemoryDelivery, ms: number): void
}

// One promise for all: settling is over at once, and a message is too small a thing for a promise of its own.
const DONE: Promise<void> = Promise.resolve()

/** One delivery. It is a link of its receiver's list, in the order in which leases end. */
export class MemoryDelivery implements Delivery {
  readonly envelope: Envelope
  readonly redeliveries: number
  readonly leaseMs: number
  readonly entry: Entry
  /** Instant of the clock at which the right ends. */
  until: number
  previous: MemoryDelivery | undefined
  next: MemoryDelivery | undefined
  state: 'held' | 'settled' | 'lost'
  private readonly owner: DeliveryOwner
  private listeners: Set<() => void> | undefined

  constructor(entry: Entry, owner: DeliveryOwner, until: number) {
    this.envelope = entry.envelope
    this.redeliveries = entry.handedOut - 1
    this.leaseMs = owner.leaseMs
    this.entry = entry
    this.until = until
    this.previous = undefined
    this.next = undefined
    this.state = 'held'
    this.owner = owner
    this.listeners = undefined
  }

  get lane(): string | undefined {
    return this.owner.lane
  }

  get position(): string | undefined {
    return this.owner.lane === undefined ? undefined : String(this.entry.seq)
  }

  onLost(listener: () => void): () => void {
    if (this.state === 'lost') listener()
    if (this.state !== 'held') return nothing
    this.listeners ??= new Set()
    return addListener(this.listeners, listener)
  }

  settle(verdict: SettleVerdict, options?: SettleOptions | undefined): Promise<void> {
    if (this.state === 'settled') return DONE
    if (this.state === 'lost') return Promise.reject(this.lostError())
    if (verdict !== 'ack') {
      const problem = wrongVerdict(verdict, options)
      if (problem !== undefined) return Promise.reject(problem)
    }
    this.state = 'settled'
    this.listeners = undefined
    this.owner.settled(this, verdict, options)
    return DONE
  }

  extend(ms: number): Promise<void> {
    if (this.state === 'settled') return DONE
    if (this.state === 'lost') return Promise.reject(this.lostError())
    if (!(ms > 0 && ms <= LONGEST_TIMER_MS))
      return Promise.reject(invalidOption('ms', ms, `give milliseconds above 0 to ${LONGEST_TIMER_MS}`))
    this.owner.extended(this, ms)
    return DONE
  }

  /** Takes the right away. Whoever listens is told by `tellLost`, once all that was lost together is back at its place. */
  lose(): void {
    this.state = 'lost'
  }

  tellLost(): void {
    const { listeners } = this
    this.listeners = undefined
    if (listeners !== undefined) tellEach(listeners)
  }

  private lostError(): Error {
    const { name, channel } = this.owner
    return createError({ code: 'LEASE_LOST', transport: name, channel, details: { id: this.envelope.id } })
  }
}

function nothing(): void {}
