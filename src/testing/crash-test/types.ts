// What a system under a crash test is written with.
import type { MemoryStore } from '../../adapters/memory/store/store.ts'
import type { Clock, Random } from '../../core/clock.ts'
import type { RpiTransport } from '../../core/contracts/rpi.ts'
import type { MessageTransport } from '../../core/contracts/transport.ts'
import type { ChannelAddress } from '../../core/message.ts'
import type { CrashServer } from './contracts.ts'
import type { MemoryFacts } from './memory-stage.ts'
import type { DatabaseStage } from './stage.ts'

/** Time, chance and ids of a process: the same in each run of a seed. To be spread wherever fairlead takes one of them: every factory that does takes all three. */
export interface CrashOptions {
  readonly clock: Clock
  readonly random: Random
  /** An id that no other process and no other life makes. */
  readonly newId: () => string
}

/** A database of a run, outside of every process: what is committed in it survives them. */
export interface CrashDatabase<S = unknown, F = unknown> {
  readonly name: string
  /** For the invariant: what is committed. */
  readonly facts: F
  /** What a process gets of it; a type only. */
  readonly store?: S | undefined
}

/** A database in memory. */
export interface CrashMemoryDatabase extends CrashDatabase<MemoryStore, MemoryFacts>, MemoryFacts {}

/** A process or a client: code that has only time, chance and ways out that the crash test gives it. */
export interface CrashParty {
  /** Of this life: `shop`, and after a crash `shop#2`. */
  readonly name: string
  readonly clock: Clock
  readonly random: Random
  /** An id that no other process and no other life makes. */
  readonly newId: () => string
  /** `clock`, `random` and `newId` in one. */
  readonly options: CrashOptions
  /** A transport of its own over the broker of the run, every call of it a step. */
  readonly transport: MessageTransport
  /**
   * For proxies: `createProxy(Inventory, { transport: own.rpi, ...own.options })` calls whoever serves the contract, as over HTTP. Each attempt is a step: it may be refused (`CONNECTION_REFUSED`, effect `none`)
   * or lose its answer (`CONNECTION_LOST`, effect `unknown`), and either side may die in the middle. Where several processes serve it, they take turns. Operations that stream are refused
   * (`CAPABILITY_MISSING`).
   */
  readonly rpi: RpiTransport
  /** Waits in virtual time. */
  sleep(ms: number): Promise<void>
  /**
   * A call that leaves the process: it takes a while, may be refused (`CONNECTION_REFUSED`, effect `none`: `work` was not run) or lose its answer (`CONNECTION_LOST`, effect `unknown`: it was),
   * and the process may die right before it or right after it. With `twice` it may be done twice.
   */
  step<T>(name: string, work: () => Promise<T> | T, options?: CrashStepOptions): Promise<T>
  /**
   * Asks a service, as over a network. What is sent and answered is copied.
   * @throws FairleadError `CONNECTION_REFUSED` (effect `none`) while nobody answers, `CONNECTION_LOST` and `DEADLINE_EXCEEDED` (effect `unknown`), and what the operation throws: as it is, or as the
   * cause of a `SERVER_ERROR` (effect `unknown`)
   */
  call<T = unknown>(service: string, operation: string, ...args: readonly unknown[]): Promise<T>
}

/** How a step of the user's own is done. */
export interface CrashStepOptions {
  /** It may be done twice, as where something between repeats requests. Default false. */
  readonly twice?: boolean | undefined
  /** `work` does something that takes real time (a file, `zlib`, a worker): virtual time stands still until it is through. Default false. */
  readonly real?: boolean | undefined
}

/** One life of a service: from its start to its crash. */
export interface CrashService extends CrashParty {
  /** This life's view of a database: `begin`, `commit` and every call of outbox, inbox and states (in SQL: every statement) is a step. The same one for the same database. */
  store<S>(database: CrashDatabase<S, unknown>): S
  /** Answers requests, from now on and as long as this life lasts. */
  serve<A extends readonly unknown[]>(operation: string, work: (...args: A) => unknown): void
  /** Serves a contract, as in production: `own.serve(createServerAdapter(Inventory, handlers, own.options))`. It is found by its contract's name, whatever the process is called. */
  serve(server: CrashServer): void
}

/** Somebody outside who never crashes. */
export interface CrashClient extends CrashParty {}

/** What a run is made of. */
export interface CrashWorld {
  /** Virtual time, outside of every process. */
  readonly clock: Clock
  /** In memory. */
  database(name: string): CrashMemoryDatabase
  /** On a stage of its own; opened once, by its name, and emptied for each run. */
  database<S, F>(name: string, stage: DatabaseStage<S, F>): CrashDatabase<S, F>
  /** A queue, a topic, a group of a topic that is there before anything starts, as the last deployment has left it: what is sent before its first receiver comes waits for it. */
  prepare(channel: ChannelAddress, group?: string | undefined): void
  /**
   * A process: `start` is called at the beginning and again after each crash; what it rejects with ends that life too.
   * @throws FairleadError `INVALID_OPTIONS`
   */
  service(name: string, start: (own: CrashService) => unknown): void
  /** Somebody outside, who begins once every service has started. What `run` rejects with ends him; where that happens without any fault, the test says so. */
  client(name: string, run: (own: CrashClient) => unknown, options?: CrashClientOptions): void
}

/** How a client waits. */
export interface CrashClientOptions {
  /** For an answer, virtual milliseconds. Default 10,000. */
  readonly timeoutMs?: number | undefined
}
