// One run: virtual time, processes that live and die in it, and steps at which something may happen to them. Whatever leaves a process passes a step;
// between two steps only its own code runs, so whoever decides about the steps decides about the whole order of events.
import { nextTurn, type Random, systemClock } from '../../core/clock.ts'
import { createError } from '../../errors/classes.ts'
import { type Counted, Life, type Lineage, type Surroundings } from './life.ts'
import { type Catalogue, chanceOf, type Fault, type FaultKind, hashOf, type Schedule, type Step } from './schedule.ts'
import type { Sites } from './sites.ts'
import { VirtualClock } from './virtual-clock.ts'

/** How a run is watched. */
export interface Watching {
  /** Lines of what happened are kept, and the places in the user's code. */
  readonly traced?: boolean | undefined
  /** Which steps there were is kept, to be compared with another run. */
  readonly recorded?: boolean | undefined
  readonly sites?: Sites | undefined
  /** Nothing is to go wrong in it: what ends by itself is an error. */
  readonly calm?: boolean | undefined
  /** Real work outside of a step is an error. */
  readonly stepsAlone?: boolean | undefined
  /** False: nobody asks what is wrong at its end. */
  readonly judged?: boolean | undefined
}

// The event loop has its turn after so many timers.
const TIMERS_A_TURN = 500
/** Real milliseconds. A step that takes longer waits for what is not real. */
const LONGEST_HOLD_MS = 20_000
const later = process.nextTick

/** A run's insides. */
export class World implements Surroundings {
  readonly clock: VirtualClock = new VirtualClock()
  readonly schedule: Schedule
  /** Lines of what happened, where they are asked for. */
  readonly trace: string[] | undefined
  /** Each step, where it is asked for. */
  readonly record: string[] | undefined
  readonly sites: Sites | undefined
  readonly calm: boolean
  readonly processes: SimulatedProcess[] = []
  readonly fired: Fault[] = []
  steps = 0
  /** When the last fault is over. */
  lastFaultAt = 0
  /** Of the last step that did something. */
  lastActiveAt = 0
  /** That step. */
  lastActive: { readonly who: string; readonly step: string } | undefined
  /** Those who wait because they said so (`own.sleep`). */
  sleeping = 0
  /** What went wrong without anybody having asked for it: it ends the run. */
  failure: { readonly error: unknown } | undefined
  /** Asked after every step. */
  always: (() => void) | undefined
  /** What begins now is begun by a process of the run: the event loop has had no turn since one was called. */
  acting = false
  private holding = 0

  constructor(schedule: Schedule, watching: Watching = {}) {
    this.schedule = schedule
    this.calm = watching.calm === true
    this.trace = watching.traced === true ? [] : undefined
    this.sites = watching.traced === true ? watching.sites : undefined
    this.record = watching.recorded === true ? [] : undefined
  }

  /** A process that is started with the run and again after each crash. What `start` rejects with ends that life. */
  process(name: string, start: (life: Life) => unknown): SimulatedProcess {
    const process = new SimulatedProcess(this, name, start)
    this.processes.push(process)
    return process
  }

  chance(...names: readonly (string | number)[]): Random {
    return chanceOf(this.schedule.seed, ...names)
  }

