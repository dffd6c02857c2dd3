// The stretch of a feed between what is settled for good and what was fetched: who is next, what may be forgotten, what goes into the checkpoint.
import type { Progress } from './progress.ts'
import type { FeedEntry } from './wire.ts'

/** One event of the stretch. */
export interface Slot {
  /** Counted from 1 since the window was made. */
  readonly number: number
  readonly position: string
  /** Undefined once it is settled: only its place still counts. */
  entry: FeedEntry | undefined
  state: 'waiting' | 'held' | 'done'
  /** Instant of the clock before which it is not handed out again. */
  readyAt: number
  /** How often it was handed out. */
  handed: number
}

/** What can be handed out now: an event, or one that has to wait until an instant and lets nothing pass. */
export type Next = { readonly slot: Slot } | { readonly until: number } | undefined

/** Events of one feed in their order. An array and a head, so that forgetting is cheap. */
export class Window {
  /** Where to fetch from. */
  tail: string
  private after: string
  private slots: Slot[] = []
  private head = 0
  // Before it nothing waits.
  private cursor = 0
  private count = 0
  private waitingCount = 0
  // What the one before us had done with events that are not fetched yet.
  private readonly before: Progress

  constructor(progress: Progress) {
    this.before = progress
    this.after = progress.after
    this.tail = progress.after
  }

  /** How many wait to be handed out, delayed ones among them. */
  get waiting(): number {
    return this.waitingCount
  }

  /** How many lie behind the first unsettled one, itself included. */
  get length(): number {
    return this.slots.length - this.head
  }

  add(entries: readonly FeedEntry[], next: string): void {
    for (const entry of entries) {
      const number = ++this.count
      const done = this.before.done.has(number)
      if (!done) this.waitingCount++
      this.slots.push({
        number,
        position: entry.position,
        entry: done ? undefined : entry,
        state: done ? 'done' : 'waiting',
        readyAt: 0,
        handed: this.before.handed.get(number) ?? 0,
      })
    }
    this.tail = next
    this.forget()
  }

  next(now: number): Next {
    for (; this.cursor < this.slots.length; this.cursor++) {
      const slot = this.slots[this.cursor] as Slot
      if (slot.state === 'waiting') return slot.readyAt > now ? { until: slot.readyAt } : { slot }
    }
    return undefined
  }

  hold(slot: Slot): void {
    slot.state = 'held'
    slot.handed++
    this.waitingCount--
  }

  /** It was held, and comes again. */
  back(slot: Slot, readyAt: number): void {
    slot.state = 'waiting'
    slot.readyAt = readyAt
    this.waitingCount++
    this.cursor = Math.min(this.cursor, this.head + slot.number - (this.slots[this.head] as Slot).number)
  }

  /** It was held, and is settled. */
  done(slot: Slot): void {
    slot.state = 'done'
    slot.entry = undefined
    this.forget()
  }

  progress(): Progress {
    const done = new Set<number>()
    const handed = new Map<number, number>()
    const held = new Set<number>()
    const first = this.slots[this.head]?.number ?? this.count + 1
    for (let at = this.head; at < this.slots.length; at++) {
      const { number, state, handed: times } = this.slots[at] as Slot
      if (state === 'done') done.add(number - first + 1)
      else if (times > 0) handed.set(number - first + 1, times)
      if (state === 'held') held.add(number - first + 1)
    }
    for (const number of this.before.done) if (number > this.count) done.add(number - first + 1)
    for (const [number, times] of this.before.handed) if (number > this.count) handed.set(number - first + 1, times)
    return { after: this.after, done, handed, held }
  }

  /** Where the first one that could be handed out stands: the position before it, and how many behind that position could not be. */
  ready(now: number): { readonly after: string; readonly taken: number } | undefined {
    const next = this.next(now)
    if (next !== undefined && 'until' in next) return undefined
    if (next === undefined) return { after: this.tail, taken: 0 }
    let taken = 0
    for (let at = this.cursor; at < this.slots.length; at++) if (this.slots[at]?.state !== 'waiting') taken++
    return { after: this.slots[this.cursor - 1]?.position ?? this.after, taken }
  }

  private forget(): void {
    const { slots } = this
    while (this.head < slots.length && (slots[this.head] as Slot).state === 'done') {
      this.after = (slots[this.head] as Slot).position
      this.head++
    }
    // A page may end behind its last event.
    if (this.head === slots.length) this.after = this.tail
    this.cursor = Math.max(this.cursor, this.head)
    if (this.head < 1_024 || this.head < slots.length / 2) return
    this.slots = slots.slice(this.head)
    this.cursor -= this.head
    this.head = 0
  }
}
