// A process from one start to its end: it leaves itself only by steps, and once it is dead nothing of it goes on.
import type { Clock, Random } from '../../core/clock.ts'
import { bareError } from './bare-error.ts'
import { LifeClock } from './life-clock.ts'
import {
  chanceIn,
  type Fault,
  type FaultKind,
  faultText,
  hashOf,
  nextChance,
  type Schedule,
  type Step,
} from './schedule.ts'
import type { Site, Sites } from './sites.ts'
import type { StageLife, StageStep } from './stage.ts'
import { ANYWHERE } from './steps.ts'

/** The run, as its processes see it. */
export interface Surroundings {
  readonly clock: Clock
  readonly schedule: Schedule
  readonly trace: string[] | undefined
  readonly record: string[] | undefined
  readonly sites: Sites | undefined
  readonly fired: Fault[]
  steps: number
  lastFaultAt: number
  lastActiveAt: number
  lastActive: { readonly who: string; readonly step: string } | undefined
  sleeping: number
  readonly always: (() => void) | undefined
  chance(...names: readonly (string | number)[]): Random
  pause(ms: number): Promise<void>
  hold<T>(work: () => Promise<T> | T): Promise<T>
  fail(error: unknown): void
  note(who: string, words: () => string): void
}

/** What a process counts of a step. */
export interface Counted extends Step {
  times: number
  /** Of its name, for chance. */
  readonly hash: number
}

/** What outlives the lives of a process. */
export interface Lineage {
  readonly name: string
  /** Of its date, milliseconds: a machine keeps it over the lives of a process. */
  wallOffset: number
  crash(againAfterMs: number): void
  /** Counts the step. */
  comesTo(step: string, kinds: readonly FaultKind[]): Counted
  /** What is to happen there. */
  faultAt(counted: Counted): Fault | undefined
}

/** What can be told of a step. */
export interface StepOptions<T> extends StageStep<T> {
  /** What `lose` answers. */
  readonly lost?: (() => T) | undefined
  /** Does it a second time. Default: the call again. */
  readonly again?: (() => Promise<unknown> | unknown) | undefined
}

/** One coming to a step. Nearly all of a run's work goes through one, so that it is one object, without a closure for each of its stations. */
class Visit<T> {
  readonly life: Life
  readonly step: string
  readonly nth: number
  readonly call: () => Promise<T> | T
  readonly options: StepOptions<T>
  readonly site: Site | undefined
  resolve: (answer: T) => void = nothing
  reject: (error: unknown) => void = nothing
  /** What came of it, for when it is back. */
  came: T | unknown = undefined
  failed = false
  #chance: number

  constructor(
    life: Life,
    counted: Counted,
    call: () => Promise<T> | T,
    options: StepOptions<T>,
    site: Site | undefined,
  ) {
    this.life = life
    this.step = counted.step
    this.nth = counted.times
    this.call = call
    this.options = options
    this.site = site
    this.#chance = hashOf(String(counted.times), counted.hash) >>> 0
  }

  /** Chance of its own. */
  draw(): number {
    this.#chance = nextChance(this.#chance)
    return chanceIn(this.#chance)
  }
}

const NOTHING_SAID: object = Object.freeze({})

// What a dead process waits for.
const never = <T>(): Promise<T> => new Promise<T>(() => undefined)
const nothing = (): void => undefined

/** Code that belongs to it gets time and chance from here, and leaves it only through `step`. */
export class Life implements StageLife {
  readonly name: string
  readonly clock: Clock
  readonly random: Random
  readonly process: Lineage
  readonly world: Surroundings
  #death: Promise<never> | undefined
  #kill: (reason: unknown) => void = nothing
  #dead = false
  #pausedUntil = 0
  #waiting: (() => void)[] = []
  readonly #mourners: (() => void)[] = []
  #ids = 0

  constructor(world: Surroundings, process: Lineage, count: number) {
    this.world = world
    this.process = process
    this.name = count === 1 ? process.name : `${process.name}#${count}`
    this.random = world.chance(this.name, 'random')
    this.clock = new LifeClock(this)
  }

