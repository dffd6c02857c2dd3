// What a receiver holds, and one timer for all of it: a lease that runs out is noticed here, before the database gives the message to somebody else.
import { detached } from '../../../core/async-context.ts'
import type { Clock, Timer } from '../../../core/clock.ts'
import type { PgDelivery } from './delivery.ts'

/** Deliveries by their place in the order. */
export class Leases {
  private readonly held = new Map<string, PgDelivery>()
  // What the sink was given and the database may still have in our name, held or not: given back, it counts as handed out.
  private readonly handed = new Set<string>()
  private readonly clock: Clock
  private readonly onLost: () => void
  private timer: Timer | undefined
  private timerAt = Infinity

  /** @param onLost is called after some were lost */
  constructor(clock: Clock, onLost: () => void) {
    this.clock = clock
    this.onLost = onLost
  }

  seqs(): string[] {
    return [...this.held.keys()]
  }

  add(delivery: PgDelivery): void {
    this.held.set(delivery.seq, delivery)
    this.arm(delivery.until)
  }

  extend(delivery: PgDelivery, until: number): void {
    delivery.until = until
    this.arm(until)
  }

  /** The sink gets it. Answers how many were handed out that are held no more: who has them by now is known once they are given back. */
  hand(delivery: PgDelivery): number {
    this.handed.add(delivery.seq)
    return this.handed.size - this.held.size
  }

  handedOut(): string[] {
    return [...this.handed]
  }

  /** They came again, and the sink does not get them. */
  unhanded(messages: readonly { readonly seq: string }[]): void {
    for (const { seq } of messages) this.handed.delete(seq)
  }

  /** The database has nothing in our name any more but `kept`. */
  released(kept: readonly string[]): void {
    const still = new Set(kept)
    for (const seq of this.handed) if (!still.has(seq)) this.handed.delete(seq)
  }

  /** The database has a verdict on it, or gave it to somebody else. */
  settled(delivery: PgDelivery): void {
    this.remove(delivery)
    if (!this.held.has(delivery.seq)) this.handed.delete(delivery.seq)
  }

  /** It is ours no more. The same message may be held again by now. */
  remove(delivery: PgDelivery): void {
    if (this.held.get(delivery.seq) === delivery) this.held.delete(delivery.seq)
  }

  /** Takes the right to those away, and then tells their holders. */
  lose(which: (delivery: PgDelivery) => boolean): number {
    const lost: PgDelivery[] = []
    // The database has the last word on one whose verdict is on its way.
    for (const delivery of this.held.values()) if (delivery.state === 'held' && which(delivery)) lost.push(delivery)
    for (const delivery of lost) {
      this.held.delete(delivery.seq)
      delivery.lose()
    }
    for (const delivery of lost) delivery.tellLost()
    return lost.length
  }

  close(): void {
    if (this.timer !== undefined) this.clock.clearTimer(this.timer)
    this.timerAt = -Infinity
  }

  // A timer that stands is left alone when its delivery is settled: it rings in vain once a lease at most.
  private arm(at: number): void {
    if (at >= this.timerAt) return
    const { clock } = this
    if (this.timer !== undefined) clock.clearTimer(this.timer)
    this.timerAt = at
    this.timer = clock.setTimer((each: Leases) => detached(() => each.ring()), Math.max(at - clock.now(), 0), this)
    clock.unref(this.timer)
  }

  private ring(): void {
    this.timer = undefined
    this.timerAt = Infinity
    const now = this.clock.now()
    const lost = this.lose(({ until }) => until <= now)
    let next = Infinity
    for (const { state, until } of this.held.values()) if (state === 'held') next = Math.min(next, until)
    if (next < Infinity) this.arm(next)
    if (lost > 0) this.onLost()
  }
}
