// The time of a process: its timers ring while it runs, and its date may be another one.
import type { Clock, Timer } from '../../core/clock.ts'
import type { Sites } from './sites.ts'

/** Whose clock it is. */
export interface ClockedLife {
  /** Neither dead nor standing still. */
  readonly runs: boolean
  readonly world: { readonly clock: Clock; readonly sites: Sites | undefined }
  readonly process: { readonly wallOffset: number }
  run(work: () => void): void
}

interface LifeTimer<A> {
  readonly life: ClockedLife
  readonly callback: (arg: A) => void
  readonly arg: A
  timer: Timer
  off: boolean
}

/** Timers of a process that stands still ring when it goes on. */
export class LifeClock implements Clock {
  readonly #life: ClockedLife
  readonly #clock: Clock
  readonly #process: ClockedLife['process']

  constructor(life: ClockedLife) {
    this.#life = life
    this.#clock = life.world.clock
    this.#process = life.process
  }

  now = (): number => this.#clock.now()

  wallNow = (): number => this.#clock.wallNow() + this.#process.wallOffset

  setTimer = <A>(callback: (arg: A) => void, ms: number, arg: A): Timer => {
    const life = this.#life
    const mine: LifeTimer<A> = { life, callback: began(life, callback), arg, timer: undefined, off: false }
    mine.timer = this.#clock.setTimer(ring as (timer: LifeTimer<A>) => void, ms, mine)
    return mine
  }

  clearTimer = (timer: Timer): void => {
    const mine = timer as LifeTimer<unknown> | undefined
    if (mine === undefined || mine === null) return
    mine.off = true
    this.#clock.clearTimer(mine.timer)
  }

  unref = (): void => undefined
}

// What a timer sets off was begun where it was set.
function began<A>(life: ClockedLife, callback: (arg: A) => void): (arg: A) => void {
  const { sites } = life.world
  if (sites === undefined) return callback
  const site = sites.here()
  return (arg) => sites.within(site, () => callback(arg))
}

function ring(timer: LifeTimer<unknown>): void {
  const { life } = timer
  if (life.runs) timer.callback(timer.arg)
  else
    life.run(() => {
      if (!timer.off) timer.callback(timer.arg)
    })
}
