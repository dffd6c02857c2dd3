// The user's system as a scenario: made anew for each run, with its services, clients and databases.
import { BrokerState } from '../../adapters/memory/broker.ts'
import { Topic } from '../../adapters/memory/channels.ts'
import type { Clock, Random } from '../../core/clock.ts'
import type { ChannelAddress } from '../../core/message.ts'
import { durationOption, invalidOption, knownOptions } from '../../core/options.ts'
import { Database } from './database.ts'
import type { Life } from './life.ts'
import { memoryStage } from './memory-stage.ts'
import { Network } from './network.ts'
import { type Common, partyOf } from './party.ts'
import type { Finding, Running, Scenario } from './run.ts'
import type { FaultKind } from './schedule.ts'
import type { DatabaseStage, StageDatabase } from './stage.ts'
import { BrokenAlways, messageOf, StoppedWithoutFault } from './thrown.ts'
import type {
  CrashClient,
  CrashClientOptions,
  CrashDatabase,
  CrashMemoryDatabase,
  CrashService,
  CrashWorld,
} from './types.ts'
import type { World } from './world.ts'

/** What the runs of a crash test have in common. */
export interface SystemSettings<F> {
  readonly name: string
  readonly system: (world: CrashWorld) => F | Promise<F>
  readonly invariant: (facts: F) => unknown
  readonly always: ((facts: F) => void) | undefined
  readonly done: ((facts: F) => boolean | Promise<boolean>) | undefined
  readonly leaseMs: number
  readonly quietMs?: number | undefined
  readonly patienceMs: number
  readonly allows: ReadonlySet<FaultKind>
}

/** How long an answer is waited for, unless a client says otherwise. */
export const CALL_TIMEOUT_MS: number = 10_000
/** A service whose start has not ended by then, nothing having gone wrong, is taken for started. */
const STARTING_MS = 1_000
/** For what comes late: what is on its way, and leases of receivers. */
const LATE_MS = 250

/** The rule that a broken invariant breaks. */
export const INVARIANT = 'invariant'
/** The rule that a run breaks which never becomes quiet. */
export const QUIET = 'quiet'

/** A scenario of the user's. What is opened for it stays open until `close`. */
export class SystemScenario<F> implements Scenario {
  readonly name: string
  readonly size = 1
  readonly #settings: SystemSettings<F>
  readonly #stages = new Map<string, OpenStage>()
  #clock: Clock | undefined
  #random: Random | undefined

  constructor(settings: SystemSettings<F>) {
    this.name = settings.name
    this.#settings = settings
  }

