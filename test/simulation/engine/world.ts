// One run: virtual time, processes that live and die in it, and steps at which something may happen to them. Whatever leaves a process passes a step;
// between two steps only its own code runs, so whoever decides about the steps decides about the whole order of events.
import type { Clock, Random, Timer } from '../../../src/core/clock.ts'
import { createError } from '../../../src/errors/classes.ts'
import { type FakeClock, fakeClock } from '../../../src/testing/fake-clock.ts'
import {
  type Catalogue,
  chanceOf,
  type Fault,
  type FaultKind,
  faultText,
  type Schedule,
  type Step,
} from './schedule.ts'

/** What can happen at any step. */
export const ANYWHERE: readonly FaultKind[] = [
  'crash-before',
  'crash-after',
  'pause-before',
  'pause-after',
  'fail-before',
  'fail-after',
]

/** At a step without an effect of its own, before or after makes no difference. */
export interface StepOptions<T> {
  readonly kinds?: readonly FaultKind[] | undefined
  /** What `lose` answers. */
  readonly lost?: (() => T) | undefined
  /** `fail-before` says no more than that no answer came. */
  readonly unanswered?: boolean | undefined
  /** For the trace. */
  readonly words?: (() => string) | undefined
  readonly answer?: ((answer: T) => string) | undefined
}

// What a dead process waits for.
const never = <T>(): Promise<T> => new Promise<T>(() => undefined)
const nothing = (): void => undefined

export class World {
  readonly clock: FakeClock = fakeClock()
  readonly schedule: Schedule
  /** Lines of what happened, where they are asked for. */
  readonly trace: string[] | undefined
  readonly processes: SimulatedProcess[] = []
  readonly fired: Fault[] = []
  steps = 0
  /** Of the last fault. */
  lastFaultAt = 0

  constructor(schedule: Schedule, traced: boolean) {
    this.schedule = schedule
    this.trace = traced ? [] : undefined
  }

  /** A process that is started with the run and again after each crash. What `start` rejects with ends that life. */
  process(name: string, start: (life: Life) => Promise<void> | void): SimulatedProcess {
    const process = new SimulatedProcess(this, name, start)
    this.processes.push(process)
    return process
  }

  chance(...names: readonly (string | number)[]): Random {
    return chanceOf(this.schedule.seed, ...names)
  }

  /** For what takes its time outside of every process: inside a database, on the way. */
  pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.clock.setTimer(() => resolve(), ms, undefined))
  }

  note(who: string, words: () => string): void {
    this.trace?.push(`${String(Math.round(this.clock.now())).padStart(7)} ms  ${who}  ${words()}`)
  }

  catalogue(): Catalogue {
    return new Map(this.processes.map(({ name, steps }) => [name, [...steps.values()]]))
  }
}

export class SimulatedProcess {
  readonly name: string
  readonly steps: Map<string, Step> = new Map()
  readonly #world: World
  readonly #start: (life: Life) => Promise<void> | void
  readonly #faults: readonly Fault[]
  life: Life | undefined
  lives = 0

  constructor(world: World, name: string, start: (life: Life) => Promise<void> | void) {
    this.name = name
    this.#world = world
    this.#start = start
    this.#faults = world.schedule.faults.filter(({ process }) => process === name)
  }

