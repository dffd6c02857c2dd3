// SQL databases for a crash test: the user's handlers run on their own dialect, over their own driver and store, and each run is rolled back.
import type { Clock } from '../../core/clock.ts'
import type { SqlDriver, Store } from '../../core/contracts/store.ts'
import { invalidOption, knownOptions } from '../../core/options.ts'
import { SqlConnection } from './sql-connection.ts'
import { postgresDialect, sqliteDialect } from './sql-dialect.ts'
import { SqlView } from './sql-view.ts'
import type { DatabaseStage, StageContext, StageDatabase } from './stage.ts'

/** The driver that a store of a run is given: the user's own kind, as far as it is one of fairlead. */
export type StageDriver<D extends SqlDriver<any>> = Pick<
  D,
  keyof D & keyof Omit<SqlDriver<unknown>, 'listen' | 'closes'>
>

/** Options of `sqlStage`. */
export interface SqlStageOptions<D extends SqlDriver<any>, S extends Store<any>> {
  /**
   * A driver on a database of its own, with one connection: SQLite in memory, or PGlite. Or how to open it, once for the whole crash test. Nobody else may use it meanwhile.
   */
  readonly driver: D | (() => Promise<D> | D)
  /**
   * Makes the store of a process on the driver that it is given: `own.store(...)` answers what this answers, so it may carry more (`{ ...store, driver }`).
   * Called for each life of each process; spread `own` into the store's options where it takes a clock.
   */
  readonly store: (driver: StageDriver<D>, own: { readonly clock: Clock }) => S
  /** Makes the tables of the user, once. Those of the store are made before. Default: there are none, or they are there. */
  readonly migrate?: ((driver: D) => Promise<unknown> | unknown) | undefined
  /** Ends what `driver` has opened, after the last run. Default: nothing is ended. */
  readonly close?: ((driver: D) => Promise<unknown> | unknown) | undefined
}

/** What the invariant may ask of an SQL database. */
export interface SqlFacts {
  /** Rows of a statement in the user's own dialect. It sees what is committed; and while the run goes on (`done`), also what an open transaction has written. */
  query(text: string, params?: readonly unknown[] | undefined): Promise<readonly Record<string, any>[]>
}

const WHEN = Number.MAX_SAFE_INTEGER

/**
 * A database that speaks SQL, for `world.database(name, stage)`. It is opened once and its tables are made once; each run is one transaction that is rolled back, so a run costs only its statements.
 *
 * Each statement is a step at which the process may crash, and a crash undoes the transaction that was open. There is one connection, so transactions take turns: what happens
 * between two that are open at once (row locks, lost updates inside one transaction, deadlocks) is not found. On PostgreSQL the time of the database is the run's, and sequences begin anew with each run.
 * @throws FairleadError `INVALID_OPTIONS`
 * @example
 * const stage = sqlStage({
 *   driver: () => libsqlDriver(new Database(':memory:')),
 *   store: (driver, { clock }) => sqliteStore(driver, { clock }),
 *   migrate: (driver) => driver.execute('create table orders (id text primary key)', []),
 * })
 */
export function sqlStage<D extends SqlDriver<any>, S extends Store<any>>(
  options: SqlStageOptions<D, S>,
): DatabaseStage<S, SqlFacts> {
  knownOptions('sqlStage', options, ['driver', 'store', 'migrate', 'close'])
  const { driver: given, store: storeOn, migrate, close } = options
  if (typeof given !== 'function') mustBeDriver(given)
  if (typeof storeOn !== 'function')
    throw invalidOption('store', storeOn, 'give (driver, own) => a store on this driver')
  let taken = false
  return {
    name: 'sql',
    async open(context): Promise<StageDatabase<S, SqlFacts>> {
      if (taken)
        throw invalidOption('stage', context.name, 'one connection is one database: give each name a stage of its own')
      taken = true
      try {
        return await opened(context)
      } catch (error) {
        // It can be tried again.
        taken = false
        throw error
      }
    },
  }

  async function opened({ name, clock, random }: StageContext): Promise<StageDatabase<S, SqlFacts>> {
    const driver = typeof given === 'function' ? await given() : given
    mustBeDriver(driver)
    const own = { clock }
    const connection = new SqlConnection(
      driver,
      driver.dialect === 'sqlite' ? sqliteDialect : postgresDialect,
      clock,
      random,
    )
    await connection.open(async () => {
      await storeOn(driver, own).migrate()
      await migrate?.(driver)
    })
    const facts: SqlFacts = { query: async (text, params = []) => (await connection.look(text, params)).rows }
    // Without any step: for those who only look.
    const looking = storeOn(
      {
        dialect: driver.dialect,
        transaction: (work: (tx: unknown) => Promise<unknown>) => work(connection.outer),
        isTransaction: (candidate: unknown) => candidate === connection.outer,
        query: (_: unknown, text: string, params: readonly unknown[]) => connection.look(text, params),
        execute: (text: string, params: readonly unknown[]) => connection.look(text, params),
      } as unknown as StageDriver<D>,
      own,
    )
    const kinds = new Set<string>()
    let counted = { at: -1, pending: 0 }
    const count = async (): Promise<number> => {
      let waking = 0
      for (const kind of kinds) waking += (await looking.states.due(kind, WHEN, 1)).length
      return (await looking.outbox.stats()).backlog + waking
    }
    return {
      async reset() {
        kinds.clear()
        await connection.reset()
      },
      connect(life) {
        const view = new SqlView(connection, life, name)
        const make = (on: SqlDriver<any>): S => storeOn(on as unknown as StageDriver<D>, { clock: life.clock })
        return withParts(make(view.driver()), make(view.bare()), view, kinds)
      },
      facts,
      async pending() {
        const at = connection.changes
        if (at !== counted.at) counted = { at, pending: await count() }
        return counted.pending
      },
      async close() {
        taken = false
        await connection.close()
        await close?.(driver)
      },
    }
  }
}

// The user's transactions and statements are steps one by one, those of fairlead as one. The tables are there already, and who makes them again does nothing.
function withParts<S extends Store<any>>(store: S, bare: S, view: SqlView<any>, kinds: Set<string>): S {
  const states = view.part('states', bare.states)
  return {
    ...store,
    outbox: { ...view.part('outbox', bare.outbox), dead: store.outbox.dead },
    inbox: view.part('inbox', bare.inbox),
    idempotency: view.part('idempotency', bare.idempotency),
    states: {
      ...states,
      list: store.states.list,
      save: (tx, kind, ...rest) => {
        kinds.add(kind)
        return states.save(tx, kind, ...rest)
      },
    },
    checkpoints: view.part('checkpoints', bare.checkpoints),
    migrate: async () => ({ applied: [] }),
    check: async () => undefined,
  }
}

function mustBeDriver(driver: unknown): void {
  const { dialect, transaction, query } = (driver ?? {}) as Partial<SqlDriver<unknown>>
  if (
    (dialect !== 'sqlite' && dialect !== 'postgres') ||
    typeof transaction !== 'function' ||
    typeof query !== 'function'
  )
    throw invalidOption(
      'driver',
      driver,
      'give a driver for SQLite or PostgreSQL, on a database of its own, or a function that opens one',
    )
}
