// A process from one start to its end: it leaves itself only by steps, and once it is dead nothing of it goes on.
import type { Clock, Random, Timer } from '../../core/clock.ts'
import { bareError } from './bare-error.ts'
import { chanceFrom, type Fault, type FaultKind, faultText, hashOf, type Schedule, type Step } from './schedule.ts'
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

/** One coming to a step. */
interface Visit<T> {
  readonly step: string
  readonly nth: number
  readonly call: () => Promise<T> | T
  readonly options: StepOptions<T>
  readonly chance: Random
  readonly site: Site | undefined
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
    this.#mourners.push(mourner)
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
    const nth = counted.times
    const fault = process.faultAt(counted)
    const chance = chanceFrom(hashOf(String(nth), counted.hash))
    const visit: Visit<T> = { step, nth, call, options, chance, site: world.sites?.here() }
    return fault === undefined ? this.#calmStep(visit) : this.#struckStep(visit, fault)
  }

  // Nearly all steps are of this kind: no promise more than needed.
  #calmStep<T>(visit: Visit<T>): Promise<T> {
    const { world } = this
    const { call, options, chance } = visit
    return new Promise((resolve, reject) => {
      const done = (answer: T): void => {
        this.#done(visit, answer)
        this.#back(chance, () => resolve(answer))
      }
      const failed = (error: unknown): void => {
        this.#failed(visit, error)
        this.#back(chance, () => reject(error))
      }
      const begin = (): void => {
        this.#arrives(visit)
        let answer: Promise<T> | T
        try {
          answer = options.real === true ? world.hold(call) : call()
        } catch (error) {
          failed(error)
          return
        }
        if (isThenable(answer)) answer.then(done, failed)
        else done(answer)
      }
      this.clock.setTimer(begin, this.#delay(chance), undefined)
    })
  }

  async #struckStep<T>(visit: Visit<T>, fault: Fault): Promise<T> {
    const { world } = this
    const { step, call, options, chance } = visit
    const back = (): Promise<void> => new Promise((resolve) => this.#back(chance, resolve))
    await this.sleep(this.#delay(chance))
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
    if (!idle) world.lastActiveAt = world.clock.now()
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

  #back(chance: Random, then: () => void): void {
    if (chance() < 0.7) this.run(then)
    else this.clock.setTimer(then, this.#delay(chance), undefined)
  }

  // Mostly next to nothing, now and then a fifth of a second.
  #delay(chance: Random): number {
    const { jitter } = this.world.schedule
    if (jitter === 0) return 1
    const draw = chance()
    const ms = draw < 0.7 ? 2 * chance() : draw < 0.95 ? 20 * chance() : 200 * chance()
    return ms * jitter
  }
}

interface LifeTimer<A> {
  readonly life: Life
  readonly callback: (arg: A) => void
  readonly arg: A
  timer: Timer
  off: boolean
}

// Timers of a process that stands still ring when it goes on.
class LifeClock implements Clock {
  readonly #life: Life
  readonly #clock: Clock
  readonly #process: Lineage

  constructor(life: Life) {
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

  unref = nothing
}

// What a timer sets off was begun where it was set.
function began<A>(life: Life, callback: (arg: A) => void): (arg: A) => void {
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
