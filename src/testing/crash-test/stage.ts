// A database that a crash test runs on: what `world.database(name, stage)` takes.
import type { Clock, Random } from '../../core/clock.ts'
import type { FaultKind } from './schedule.ts'

/** A kind of database: `memoryStage()`, or one that speaks SQL. `S` is what a process gets (`own.store`), `F` what the invariant may ask. */
export interface DatabaseStage<S = unknown, F = unknown> {
  /** In messages: `memory`, `sqlite`. */
  readonly name: string
  /** Opened when a run first has a database of the name, and kept for all runs of the crash test. */
  open(context: StageContext): Promise<StageDatabase<S, F>> | StageDatabase<S, F>
}

/** Time and chance of the run that is under way, for what happens in the database itself. The clock begins at 0 with each run. */
export interface StageContext {
  /** What `world.database` was called with: steps begin with it (`shop.commit`). */
  readonly name: string
  readonly clock: Clock
  readonly random: Random
}

/** An open database: empty at the beginning of each run, and shared by all processes of it. */
export interface StageDatabase<S, F> {
  /** Before each run, the first one too: nothing of the last one is left. */
  reset(): Promise<void> | void
  /** The view of one life of a process. Everything that it asks passes `life.step`; when the life ends (`onDeath`), its open transaction is rolled back and its turn on the connection given up. */
  connect(life: StageLife): S
  /** For the invariant and for `done`: what is committed, without any step. The same object for all runs. */
  readonly facts: F
  /** How much there is still to do: rows that no relay has published, states that wake by themselves. While there is some, the run goes on (for its patience). */
  pending(): Promise<number> | number
  /** After the last run. */
  close(): Promise<void> | void
}

/** One life of a process, as its view of a database sees it. */
export interface StageLife {
  /** `shop`, and after a crash `shop#2`. */
  readonly name: string
  readonly clock: Clock
  readonly random: Random
  readonly dead: boolean
  /** Rejects when the life ends. Handled already. */
  readonly death: Promise<never>
  /** When the life ends: the world notices (its connections break). Called at once and in order; must not throw. */
  onDeath(mourner: () => void): void
  /** A call that leaves the process: faults strike here. It never settles once the life is over, and answers no process that stands still. */
  step<T>(step: string, call: () => Promise<T> | T, options?: StageStep<T>): Promise<T>
  /** For answers that are no steps: they reach a process that runs, and never a dead one. */
  returning<T>(answer: Promise<T>): Promise<T>
}

/** What a step of a database may be told. */
export interface StageStep<T> {
  /** What can happen here. Default: all that can happen anywhere. At a step without an effect of its own (`begin`) before and after make no difference. */
  readonly kinds?: readonly FaultKind[] | undefined
  /** The call takes real time (a database that is no plain memory): virtual time stands still until it settles. Default false. */
  readonly real?: boolean | undefined
  /** A refusal (`fail-before`) says no more than that no answer came: for a step behind the effect. Default false. */
  readonly unanswered?: boolean | undefined
  /** Whether the answer says that there was nothing to do: a run in which there is nothing else is over. Default: never. */
  readonly idle?: ((answer: T) => boolean) | undefined
  /** For the story. */
  readonly words?: (() => string) | undefined
  readonly answer?: ((answer: T) => string) | undefined
}
