// Reading under one right to read: what was fetched, what is held, what is saved. When the right ends, so does the session.
import type { Clock, Timer } from '../../core/clock.ts'
import { type DeadPlace, type DeliveryOwner, FeedDelivery } from './delivery.ts'
import type { Tenure } from './lane.ts'
import { formatProgress, type Progress } from './progress.ts'
import { Saver } from './saver.ts'
import { type Slot, Window } from './window.ts'
import type { FeedEntry } from './wire.ts'

/** What a session is part of. */
export interface SessionParts {
  readonly name: string
  readonly topic: string
  readonly dead: DeadPlace | undefined
  readonly clock: Clock
  /** Something has changed: more may be handed out or fetched. */
  readonly changed: () => void
}

const DONE: Promise<void> = Promise.resolve()

/** One stretch of reading. */
export class Session implements DeliveryOwner {
  readonly name: string
  readonly topic: string
  readonly dead: DeadPlace | undefined
  readonly window: Window
  /** Undefined for a live subscription: its position is its own affair. */
  readonly tenure: Tenure | undefined
  over = false
  private readonly parts: SessionParts
  private readonly saver: Saver | undefined
  private readonly held = new Set<FeedDelivery>()
  private timer: Timer | undefined
  private timerAt = Infinity

  constructor(parts: SessionParts, progress: Progress, tenure: Tenure | undefined) {
    this.parts = parts
    this.name = parts.name
    this.topic = parts.topic
    this.dead = parts.dead
    this.window = new Window(progress)
    this.tenure = tenure
    this.saver =
      tenure === undefined
        ? undefined
        : new Saver(
            () => formatProgress(this.window.progress()),
            formatProgress(progress),
            (text) => tenure.save(text),
          )
  }

  /** How many were handed out and are not settled. */
  get holding(): number {
    return this.held.size
  }

  /** The next event as a delivery, or undefined while there is none whose time has come. */
  take(): FeedDelivery | undefined {
    const next = this.window.next(this.parts.clock.now())
    if (next === undefined) return undefined
    if ('until' in next) {
      this.wakeAt(next.until)
      return undefined
    }
    const { slot } = next
    this.window.hold(slot)
    const delivery = new FeedDelivery(slot, slot.entry as FeedEntry, this)
    this.held.add(delivery)
    return delivery
  }

  settled(delivery: FeedDelivery): Promise<void> {
    this.let(delivery, (slot) => this.window.done(slot))
    return this.save()
  }

  returned(delivery: FeedDelivery, delayMs: number): Promise<void> {
    const readyAt = delayMs > 0 ? this.parts.clock.now() + delayMs : 0
    this.let(delivery, (slot) => this.window.back(slot, readyAt))
    // Whether the count of its deliveries is saved or not, it comes again.
    this.save().catch(nothing)
    return DONE
  }

  save(): Promise<void> {
    return this.saver?.save() ?? DONE
  }

  /** Takes the right to settle from all that is held. */
  end(): void {
    if (this.over) return
    this.over = true
    this.parts.clock.clearTimer(this.timer)
    const lost = [...this.held].filter((delivery) => delivery.lose())
    this.held.clear()
    for (const delivery of lost) delivery.tellLost()
  }

  /** The last word, once it has ended: what is settled is saved, and the next member may read on. */
  async close(): Promise<void> {
    const { tenure } = this
    if (tenure === undefined || tenure.lost) return
    await this.save().catch(nothing)
    await tenure.release().catch(nothing)
  }

  private let(delivery: FeedDelivery, what: (slot: Slot) => void): void {
    if (!this.held.delete(delivery)) return
    what(delivery.slot)
    this.parts.changed()
  }

  private wakeAt(instant: number): void {
    if (this.timerAt === instant) return
    const { clock, changed } = this.parts
    clock.clearTimer(this.timer)
    this.timerAt = instant
    this.timer = clock.setTimer(
      () => {
        this.timerAt = Infinity
        changed()
      },
      Math.max(instant - clock.now(), 0),
      undefined,
    )
  }
}

function nothing(): void {}
