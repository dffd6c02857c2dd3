// When to look for messages. One look in vain costs a query, so a process looks for all of its places together, soon after there was something and
// seldom when there was nothing for long; sends of this process and notifications of others only make it look sooner.
import { detached } from '../../../core/async-context.ts'
import type { Clock, Timer } from '../../../core/clock.ts'
import type { MessageStore } from './store.ts'

/** A receiver, as the watch sees it. */
export interface Looker {
  /** It has credit, and does not look already. */
  readonly free: boolean
  /** Claims what it may have. Answers how many came. Never rejects. */
  look(): Promise<number>
  /** Something came while it was not free: look as soon as it is. */
  note(): void
}

const SOONEST_MS = 3

/** One place and the receivers of this process at it. */
export class PlaceWatch {
  readonly place: number
  readonly channel: number
  readonly lookers: Set<Looker> = new Set()
  /** When to look next. */
  at: number = Infinity
  /** When there was something last. */
  foundAt: number
  private hint = 0
  private asking = false
  private asked = new Set<Looker>()

  constructor(place: number, channel: number, now: number) {
    this.place = place
    this.channel = channel
    this.foundAt = now
  }

  /** How many of them would take something. */
  get wanting(): number {
    let count = 0
    for (const looker of this.lookers) if (looker.free) count++
    return count
  }

  /** So many messages may be there. Receivers are asked one after another, until that many are taken or all were asked. */
  arrived(count: number): void {
    this.hint = Math.max(this.hint, count)
    // Those that were asked before this came may find something now.
    this.asked = new Set()
    for (const looker of this.lookers) if (!looker.free) looker.note()
    if (!this.asking) void this.ask()
  }

  private async ask(): Promise<void> {
    this.asking = true
    while (this.hint > 0) {
      const next = [...this.lookers].find((looker) => looker.free && !this.asked.has(looker))
      if (next === undefined) break
      this.asked.add(next)
      // In turn: the next message begins with somebody else.
      this.lookers.delete(next)
      this.lookers.add(next)
      const found = await next.look()
      // Read after the wait: more may have been announced meanwhile.
      this.hint -= found
    }
    this.hint = 0
    this.asking = false
  }
}

/** All places of a transport. */
export class Watch {
  private readonly store: MessageStore
  private readonly clock: Clock
  private readonly pollMs: number
  private readonly places = new Map<number, PlaceWatch>()
  private timer: Timer | undefined
  private timerAt = Infinity
  private polling = false
  private closed = false

  constructor(store: MessageStore, clock: Clock, pollMs: number) {
    this.store = store
    this.clock = clock
    this.pollMs = pollMs
  }

  /** A receiver takes part. */
  join(place: number, channel: number, looker: Looker): PlaceWatch {
    let watch = this.places.get(place)
    if (watch === undefined) {
      watch = new PlaceWatch(place, channel, this.clock.now())
      this.places.set(place, watch)
    }
    watch.lookers.add(looker)
    return watch
  }

  leave(watch: PlaceWatch, looker: Looker): void {
    watch.lookers.delete(looker)
    if (watch.lookers.size === 0 && this.places.get(watch.place) === watch) this.places.delete(watch.place)
  }

  /** Something was sent to a channel. */
  arrived(channel: number, count: number): void {
    for (const watch of this.places.values()) if (watch.channel === channel) watch.arrived(count)
  }

  /** A receiver has looked and will look again when it is told to. */
  looked(watch: PlaceWatch, found: number, dueMs: number | undefined): void {
    const now = this.clock.now()
    if (found > 0) watch.foundAt = now
    // Twice as rarely as it is long since something came: about as late as that, relatively, at the price of a few looks.
    const quiet = Math.max((now - watch.foundAt) / 3, SOONEST_MS)
    // Those that look at the slowest pace do so together.
    const next = quiet < this.pollMs ? now + quiet : (Math.floor(now / this.pollMs) + 1) * this.pollMs
    watch.at = dueMs === undefined ? next : Math.min(next, now + Math.max(dueMs, SOONEST_MS))
    this.arm(watch.at)
  }

  /** At the latest in so long: a message given back comes due. */
  soon(watch: PlaceWatch, ms: number): void {
    watch.at = Math.min(watch.at, this.clock.now() + ms)
    this.arm(watch.at)
  }

  close(): void {
    this.closed = true
    if (this.timer !== undefined) this.clock.clearTimer(this.timer)
  }

  private arm(at: number): void {
    if (this.closed || at >= this.timerAt || this.polling) return
    if (this.timer !== undefined) this.clock.clearTimer(this.timer)
    this.timerAt = at
    this.timer = this.clock.setTimer(
      (watch: Watch) => detached(() => watch.poll()),
      Math.max(at - this.clock.now(), 0),
      this,
    )
  }

  private async poll(): Promise<void> {
    this.timer = undefined
    this.timerAt = Infinity
    const now = this.clock.now()
    const due = [...this.places.values()].filter((watch) => watch.at <= now + 1 && watch.wanting > 0)
    for (const watch of this.places.values()) if (watch.at <= now + 1) watch.at = Infinity
    this.polling = true
    try {
      // A claim is as good as a question where there is one place to ask about, and one who asks.
      if (due.length === 1 && due[0]?.wanting === 1) due[0].arrived(Infinity)
      else if (due.length > 0) {
        const answers = await this.store.poll(due.map(({ place }) => place))
        for (const watch of due) {
          const answer = answers.find(({ place }) => place === watch.place)
          if (answer === undefined || answer.found || (answer.dueMs !== undefined && answer.dueMs <= 0))
            watch.arrived(Infinity)
          else this.looked(watch, 0, answer.dueMs)
        }
      }
    } catch {
      // The database cannot be asked now. Each receiver finds out by itself, and waits longer each time.
      for (const watch of due) this.looked(watch, 0, undefined)
    } finally {
      this.polling = false
      this.arm(Math.min(...[...this.places.values()].map(({ at }) => at)))
    }
  }
}
