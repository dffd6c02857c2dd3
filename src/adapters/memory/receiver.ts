// One subscription: credit, what is held, and one timer for all its leases.
import { detached } from '../../core/async-context.ts'
import type { Clock, Timer } from '../../core/clock.ts'
import type { Delivery, Receiver, SettleOptions, SettleVerdict } from '../../core/contracts/transport.ts'
import type { ChannelAddress } from '../../core/message.ts'
import { classify } from '../../errors/classify.ts'
import { type DeliveryOwner, MemoryDelivery } from './delivery.ts'
import { comesBefore, type Entry } from './entry.ts'
import { Heap } from './heap.ts'
import type { Place, Taker } from './place.ts'

/** What a receiver is made of. */
export interface ReceiverParts {
  readonly name: string
  readonly clock: Clock
  readonly address: ChannelAddress
  readonly place: Place
  readonly leaseMs: number
  readonly sink: (delivery: Delivery) => void
  /** Called once when it is over, however it came about. */
  readonly onClosed: (receiver: MemoryReceiver) => void
}

const DONE: Promise<void> = Promise.resolve()

/** Takes messages from a place, and keeps the right to settle them. */
export class MemoryReceiver implements Receiver, Taker, DeliveryOwner {
  readonly name: string
  readonly channel: string
  readonly address: ChannelAddress
  readonly leaseMs: number
  readonly lane: string | undefined
  readonly offers: Heap<Entry> = new Heap(comesBefore)
  readonly ended: Promise<void>
  keysHeld = 0
  credit = 0
  private state: 'open' | 'stopped' | 'closed' = 'open'
  private readonly parts: ReceiverParts
  // Those that are held, by the end of their leases.
  private first: MemoryDelivery | undefined
  private last: MemoryDelivery | undefined
  private timer: Timer
  private timed = false
  private end!: { readonly resolve: () => void; readonly reject: (error: unknown) => void }

  constructor(parts: ReceiverParts) {
    this.parts = parts
    this.name = parts.name
    this.channel = parts.address.name
    this.address = parts.address
    this.leaseMs = parts.leaseMs
    this.lane = parts.address.kind === 'topic' ? LANE : undefined
    this.ended = new Promise((resolve, reject) => {
      this.end = { resolve, reject }
    })
    // Whoever does not look must not lose the process over it.
    this.ended.catch(nothing)
    parts.place.join(this)
  }

  request(count: number): void {
    if (this.state !== 'open' || !(count > 0)) return
    this.credit += Math.floor(count)
    this.parts.place.ask()
  }

  stop(): Promise<void> {
    if (this.state === 'open') {
      this.state = 'stopped'
      this.credit = 0
      this.parts.place.leave(this)
    }
    return DONE
  }

  close(): Promise<void> {
    if (this.finish()) this.end.resolve()
    return DONE
  }

  /** It ends on its own. */
  fail(error: unknown): void {
    if (this.finish()) this.end.reject(error)
  }

  /** A message from the place. */
  hand(entry: Entry): void {
    this.credit--
    const delivery = new MemoryDelivery(entry, this, this.parts.clock.now() + this.leaseMs)
    this.link(delivery)
    try {
      this.parts.sink(delivery)
    } catch (error) {
      // A sink is a consumer's, and must not throw. Handing it more would only repeat that.
      this.fail(classify(error, { transport: this.name, channel: this.channel }))
    }
  }

  settled(delivery: MemoryDelivery, verdict: SettleVerdict, options: SettleOptions | undefined): void {
    this.unlink(delivery)
    const { place } = this.parts
    if (verdict === 'ack') place.done(delivery.entry)
    else if (verdict === 'retry') place.back(delivery.entry, options?.delayMs ?? 0, options?.overtake === true)
    else place.bury(delivery.entry, options?.reason ?? 'given up')
  }

  extended(delivery: MemoryDelivery, ms: number): void {
    this.unlink(delivery)
    delivery.until = this.parts.clock.now() + ms
    this.link(delivery)
  }

  /** The timer's: what was not settled in time goes to somebody else. */
  expire(): void {
    this.timed = false
    const now = this.parts.clock.now()
    const lost: MemoryDelivery[] = []
    for (let each = this.first; each !== undefined && each.until <= now; each = this.first) {
      this.unlink(each)
      lost.push(each)
    }
    this.lose(lost)
    this.arm()
  }

  private finish(): boolean {
    if (this.state === 'closed') return false
    void this.stop()
    this.state = 'closed'
    if (this.timed) this.parts.clock.clearTimer(this.timer)
    this.timed = false
    const lost: MemoryDelivery[] = []
    for (let each = this.first; each !== undefined; each = each.next) lost.push(each)
    this.first = undefined
    this.last = undefined
    this.lose(lost)
    this.parts.onClosed(this)
    return true
  }

  private lose(lost: MemoryDelivery[]): void {
    for (const each of lost) each.lose()
    // The last one first: each then goes before all others of its key, which costs no search.
    for (const each of lost.toSorted((a, b) => b.entry.seq - a.entry.seq)) this.parts.place.back(each.entry, 0, false)
    for (const each of lost) each.tellLost()
  }

  // Nearly always at the end: all leases are of one length.
  private link(delivery: MemoryDelivery): void {
    let before = this.last
    while (before !== undefined && before.until > delivery.until) before = before.previous
    const after = before === undefined ? this.first : before.next
    delivery.previous = before
    delivery.next = after
    if (before === undefined) this.first = delivery
    else before.next = delivery
    if (after === undefined) this.last = delivery
    else after.previous = delivery
    if (this.first !== delivery) return
    if (this.timed && after !== undefined) {
      this.parts.clock.clearTimer(this.timer)
      this.timed = false
    }
    this.arm()
  }

  private unlink(delivery: MemoryDelivery): void {
    const { previous, next } = delivery
    if (previous === undefined) this.first = next
    else previous.next = next
    if (next === undefined) this.last = previous
    else next.previous = previous
    delivery.previous = undefined
    delivery.next = undefined
  }

  // A timer that stands is left alone when its delivery is settled: it rings in vain once a lease at most.
  private arm(): void {
    if (this.timed || this.first === undefined) return
    this.timed = true
    this.timer = this.parts.clock.setTimer(ring, Math.max(this.first.until - this.parts.clock.now(), 0), this)
    this.parts.clock.unref(this.timer)
  }
}

/** The one lane of a topic: all its messages have one order, by which positions are counted. */
export const LANE = '0'

function ring(receiver: MemoryReceiver): void {
  detached(() => receiver.expire())
}

function nothing(): void {}
