// While nothing gets through, of a channel or at all, no message is to blame: all wait, and a few are tried at growing intervals.
import type { World } from '../../policies/seams.ts'
import { Alarm, type Growth, grown } from './waits.ts'

/** Whether a channel, or the transport as a whole, is away. */
export class Outage {
  readonly #growth: Growth
  readonly #world: World
  readonly #alarm: Alarm
  #failures: number
  /** Since when, on the scale of the clock. */
  #since: number | undefined
  #lastTry: number
  #waitMs: number
  #due: boolean

  constructor(growth: Growth, world: World, due: () => void) {
    this.#growth = growth
    this.#world = world
    this.#alarm = new Alarm(world.clock, () => {
      this.#due = true
      due()
    })
    this.#failures = 0
    this.#since = undefined
    this.#lastTry = -Infinity
    this.#waitMs = 0
    this.#due = false
  }

  get on(): boolean {
    return this.#since !== undefined
  }

  /** Whether a few may be tried now. */
  get due(): boolean {
    return this.#due
  }

  /** When the next try is due, on the scale of the clock; -Infinity: it is due. */
  get dueAt(): number {
    return this.#due ? -Infinity : this.#alarm.at
  }

  /** The last wait, milliseconds. */
  get waitMs(): number {
    return this.#waitMs
  }

  /** Nothing got through. Says how long to wait. */
  failed(): number {
    const { clock, random } = this.#world
    this.#since ??= clock.now()
    this.#lastTry = clock.now()
    const waitMs = grown(this.#growth, this.#failures++, random)
    this.#due = false
    this.#waitMs = waitMs
    this.#alarm.set(waitMs)
    return waitMs
  }

  /** There is something new, which may fare better: no sooner than so long after the last try. */
  sooner(atLeastMs: number): void {
    if (this.#since === undefined || this.#due) return
    this.#alarm.atLatest(Math.max(0, this.#lastTry + atLeastMs - this.#world.clock.now()))
  }

  /** Something got through. Says how long it lasted, if there was an outage. */
  over(): number | undefined {
    this.#failures = 0
    if (this.#since === undefined) return undefined
    const afterMs = this.#world.clock.now() - this.#since
    this.#since = undefined
    this.stop()
    return afterMs
  }

  stop(): void {
    this.#alarm.clear()
    this.#due = false
  }
}