  async set(world: World): Promise<Running> {
    this.#clock = world.clock
    this.#random = world.chance('databases')
    const run = new SystemRun(world, this.#settings)
    const { system } = this.#settings
    const facts = await system(run)
    run.checkParties()
    for (const [name, stage] of run.stages) {
      const open = await this.#open(name, stage)
      await open.reset()
      run.opened.set(name, open)
    }
    run.begin(facts)
    return run
  }

  /** Ends what was opened. */
  async close(): Promise<void> {
    for (const { database } of this.#stages.values()) await database.close()
    this.#stages.clear()
  }

  async #open(name: string, stage: DatabaseStage): Promise<StageDatabase<unknown, unknown>> {
    const known = this.#stages.get(name)
    if (known !== undefined && known.stage !== stage.name)
      throw invalidOption(
        'stage',
        stage.name,
        `the database ${name} was on ${known.stage} before: give the same each time`,
      )
    if (known !== undefined) return known.database
    const clock = (): Clock => this.#clock as Clock
    const database = await stage.open({
      name,
      clock: {
        now: () => clock().now(),
        wallNow: () => clock().wallNow(),
        setTimer: (callback, ms, arg) => clock().setTimer(callback, ms, arg),
        clearTimer: (timer) => clock().clearTimer(timer),
        unref: () => undefined,
      },
      random: () => (this.#random as Random)(),
    })
    this.#stages.set(name, { stage: stage.name, database })
    return database
  }
}

interface OpenStage {
  readonly stage: string
  readonly database: StageDatabase<unknown, unknown>
}

/** One run of it. */
class SystemRun<F> implements CrashWorld, Running, Common {
  readonly clock: Clock
  readonly network: Network = new Network()
  readonly broker: BrokerState
  readonly leaseMs: number
  readonly everyMs = 20
  readonly graceMs: number
  readonly patienceMs: number
  readonly #quietMs: number
  readonly stages: Map<string, DatabaseStage> = new Map()
  readonly opened: Map<string, StageDatabase<unknown, unknown>> = new Map()
  readonly #world: World
  readonly #settings: SystemSettings<F>
  readonly #names = new Set<string>()
  readonly #clients: (() => void)[] = []
  /** Clients that are not through. */
  readonly #busy = new Set<string>()
  /** A database that was not through when it was last asked. */
  #pending: string | undefined
  /** That it is never quiet, and what it still does. */
  #restless: string | undefined
  #begun = false
  #facts: F | undefined
  #askedAt = -Infinity

  constructor(world: World, settings: SystemSettings<F>) {
    this.#world = world
    this.#settings = settings
    this.clock = world.clock
    this.leaseMs = settings.leaseMs
    this.patienceMs = settings.patienceMs
    this.#quietMs = settings.quietMs ?? settings.leaseMs + LATE_MS
    this.graceMs = settings.done === undefined ? 0 : settings.leaseMs + LATE_MS
    this.broker = new BrokerState({ clock: world.clock })
  }

  // ---- what the user's system calls

  database(name: string): CrashMemoryDatabase
  database<S, G>(name: string, stage: DatabaseStage<S, G>): CrashDatabase<S, G>
  database(name: string, stage: DatabaseStage = memoryStage()): CrashDatabase | CrashMemoryDatabase {
    this.#mustSet('database')
    nameOf('name', name)
    if (typeof stage?.open !== 'function') throw invalidOption('stage', stage, 'give a stage, or leave it out')
    if (this.stages.has(name)) throw invalidOption('name', name, 'there is a database of that name: use that one')
    this.stages.set(name, stage)
    return new Database(name, this.opened) as CrashMemoryDatabase
  }

  prepare(channel: ChannelAddress, group?: string | undefined): void {
    this.#mustSet('prepare')
    const { kind, name } = channel ?? {}
    if ((kind !== 'queue' && kind !== 'topic') || typeof name !== 'string')
      throw invalidOption('channel', channel, 'give what queue() or topic() made')
    if (group !== undefined && (kind !== 'topic' || typeof group !== 'string'))
      throw invalidOption('group', group, 'give the name of a group of a topic, or leave it out')
    const made = this.broker.create({ kind, name })
    if (group !== undefined && made instanceof Topic) made.group(group, 'latest')
  }

  service(name: string, start: (own: CrashService) => unknown): void {
    this.#mustSet('service')
    this.#party(name, start)
    const process = this.#world.process(name, (life) => start(partyOf(life, this, CALL_TIMEOUT_MS)))
    process.allows = this.#settings.allows
    const failed = (error: unknown): void => this.#stopped(`the start of service ${name}`, error)
    process.failed = failed
    this.network.services.set(name, process)
  }

  client(name: string, run: (own: CrashClient) => unknown, options: CrashClientOptions = {}): void {
    this.#mustSet('client')
    this.#party(name, run)
    knownOptions('client', options, ['timeoutMs'])
    const timeoutMs = durationOption('timeoutMs', options.timeoutMs, CALL_TIMEOUT_MS)
    const world = this.#world
    const process = world.process(name, async (life) => {
      try {
        await run(partyOf(life, this, timeoutMs))
      } catch (error) {
        world.note(life.name, () => `gave up: ${String(error)}`)
        this.#stopped(`the client ${name}`, error)
      } finally {
        this.#busy.delete(name)
        world.lastActiveAt = world.clock.now()
      }
    })
    process.allows = new Set([...this.#settings.allows].filter((kind) => kind.startsWith('fail') || kind === 'twice'))
    this.#busy.add(name)
    this.#clients.push(() => process.start())
  }

  // ---- what a run asks

  /** @throws FairleadError `INVALID_OPTIONS` for a system in which nothing happens */
  checkParties(): void {
    if (this.#names.size === 0)
      throw invalidOption('system', [], 'it has no service: begin one with world.service(name, start)')
  }

  begin(facts: F): void {
    this.#begun = true
    this.#facts = facts
    const { always } = this.#settings
    if (always !== undefined)
      this.#world.always = () => {
        try {
          const answer: unknown = always(facts)
          if (answer instanceof Promise) {
            answer.catch(() => undefined)
            this.#world.fail(
              invalidOption(
                'always',
                always,
                'it must not be async; what has to be waited for belongs in the invariant',
              ),
            )
          }
        } catch (error) {
          this.#world.fail(new BrokenAlways(error))
        }
      }
  }

  start(): void {
    const { services } = this.network
    const { clock } = this.#world
    let waiting = true
    const begin = (): void => {
      if (!waiting) return
      waiting = false
      for (const client of this.#clients) client()
    }
    const look = (): void => {
      const leftMs = this.#world.lastFaultAt + STARTING_MS - clock.now()
      if (leftMs <= 0) begin()
      else clock.setTimer(look, leftMs, undefined)
    }
    const begun = (): void => {
      if (waiting && [...services.values()].every(({ up }) => up)) begin()
    }
    for (const process of services.values()) process.begun = begun
    for (const process of services.values()) process.start()
    if (services.size === 0) begin()
    else look()
  }

  done(): boolean | Promise<boolean> {
    const { done } = this.#settings
    return done === undefined ? this.#quiet() : this.#saysDone(done)
  }

  #saysDone(done: (facts: F) => boolean | Promise<boolean>): boolean | Promise<boolean> {
    const failed = (error: unknown): boolean => {
      this.#world.fail(error)
      return true
    }
    try {
      const answer = done(this.#facts as F)
      return typeof answer === 'boolean' ? answer : Promise.resolve(answer).then((said) => said === true, failed)
    } catch (error) {
      return failed(error)
    }
  }

  async judge(): Promise<readonly Finding[]> {
    const restless = this.#restless
    if (restless !== undefined) return [{ rule: QUIET, message: restless, cause: new Error(restless) }]
    try {
      await this.#settings.invariant(this.#facts as F)
      return []
    } catch (error) {
      return [{ rule: INVARIANT, message: messageOf(error), cause: error }]
    }
  }

  late(): void {
    // Whoever says himself when it is done has asked for it as it stands.
    if (this.#settings.done !== undefined) return
    // Nothing happens any more: what is left are messages and rows that nobody takes.
    if (this.#busy.size === 0 && this.#world.sleeping === 0 && this.#stillMs >= this.#quietMs) return
    this.#restless = `it is not quiet ${this.patienceMs} ms (virtual) after its last fault: ${this.#left}. What never ends by itself (a poll, a timer that repeats) needs \`done\`, to say when all that has to happen has happened; what only takes long needs a longer \`patienceMs\``
  }

  connect(database: CrashDatabase, life: Life): unknown {
    const open = this.opened.get(database?.name)
    if (open === undefined)
      throw invalidOption('database', database, 'give what world.database(name) of this run returned')
    return open.connect(life)
  }

  // Nothing is under way, and nothing is left that would begin something.
  #quiet(): boolean | Promise<boolean> {
    const world = this.#world
    const now = world.clock.now()
    if (this.#busy.size > 0 || world.sleeping > 0) return false
    if (this.#stillMs < this.#quietMs || this.broker.unsettled > 0) return false
    // Asking a database may cost something.
    if (now - this.#askedAt < LATE_MS) return false
    this.#askedAt = now
    return this.#nothingPending()
  }

  // Since anything has happened.
  get #stillMs(): number {
    const { clock, lastActiveAt, lastFaultAt } = this.#world
    return clock.now() - Math.max(lastActiveAt, lastFaultAt)
  }

  // What keeps it from being quiet.
  get #left(): string {
    const { sleeping, lastActive } = this.#world
    const left = [
      ...[...this.#busy].map((name) => `the client ${name} is at work`),
      ...(sleeping > 0 ? [`${sleeping} wait by own.sleep`] : []),
      ...(this.broker.unsettled > 0 ? [`messages that wait or are held: ${this.broker.unsettled}`] : []),
      ...(this.#pending === undefined ? [] : [`in the database ${this.#pending} something is still to do`]),
    ]
    return [
      ...left,
      ...(lastActive === undefined ? [] : [`the last step was ${lastActive.step} of ${lastActive.who}`]),
    ].join('; ')
  }

  #nothingPending(): boolean | Promise<boolean> {
    this.#pending = undefined
    const waits: Promise<unknown>[] = []
    for (const [name, open] of this.opened) {
      const pending = open.pending()
      if (typeof pending !== 'number') waits.push(pending.then((count) => count > 0 && this.#toDo(name)))
      else if (pending > 0) return this.#toDo(name)
    }
    return waits.length === 0 || Promise.all(waits).then(() => this.#pending === undefined)
  }

  #toDo(database: string): false {
    this.#pending = database
    return false
  }

  // A program that ends by itself without any fault is wrong, or its test is.
  #stopped(who: string, error: unknown): void {
    if (this.#world.calm) this.#world.fail(new StoppedWithoutFault(who, error))
  }

  #mustSet(what: string): void {
    if (this.#begun)
      throw invalidOption('world', what, `call world.${what} while the system is set up, not in what runs in it`)
  }

  #party(name: unknown, start: unknown): void {
    nameOf('name', name)
    if (typeof start !== 'function') throw invalidOption('start', start, 'give a function of the process')
    if (this.#names.has(name as string))
      throw invalidOption('name', name, 'there is a service or a client of that name')
    this.#names.add(name as string)
  }
}

function nameOf(option: string, name: unknown): void {
  if (typeof name !== 'string' || !/^[^\s#]{1,100}$/.test(name))
    throw invalidOption(option, name, 'give a name without spaces and #')
}
