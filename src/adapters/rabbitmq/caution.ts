// After a crash a receiver takes one message at a time: what kills the process must not use up the tries of those that lay beside it.
import type { Clock, Timer } from '../../core/clock.ts'

// A process that lives on for so long with a message has survived it.
const SURVIVED_MS = 1_000
const ENOUGH = 64

/** How many messages may be held just now. */
export class Caution {
  private readonly clock: Clock
  private readonly wanted: boolean
  private readonly onMore: () => void
  private most = Infinity
  private seen = true
  private timer: Timer | undefined

  /** @param onMore called when more may be held than before */
  constructor(clock: Clock, wanted: boolean, onMore: () => void) {
    this.clock = clock
    this.wanted = wanted
    this.onMore = onMore
  }

  /** A new channel: nothing is known yet, so one message is taken. What came back stands at the head of its queue: the first one tells. */
  begin(): void {
    this.end()
    if (!this.wanted) return
    this.most = 1
    this.seen = false
  }

  /**
   * A message came, for the first time or again. The first that is new says that all which came back is dealt with. To have dealt with some of it says nothing:
   * what kills may stand anywhere among it, with the same neighbours each time.
   */
  saw(cameBack: boolean): void {
    if (this.most === Infinity) return
    if (!cameBack) this.all()
    else if (!this.seen) {
      this.seen = true
      this.watch()
    }
  }

  /** A message was dealt with: the next one has its own time to prove itself harmless. */
  survived(): void {
    if (this.most === Infinity || !this.seen) return
    this.end()
    this.watch()
  }

  /** Whether there is a limit. */
  get narrow(): boolean {
    return this.most !== Infinity
  }

  /** How many more may be held by who holds so many. */
  room(held: number): number {
    return this.most - held
  }

  end(): void {
    if (this.timer !== undefined) this.clock.clearTimer(this.timer)
    this.timer = undefined
  }

  private watch(): void {
    this.timer = this.clock.setTimer((caution: Caution) => caution.double(), SURVIVED_MS, this)
  }

  private double(): void {
    this.end()
    this.most *= 2
    if (this.most >= ENOUGH) this.all()
    else {
      this.watch()
      this.onMore()
    }
  }

  private all(): void {
    this.end()
    this.most = Infinity
    this.onMore()
  }
}
