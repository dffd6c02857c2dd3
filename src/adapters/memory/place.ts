// A place where messages wait for receivers: a queue, a group of a topic, or one live subscription.
import type { Clock, Timer } from '../../core/clock.ts'
import type { Backlog, DeadLetter } from '../../core/contracts/transport.ts'
import type { Envelope } from '../../core/message.ts'
import { Entry, type Holder } from './entry.ts'
import { Heap } from './heap.ts'
import type { Turns, Work } from './turns.ts'
import { Waiting } from './waiting.ts'

/** A receiver, as its place sees it. */
export interface Taker extends Holder {
  /** How many it may still be given. */
  readonly credit: number
  hand(entry: Entry): void
}

interface Grave extends DeadLetter {
  readonly entry: Entry
}

const sooner = (a: Entry, b: Entry): boolean => a.readyAt < b.readyAt || (a.readyAt === b.readyAt && a.seq < b.seq)
// Delayed messages that are put in order before the event loop has a turn.
const MOST_AT_ONCE = 10_000

/** Messages, who takes them, and what was given up. */
export class Place implements Work {
  asked = false
  /** Messages that it answers for: waiting, delayed, held, dead. */
  size = 0
  private readonly clock: Clock
  private readonly turns: Turns
  private readonly waiting = new Waiting()
  private readonly delayed = new Heap<Entry>(sooner)
  private readonly graves = new Set<Grave>()
  private readonly takers: Taker[] = []
  private turn = 0
  private timer: Timer
  private timerAt = Infinity

  constructor(clock: Clock, turns: Turns) {
    this.clock = clock
    this.turns = turns
  }

  /** How many could be handed out now. */
  get ready(): number {
    return this.waiting.ready
  }

  /** Whether somebody receives from it. */
  get taken(): boolean {
    return this.takers.length > 0
  }

  /** All but dead ones. */
  get unsettled(): number {
    return this.size - this.graves.size
  }

  /** A new message. `now` is of the clock, `delayMs` counted from it. */
  accept(envelope: Envelope, seq: number, now: number, delayMs: number): void {
    const entry = new Entry(envelope, seq, Math.floor(now))
    this.size++
    if (delayMs > 0) this.delay(entry, now + delayMs)
    else {
      this.waiting.add(entry)
      this.ask()
    }
  }

  /** Somebody takes part. */
  join(taker: Taker): void {
    this.takers.push(taker)
    if (this.takers.length > 1 || this.timerAt === Infinity) return
    // From now on it is worth staying up for.
    this.clock.clearTimer(this.timer)
    this.timerAt = Infinity
    this.arm()
  }

  /** And does so no more. What it holds it may still settle. */
  leave(taker: Taker): void {
    const at = this.takers.indexOf(taker)
    if (at >= 0) this.takers.splice(at, 1)
    if (this.takers.length === 0 && this.timerAt !== Infinity) this.clock.unref(this.timer)
  }

  /** Something may be handed out: soon. */
  ask(): void {
    if (!this.asked && this.waiting.ready > 0 && this.takers.length > 0) this.turns.ask(this)
  }

  drain(most: number): number {
    let handed = 0
    // In turn, so that none of them starves; until all were asked in vain.
    for (let vain = 0; vain < this.takers.length && this.waiting.ready > 0; ) {
      if (this.turn >= this.takers.length) this.turn = 0
      const taker = this.takers[this.turn++] as Taker
      const entry = taker.credit > 0 ? this.waiting.take(taker) : undefined
      if (entry === undefined) {
        vain++
        continue
      }
      vain = 0
      entry.handedOut++
      taker.hand(entry)
      if (++handed === most) {
        this.ask()
        break
      }
    }
    return handed
  }

  /** It was handled. */
  done(entry: Entry): void {
    this.size--
    this.waiting.release(entry)
    this.ask()
  }

  /** It was not, and comes again. */
  back(entry: Entry, delayMs: number, overtake: boolean): void {
    if (delayMs <= 0) this.waiting.giveBack(entry, false)
    else if (overtake || entry.key === undefined) {
      this.waiting.release(entry)
      this.delay(entry, this.clock.now() + delayMs)
    } else {
      this.waiting.giveBack(entry, true)
      this.delay(entry, this.clock.now() + delayMs)
    }
    this.ask()
  }

  /** It was given up. */
  bury(entry: Entry, reason: string): void {
    this.waiting.release(entry)
    this.graves.add({ envelope: entry.envelope, reason, at: this.clock.wallNow(), entry })
    this.ask()
  }

  /** What was given up, oldest first. */
  dead(): Iterable<DeadLetter> {
    return this.graves
  }

  /** Puts dead ones back at their place, as new. */
  redrive(ids: ReadonlySet<string> | 'all'): number {
    let count = 0
    for (const grave of this.graves) {
      if (ids !== 'all' && !ids.has(grave.envelope.id)) continue
      this.graves.delete(grave)
      grave.entry.handedOut = 0
      this.waiting.add(grave.entry)
      count++
    }
    this.ask()
    return count
  }

  inspect(minPriority: number | undefined): Backlog {
    const least = minPriority ?? -Infinity
    const oldest = this.waiting.oldest(least, this.takers)
    return {
      waiting: minPriority === undefined ? this.waiting.ready : this.waiting.countFrom(least),
      oldestMs: oldest === undefined ? undefined : Math.max(this.clock.now() - oldest, 0),
    }
  }

  /** It is gone, with all that is in it. */
  close(): void {
    if (this.timerAt !== Infinity) this.clock.clearTimer(this.timer)
    this.timerAt = Infinity
  }

  private delay(entry: Entry, until: number): void {
    entry.readyAt = until
    this.delayed.push(entry)
    this.arm()
  }

  private arm(): void {
    const next = this.delayed.first()
    if (next === undefined || next.readyAt >= this.timerAt) return
    if (this.timerAt !== Infinity) this.clock.clearTimer(this.timer)
    this.timerAt = next.readyAt
    this.timer = this.clock.setTimer(ring, Math.max(next.readyAt - this.clock.now(), 0), this)
    // With nobody to hand it to, a delayed message is no reason to stay up.
    if (this.takers.length === 0) this.clock.unref(this.timer)
  }

  /** The timer's: what is due comes to its place. A timer may be early; the message is not. */
  wake(): void {
    this.timerAt = Infinity
    const now = this.clock.now()
    for (let count = 0; count < MOST_AT_ONCE; count++) {
      const entry = this.delayed.first()
      if (entry === undefined || entry.readyAt > now) break
      this.delayed.pop()
      entry.readyAt = 0
      if (entry.blocking) this.waiting.unblock(entry)
      else this.waiting.add(entry)
    }
    this.arm()
    this.ask()
  }
}

function ring(place: Place): void {
  place.wake()
}
