// What the code of a process is given.
import type { BrokerState } from '../../adapters/memory/broker.ts'
import type { RpiTransport } from '../../core/contracts/rpi.ts'
import type { MessageTransport } from '../../core/contracts/transport.ts'
import { invalidOption, knownOptions } from '../../core/options.ts'
import type { CrashServer } from './contracts.ts'
import type { Life } from './life.ts'
import type { Network, Operation } from './network.ts'
import { ANYWHERE, TWICE } from './steps.ts'
import { transportOf } from './transport-door.ts'
import type { CrashClient, CrashDatabase, CrashOptions, CrashService, CrashStepOptions } from './types.ts'

/** What all of a run have in common. */
export interface Common {
  readonly network: Network
  readonly broker: BrokerState
  readonly leaseMs: number
  /** A life's view of a database of this run. */
  connect(database: CrashDatabase, life: Life): unknown
}

/** A service, or a client: which of the two is for the type to say. `timeoutMs` bounds its calls. */
export function partyOf(life: Life, common: Common, timeoutMs: number): CrashService & CrashClient {
  return new Party(life, common, timeoutMs)
}

class Party implements CrashService, CrashClient {
  readonly name: string
  readonly clock: Life['clock']
  readonly random: Life['random']
  readonly newId: () => string = () => this.#life.id()
  readonly options: CrashOptions
  readonly #life: Life
  readonly #common: Common
  readonly #timeoutMs: number
  #transport: MessageTransport | undefined
  #rpi: RpiTransport | undefined
  #stores: Map<object, unknown> | undefined

  constructor(life: Life, common: Common, timeoutMs: number) {
    this.#life = life
    this.#common = common
    this.#timeoutMs = timeoutMs
    this.name = life.name
    this.clock = life.clock
    this.random = life.random
    this.options = { clock: life.clock, random: life.random, newId: this.newId }
  }

  get transport(): MessageTransport {
    const { broker, leaseMs } = this.#common
    this.#transport ??= transportOf(this.#life, 'broker', broker, leaseMs)
    return this.#transport
  }

  get rpi(): RpiTransport {
    this.#rpi ??= this.#common.network.contracts.transportOf(this.#life)
    return this.#rpi
  }

  sleep = async (ms: number): Promise<void> => {
    const { world, dead } = this.#life
    // Whoever is dead never wakes, and nobody waits for him.
    if (dead) return this.#life.sleep(ms)
    world.sleeping++
    // What is done upon waking is yet to come.
    const over = (): void => {
      world.sleeping--
      world.lastActiveAt = world.clock.now()
    }
    let awake = false
    this.#life.onDeath(() => {
      if (!awake) over()
    })
    await this.#life.sleep(ms)
    awake = true
    over()
    // What follows has not begun yet.
    world.lastActiveAt = world.clock.now()
  }

  step = <T>(name: string, work: () => Promise<T> | T, options: CrashStepOptions = {}): Promise<T> => {
    if (typeof name !== 'string' || name === '') throw invalidOption('name', name, 'give the step a name')
    if (typeof work !== 'function') throw invalidOption('work', work, 'give a function')
    knownOptions('step', options, ['twice', 'real'])
    const kinds = options.twice === true ? TWICE : ANYWHERE
    return this.#life.step(name, work, { kinds, real: options.real })
  }

  call = <T>(service: string, operation: string, ...args: readonly unknown[]): Promise<T> => {
    return this.#common.network.call(this.#life, service, operation, args, this.#timeoutMs) as Promise<T>
  }

  store = <S>(database: CrashDatabase<S, unknown>): S => {
    this.#stores ??= new Map()
    let store = this.#stores.get(database)
    if (store === undefined) {
      store = this.#common.connect(database, this.#life)
      this.#stores.set(database, store)
    }
    return store as S
  }

  serve = <A extends readonly unknown[]>(operation: string | CrashServer, work?: (...args: A) => unknown): void => {
    if (typeof operation !== 'string') {
      this.#common.network.contracts.serve(this.#life, operation)
      return
    }
    if (typeof work !== 'function') throw invalidOption('work', work, 'give a function of what is asked')
    this.#common.network.serve(this.#life, operation, work as unknown as Operation)
  }
}