  start(): void {
    const life = new Life(this.#world, this, ++this.lives)
    this.life = life
    const ended = (error: unknown): void => {
      if (this.life !== life) return
      this.#world.note(life.name, () => `ended with ${String(error)}`)
      this.crash(100)
    }
    try {
      Promise.resolve(this.#start(life)).catch(ended)
    } catch (error) {
      ended(error)
    }
  }

  crash(againAfterMs: number): void {
    const { life } = this
    this.life = undefined
    life?.die()
    this.#world.clock.setTimer(() => this.start(), againAfterMs, undefined)
  }

  /** Counts the step, and says what is to happen there. */
  comesTo(step: string, kinds: readonly FaultKind[]): { readonly nth: number; readonly fault: Fault | undefined } {
    const nth = (this.steps.get(step)?.times ?? 0) + 1
    this.steps.set(step, { step, times: nth, kinds })
    const fault = this.#faults.find((one) => one.step === step && one.nth === nth && kinds.includes(one.kind))
    return { nth, fault }
  }
}

/** A process from one start to its end. Code that belongs to it gets time and chance from here, and leaves it only through `step`. */
export class Life {
  readonly name: string
  readonly clock: Clock
  readonly random: Random
  readonly process: SimulatedProcess
  readonly world: World
  /** Rejects when the process is killed. */
  readonly death: Promise<never>
  #kill: (reason: unknown) => void = nothing
  #dead = false
  #pausedUntil = 0
  #waiting: (() => void)[] = []
  readonly #mourners: (() => void)[] = []
  #ids = 0

  constructor(world: World, process: SimulatedProcess, count: number) {
    this.world = world
    this.process = process
    this.name = count === 1 ? process.name : `${process.name}#${count}`
    this.random = world.chance(this.name, 'random')
    this.clock = this.#clockOf(world.clock)
    this.death = new Promise((_, reject) => {
      this.#kill = reject
    })
    this.death.catch(nothing)
  }

  get dead(): boolean {
    return this.#dead
  }

  /** An id that no other life makes. */
  id(): string {
    return `${this.name}/${++this.#ids}`
  }

  /** When the process dies: what the world sees of it (its connections break). */
  onDeath(mourner: () => void): void {
    this.#mourners.push(mourner)
  }

  /** Runs something of this process: never once it is dead, and later while it stands still. */
  run(work: () => void): void {
    if (this.#dead) return
    if (this.world.clock.now() < this.#pausedUntil || this.#waiting.length > 0) this.#waiting.push(work)
    else work()
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.clock.setTimer(() => resolve(), ms, undefined))
  }

  /**
   * Goes out of the process and comes back: a while later, or never, or with a failure that the call did not have.
   * `kinds`: what can happen here besides delays.
   */
  async step<T>(step: string, call: () => Promise<T> | T, options: StepOptions<T> = {}): Promise<T> {
    const { kinds = ANYWHERE } = options
    const { world, process } = this
    world.steps++
    const { nth, fault } = process.comesTo(step, kinds)
    const chance = world.chance(process.name, step, nth)
    await this.sleep(this.#delay(chance))
    if (fault !== undefined) {
      world.fired.push(fault)
      world.lastFaultAt =
        world.clock.now() + (fault.kind.startsWith('pause') || fault.kind.startsWith('crash') ? fault.ms : 0)
      world.note(this.name, () => `*** ${faultText(fault)}`)
    }
    if (fault?.kind === 'crash-before') return this.#crash(fault)
    if (fault?.kind === 'pause-before') await this.#pause(fault)
    if (fault?.kind === 'fail-before') throw options.unanswered === true ? unanswered(step) : refused(step)
    if (fault?.kind === 'lose' && options.lost !== undefined) return options.lost()
    if (fault?.kind === 'twice') await call()
    let answer: T
    try {
      answer = await call()
    } catch (error) {
      world.note(this.name, () => `${step} ${nth}: ${options.words?.() ?? ''} failed: ${String(error)}`)
      await this.#back(chance)
      throw error
    }
    world.note(this.name, () => {
      const words = options.words?.() ?? ''
      const said = options.answer?.(answer) ?? ''
      return `${step} ${nth}${words === '' ? '' : `: ${words}`}${said === '' ? '' : ` -> ${said}`}`
    })
    if (fault?.kind === 'crash-after') return this.#crash(fault)
    if (fault?.kind === 'pause-after') await this.#pause(fault)
    await this.#back(chance)
    if (fault?.kind === 'fail-after') throw unanswered(step)
    return answer
  }

  /** For answers that are no steps: they reach a process that runs. */
  returning<T>(answer: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      answer.then(
        (value) => this.run(() => resolve(value)),
        (error: unknown) => this.run(() => reject(error)),
      )
    })
  }

  die(): void {
    this.#dead = true
    this.#waiting = []
    this.#kill(new Error(`${this.name} was killed`))
    for (const mourner of this.#mourners) mourner()
  }

  #crash<T>({ ms }: Fault): Promise<T> {
    if (!this.#dead) this.process.crash(ms)
    return never()
  }

  #pause({ ms }: Fault): Promise<void> {
    const { clock } = this.world
    this.#pausedUntil = Math.max(this.#pausedUntil, clock.now() + ms)
    const resume = (): void => {
      if (clock.now() < this.#pausedUntil)
        return void clock.setTimer(resume, this.#pausedUntil - clock.now(), undefined)
      const { name } = this
      if (!this.#dead) this.world.note(name, () => 'goes on')
      const waiting = this.#waiting
      this.#waiting = []
      for (const work of waiting) if (!this.#dead) work()
    }
    clock.setTimer(resume, ms, undefined)
    return new Promise((resolve) => this.run(resolve))
  }

  async #back(chance: Random): Promise<void> {
    if (chance() < 0.7) await new Promise<void>((resolve) => this.run(resolve))
    else await this.sleep(this.#delay(chance))
  }

  // Mostly next to nothing, now and then a fifth of a second.
  #delay(chance: Random): number {
    const { jitter } = this.world.schedule
    if (jitter === 0) return 1
    const draw = chance()
    const ms = draw < 0.7 ? 2 * chance() : draw < 0.95 ? 20 * chance() : 200 * chance()
    return ms * jitter
  }

  // Timers of a process that stands still ring when it goes on.
  #clockOf(clock: FakeClock): Clock {
    return {
      now: () => clock.now(),
      wallNow: () => clock.wallNow(),
      setTimer: (callback, ms, arg) => {
        const mine: { timer: Timer; off: boolean } = { timer: undefined, off: false }
        mine.timer = clock.setTimer(() => this.run(() => (mine.off ? undefined : callback(arg))), ms, undefined)
        return mine
      },
      clearTimer: (timer) => {
        const mine = timer as { timer: Timer; off: boolean } | undefined
        if (mine === undefined || mine === null) return
        mine.off = true
        clock.clearTimer(mine.timer)
      },
      unref: (timer) => clock.unref((timer as { timer: Timer }).timer),
    }
  }
}

function refused(step: string): Error {
  return createError({ code: 'CONNECTION_REFUSED', message: `${step} was refused`, effect: 'none' })
}

function unanswered(step: string): Error {
  return createError({ code: 'CONNECTION_LOST', message: `${step} was not answered`, effect: 'unknown' })
}
