// What a store's author gives the suite: a way to open stores on one set of tables, and, where there is one, a way to trouble the database below.
import type { Clock, Random } from '../../core/clock.ts'
import type { Store } from '../../core/contracts/store.ts'

/** How a store is to be opened. */
export interface StoreOpenOptions {
  /** Keep what was published. Absent: the store's own default, which is not to. */
  readonly archive?: boolean | undefined
  /** Which service the tables belong to. Absent: nobody says so. */
  readonly owner?: string | undefined
  /** One of the `levels` of the lab, for the transactions of this store. */
  readonly level?: string | undefined
}

/** A transaction that no store began. */
export interface ForeignTransaction<Tx> {
  readonly tx: Tx
  commit(): Promise<void>
  rollback(): Promise<void>
}

/**
 * Tables for one case of the suite, empty and migrated, and what can be done to what lies below. What is absent is not tried: the cases that need it are left out,
 * by name and reason.
 */
export interface StoreLab<Tx = any> {
  /** One more store on the same tables, as another process would have it. The suite closes what it opened. */
  open(options?: StoreOpenOptions | undefined): Store<Tx> | Promise<Store<Tx>>
  /** The clock that `until` of leases is on. Default: real time. */
  readonly clock?: Clock | undefined
  /** Lets time pass for the store: moves an injected clock. Default: really waits. */
  pass?(ms: number): Promise<void>
  /** How long leases and delays of the suite last, milliseconds. Default 1,000; less where time is real and the store is quick. */
  readonly leaseMs?: number | undefined
  /** A transaction as users begin one with their own client; where a client is one connection, the one of this store (default: the first that was opened). */
  begin?(store?: Store<Tx> | undefined): Promise<ForeignTransaction<Tx>>
  /** Something a user writes, under a name, in a transaction of whatever origin. */
  effect?(tx: Tx, name: string): Promise<void>
  /** Names of what users have written and committed, in any order. */
  effects?(): Promise<readonly string[]>
  /** What is no transaction, however much it looks like one: a pool, a handle. */
  readonly notTransactions?: readonly unknown[] | undefined
  /** A store on tables that nobody has made yet: a place of its own, the same one for each call. */
  unmigrated?(options?: StoreOpenOptions | undefined): Store<Tx> | Promise<Store<Tx>>
  /** Isolation levels to try the order of keys at, besides the default; see `open`. */
  readonly levels?: readonly string[] | undefined
  /** Whether a transaction that writes waits until every other one is over, for as long as that takes. Default false. */
  readonly serial?: boolean | undefined
  /** Kills the database and starts it again on its data. Resolves once it is up. */
  restart?(): Promise<void>
  /** Sets the date of the store by so much, for a while: answers how to set it back. */
  shiftDate?(ms: number): Promise<() => Promise<void>>
  /** How many rows the heavy cases write. Default 1,000. */
  readonly heavy?: number | undefined
  /** How long to wait for what should happen, in real milliseconds. Default 10,000; with `pass` 1,000. */
  readonly patienceMs?: number | undefined
  /** How long to watch that something does not happen. Default 100. */
  readonly quietMs?: number | undefined
  /** Pauses and choices of the suite. Default: the same ones in each run. */
  readonly random?: Random | undefined
  /** Ends the lab: takes the tables away, where that has to be done. */
  close?(): Promise<void>
}