  get dead(): boolean {
    return this.#dead
  }

  get death(): Promise<never> {
    if (this.#death === undefined) {
      this.#death = new Promise((_, reject) => {
        this.#kill = reject
        if (this.#dead) reject(this.#end())
      })
      this.#death.catch(nothing)
    }
    return this.#death
  }

  /** An id that no other life makes. */
  id(): string {
    return `${this.name}/${++this.#ids}`
  }

  onDeath(mourner: () => void): void {
    if (this.#dead) mourner()
    else this.#mourners.push(mourner)
  }

  /** Neither dead nor standing still. */
  get runs(): boolean {
    return !this.#dead && this.#waiting.length === 0 && this.world.clock.now() >= this.#pausedUntil
  }

  /** Runs something of this process: never once it is dead, and later while it stands still. */
  run(work: () => void): void {
    if (this.#dead) return
    if (this.#waiting.length > 0 || this.world.clock.now() < this.#pausedUntil) this.#waiting.push(work)
    else work()
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.clock.setTimer(resolve, ms, undefined))
  }

  /** Goes out of the process and comes back: a while later, or never, or with a failure that the call did not have. */
  step<T>(step: string, call: () => Promise<T> | T, options: StepOptions<T> = NOTHING_SAID): Promise<T> {
    if (this.#dead) return never()
    const { world, process } = this
    world.steps++
    const counted = process.comesTo(step, options.kinds ?? ANYWHERE)
    const fault = process.faultAt(counted)
    const visit = new Visit(this, counted, call, options, world.sites?.here())
    return fault === undefined ? this.#calmStep(visit) : this.#struckStep(visit, fault)
  }

  // Nearly all steps are of this kind: no promise more than needed.
  #calmStep<T>(visit: Visit<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      visit.resolve = resolve
      visit.reject = reject
      this.#later(Life.#begin as (visit: Visit<T>) => void, this.#delay(visit), visit)
    })
  }