  /** For what takes its time outside of every process: inside a database, on the way. */
  pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.clock.setTimer(resolve, ms, undefined))
  }

  /** A step says of itself that it takes real time. */
  get held(): boolean {
    return this.holding > 0
  }

  /** Virtual time stands still until it settles. */
  async hold<T>(work: () => Promise<T> | T): Promise<T> {
    this.holding++
    try {
      return await work()
    } finally {
      this.holding--
    }
  }

  /** Ends the run with an error: the test is wrong, or `always` has said no. The first one counts. */
  fail(error: unknown): void {
    this.failure ??= { error }
  }

  note(who: string, words: () => string): void {
    this.trace?.push(`${String(Math.round(this.clock.now())).padStart(7)} ms  ${who}  ${words()}`)
  }

  catalogue(): Catalogue {
    const found = new Map<string, readonly Step[]>()
    for (const { name, steps } of this.processes) {
      const open = [...steps.values()].filter(({ kinds }) => kinds.length > 0)
      if (open.length > 0) found.set(name, open)
    }
    return found
  }

  // Real work takes its time, and virtual time waits for it.
  async #held(): Promise<void> {
    const until = systemClock.now() + LONGEST_HOLD_MS
    while (this.holding > 0 && this.failure === undefined) {
      this.acting = false
      await turn()
      this.acting = true
      await settled()
      if (systemClock.now() > until)
        this.fail(
          createError({
            code: 'PROGRAMMING_ERROR',
            effect: 'none',
            message: `a step with { real: true } has not ended after ${LONGEST_HOLD_MS / 1_000} s: virtual time stands still for it, so that nothing in it may wait for another step (a send, a store, own.sleep)`,
          }),
        )
    }
  }

  /** Lets everything happen, timer by timer, until `over` says so (asked before each) or it has failed. */
  async run(over: () => boolean | Promise<boolean>, until: number = Infinity): Promise<void> {
    this.acting = true
    for (let fired = 1; ; fired++) {
      await settled()
      if (this.holding > 0) await this.#held()
      this.acting = false
      if (this.failure !== undefined) return
      const answer = over()
      if (answer === true || (answer !== false && (await answer))) return
      if (fired % TIMERS_A_TURN === 0) await turn()
      this.acting = true
      if (!this.clock.next(until)) break
    }
    this.acting = false
  }
}

// Ticks come when promises have run dry, and cost less than a turn of the event loop.
function settled(): Promise<void> {
  return new Promise(tick)
}

function tick(resolve: () => void): void {
  later(resolve)
}

/** Lets everybody else have his turn. */
export function turn(): Promise<void> {
  return new Promise((resolve) => nextTurn(resolve, undefined))
}

/** A process over all its lives. */
export class SimulatedProcess implements Lineage {
  readonly name: string
  readonly steps: Map<string, Counted> = new Map()
  life: Life | undefined
  lives = 0
  wallOffset = 0
  /** What can happen to it at all. Default: everything. */
  allows: ReadonlySet<FaultKind> | undefined
  /** The `start` of this life has ended well. */
  up = false
  readonly #world: World
  readonly #start: (life: Life) => unknown
  readonly #faults: readonly Fault[]
  readonly #hash: number

  constructor(world: World, name: string, start: (life: Life) => unknown) {
    this.name = name
    this.#world = world
    this.#start = start
    this.#faults = world.schedule.faults.filter(({ process }) => process === name)
    this.#hash = hashOf(name, 0x811c9dc5 ^ world.schedule.seed)
  }

  start(): void {
    const life = new Life(this.#world, this, ++this.lives)
    this.life = life
    const ended = (error: unknown): void => {
      if (this.life !== life) return
      this.#world.note(life.name, () => `ended with ${String(error)}`)
      this.failed?.(error)
      this.crash(100)
    }
    const started = (): void => {
      if (this.life !== life) return
      this.up = true
      this.begun?.()
    }
    const { sites } = this.#world
    try {
      const begin = (): Promise<unknown> => Promise.resolve(this.#start(life))
      ;(sites === undefined ? begin() : sites.within(undefined, begin)).then(started, ended)
    } catch (error) {
      ended(error)
    }
  }

  /** Told when a start has ended well. */
  begun: (() => void) | undefined

  /** Told of what a start rejects with. */
  failed: ((error: unknown) => void) | undefined

  crash(againAfterMs: number): void {
    const { life } = this
    this.life = undefined
    this.up = false
    life?.die()
    this.#world.clock.setTimer(() => this.start(), againAfterMs, undefined)
  }

  /** Counts the step. */
  comesTo(step: string, kinds: readonly FaultKind[]): Counted {
    let counted = this.steps.get(step)
    if (counted === undefined) {
      const { allows } = this
      counted = {
        step,
        times: 0,
        kinds: allows === undefined ? kinds : kinds.filter((kind) => allows.has(kind)),
        hash: hashOf(step, this.#hash),
      }
      this.steps.set(step, counted)
    }
    counted.times++
    return counted
  }

  /** What is to happen there. */
  faultAt({ step, times, kinds }: Counted): Fault | undefined {
    if (this.#faults.length === 0) return undefined
    return this.#faults.find((one) => one.nth === times && one.step === step && kinds.includes(one.kind))
  }
}