  static #begin<T>(visit: Visit<T>): void {
    const { life, call, options } = visit
    life.#arrives(visit)
    let answer: Promise<T> | T
    try {
      answer = options.real === true ? life.world.hold(call) : call()
    } catch (error) {
      life.#comesBack(visit, true, error)
      return
    }
    if (isThenable(answer))
      answer.then(
        (value) => life.#comesBack(visit, false, value),
        (error: unknown) => life.#comesBack(visit, true, error),
      )
    else life.#comesBack(visit, false, answer)
  }

  #comesBack<T>(visit: Visit<T>, failed: boolean, came: T | unknown): void {
    if (failed) this.#failed(visit, came)
    else this.#done(visit, came as T)
    visit.failed = failed
    visit.came = came
    if (visit.draw() >= 0.7) this.#later(tell as (visit: Visit<T>) => void, this.#delay(visit), visit)
    else if (this.runs) tell(visit)
    else this.run(() => tell(visit))
  }

  // A timer that nobody clears.
  #later<A>(callback: (arg: A) => void, ms: number, arg: A): void {
    this.clock.setTimer(callback, ms, arg)
  }

  async #struckStep<T>(visit: Visit<T>, fault: Fault): Promise<T> {
    const { world } = this
    const { step, call, options } = visit
    const back = (): Promise<void> => new Promise((resolve) => this.#back(visit, resolve))
    await this.sleep(this.#delay(visit))
    this.#arrives(visit)
    this.#strike(fault, visit.site)
    if (fault.kind === 'crash-before') return this.#crash(fault)
    if (fault.kind === 'pause-before') await this.#pause(fault)
    if (fault.kind === 'fail-before') throw options.unanswered === true ? unanswered(step) : refused(step)
    if (fault.kind === 'lose' && options.lost !== undefined) return options.lost()
    if (fault.kind === 'twice') await (options.again ?? call)()
    let answer: T
    try {
      answer = await (options.real === true ? world.hold(call) : call())
    } catch (error) {
      this.#failed(visit, error)
      await back()
      throw error
    }
    this.#done(visit, answer, fault)
    if (fault.kind === 'crash-after') return this.#crash(fault)
    if (fault.kind === 'pause-after') await this.#pause(fault)
    await back()
    if (fault.kind === 'fail-after') throw unanswered(step)
    return answer
  }

  #arrives<T>({ step, nth }: Visit<T>): void {
    const { world } = this
    world.record?.push(`${this.name} ${step} ${nth} at ${world.clock.now()} ms`)
  }

  #done<T>({ step, nth, options }: Visit<T>, answer: T, fault?: Fault): void {
    const { world } = this
    const idle = options.idle?.(answer) === true
    if (!idle) {
      world.lastActiveAt = world.clock.now()
      world.lastActive = { who: this.name, step }
    }
    if (world.trace !== undefined && (!idle || fault !== undefined))
      world.note(this.name, () => {
        const words = options.words?.() ?? ''
        const said = options.answer?.(answer) ?? ''
        return `${step} ${nth}${words === '' ? '' : `: ${words}`}${said === '' ? '' : ` -> ${said}`}`
      })
    world.always?.()
    if (fault !== undefined && isAfter(fault.kind)) world.note(this.name, () => `*** ${faultText(fault)}`)
  }

  #failed<T>({ step, nth, options }: Visit<T>, error: unknown): void {
    const { world } = this
    world.lastActiveAt = world.clock.now()
    world.note(this.name, () => `${step} ${nth}: ${options.words?.() ?? ''} failed: ${String(error)}`)
  }

  returning<T>(answer: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      answer.then(
        (value) => this.run(() => resolve(value)),
        (error: unknown) => this.run(() => reject(error)),
      )
    })
  }

  die(): void {
    if (this.#dead) return
    this.#dead = true
    this.#waiting = []
    if (this.#death !== undefined) this.#kill(this.#end())
    for (const mourner of this.#mourners) mourner()
  }

  #end(): Error {
    return new Error(`${this.name} was killed`)
  }

  #strike(fault: Fault, site: Site | undefined): void {
    const { world, process } = this
    const { kind, ms } = fault
    if (kind === 'clock-forward') process.wallOffset += ms
    if (kind === 'clock-back') process.wallOffset -= ms
    const now = world.clock.now()
    world.fired.push(fault)
    world.lastActiveAt = now
    world.lastFaultAt = Math.max(world.lastFaultAt, now + (isInstant(kind) ? 0 : ms))
    if (site !== undefined) world.sites?.struck(fault, site)
    if (!isAfter(kind)) world.note(this.name, () => `*** ${faultText(fault)}`)
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

  #back<T>(visit: Visit<T>, then: () => void): void {
    if (visit.draw() < 0.7) this.run(then)
    else this.clock.setTimer(then, this.#delay(visit), undefined)
  }

  // Mostly next to nothing, now and then a fifth of a second.
  #delay<T>(visit: Visit<T>): number {
    const { jitter } = this.world.schedule
    if (jitter === 0) return 1
    const drawn = visit.draw()
    const ms = (drawn < 0.7 ? 2 : drawn < 0.95 ? 20 : 200) * visit.draw()
    return ms * jitter
  }
}

// Back where it was begun.
function tell<T>(visit: Visit<T>): void {
  if (visit.failed) visit.reject(visit.came)
  else visit.resolve(visit.came as T)
}

function isInstant(kind: FaultKind): boolean {
  return !kind.startsWith('pause') && !kind.startsWith('crash')
}

function isThenable<T>(answer: Promise<T> | T): answer is Promise<T> {
  return typeof (answer as Promise<T> | undefined)?.then === 'function'
}

function isAfter(kind: FaultKind): boolean {
  return kind.endsWith('-after')
}

function refused(step: string): Error {
  return bareError({ code: 'CONNECTION_REFUSED', message: `${step} was refused`, effect: 'none' })
}

function unanswered(step: string): Error {
  return bareError({ code: 'CONNECTION_LOST', message: `${step} was not answered`, effect: 'unknown' })
}
