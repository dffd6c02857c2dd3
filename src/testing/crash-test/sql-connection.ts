// The one connection of an SQL database in a crash test. A whole run is one transaction of it, which is rolled back at the end; a transaction of the run is what lies behind
// the last savepoint, and transactions take turns.
import { AsyncLocalStorage } from 'node:async_hooks'
import type { Clock, Random } from '../../core/clock.ts'
import type { SqlDriver, SqlResult } from '../../core/contracts/store.ts'
import { createError } from '../../errors/classes.ts'
import type { SqlDialect } from './sql-dialect.ts'

const MARK = 'savepoint fairlead_crash_test'
const KEEP = 'release savepoint fairlead_crash_test'
const UNDO = 'rollback to savepoint fairlead_crash_test'

const ROLLED_BACK = Symbol('the run is over')
const nothing = (): void => undefined

/** The right to the connection. */
export interface Turn {
  /** Gives it on. Twice is the same as once. */
  end(): void
}

/** Statements in the transaction of the run, and the order in which others come to it. */
export class SqlConnection<Tx> {
  readonly driver: SqlDriver<Tx>
  readonly dialect: SqlDialect
  /** Inside which transaction of the run the code runs that asks. */
  readonly scopes: AsyncLocalStorage<{ readonly open: boolean }> = new AsyncLocalStorage()
  /** Rises with everything that may have changed what there is to do. */
  changes = 0
  readonly #clock: Clock
  readonly #random: Random
  #beginning: readonly string[] = []
  #outer: Tx | undefined
  #finish: () => void = nothing
  #running: Promise<unknown> = Promise.resolve()
  #holder: Turn | undefined
  readonly #waiting: ((turn: Turn) => void)[] = []
  /** The mark stands behind all that is committed. */
  #marked = false
  #clockAt: number | undefined
  /** Of the dead: what they have begun is undone before anybody else comes. */
  #undoing: Promise<unknown> = Promise.resolve()

  constructor(driver: SqlDriver<Tx>, dialect: SqlDialect, clock: Clock, random: Random) {
    this.driver = driver
    this.dialect = dialect
    this.#clock = clock
    this.#random = random
  }

  /** Makes the tables, before any run. */
  async open(make: () => Promise<unknown>): Promise<void> {
    const execute: SqlDriver<Tx>['execute'] = (text, params) => this.driver.execute(text, params)
    await this.dialect.prepare(execute)
    await make()
    this.#beginning = await this.dialect.beginning(execute)
  }

  /** Nothing of the last run is left, and the next one may begin. */
  async reset(): Promise<void> {
    await this.end()
    this.changes++
    await new Promise<void>((ready, failed) => {
      const over = new Promise<never>((_, reject) => {
        const finish = (): void => reject(ROLLED_BACK)
        this.#finish = finish
      })
      over.catch(nothing)
      this.#running = this.driver
        .transaction(async (tx) => {
          this.#outer = tx
          ready()
          return over
        })
        .catch((error: unknown) => {
          if (error !== ROLLED_BACK) failed(error)
        })
    })
    this.#clockAt = undefined
    this.#marked = true
    await this.#all([...this.#beginning, ...this.dialect.seeded(this.#random()), MARK])
  }

  /** Rolls back the run. */
  async end(): Promise<void> {
    await this.#undoing
    this.#waiting.length = 0
    this.#holder = undefined
    this.#finish()
    await this.#running
    this.#outer = undefined
  }

  /** The handle of the run's transaction. @throws FairleadError `SHUTDOWN` between runs */
  get outer(): Tx {
    if (this.#outer === undefined) throw createError({ code: 'SHUTDOWN', message: 'the run of this database is over' })
    return this.#outer
  }

  /** As it is. */
  statement(text: string, params: readonly unknown[]): Promise<SqlResult> {
    return this.driver.query(this.outer, text, params)
  }

  /** A statement of the test, when those of the dead are undone. */
  async look(text: string, params: readonly unknown[]): Promise<SqlResult> {
    await this.#undoing
    return this.statement(text, params)
  }

  /** All of it or nothing, for whoever has the turn. `reads`: it changes nothing, and needs no mark behind it. */
  async together<T>(work: () => Promise<T>, reads: boolean = false): Promise<T> {
    await this.prepare()
    try {
      const value = await work()
      if (!reads) await this.keep(false)
      return value
    } catch (error) {
      await this.undo()
      throw error
    }
  }

  /** Puts a mark behind what is committed, and the time into the database: before a transaction, or a statement of its own. */
  async prepare(): Promise<void> {
    const texts = this.#marked ? [] : [KEEP, MARK]
    const now = this.#clock.wallNow()
    const time = now === this.#clockAt ? undefined : this.dialect.clock(now)
    if (time !== undefined) texts.push(time)
    this.#clockAt = now
    this.#marked = true
    if (texts.length > 0) await this.#all(texts)
  }

  /** What was done since the mark is committed. `sure`: the database is asked whether it can be. */
  async keep(sure: boolean): Promise<void> {
    if (sure) await this.#all([KEEP, MARK])
    else this.#marked = false
  }

  /** What was done since the mark is undone, the time included. */
  async undo(): Promise<void> {
    this.#clockAt = undefined
    // Nothing was begun since the last commit: the mark still stands before that one.
    if (this.#marked) await this.statement(UNDO, [])
  }

  /** What a dead process has begun is undone, and then its turn is over. */
  abandon(turn: Turn): Promise<void> {
    const running = this.#running
    const undone = this.#undoing
      .then(() => (running === this.#running && this.#outer !== undefined ? this.undo() : undefined))
      .catch(nothing)
      .then(() => turn.end())
    this.#undoing = undone
    return undone
  }

  /** Calls back with the turn: at once where the connection is free. Returns the way to wait no more. */
  queue(take: (turn: Turn) => void): () => void {
    this.#waiting.push(take)
    this.#next()
    return () => {
      const at = this.#waiting.indexOf(take)
      if (at >= 0) this.#waiting.splice(at, 1)
    }
  }

  async close(): Promise<void> {
    await this.end()
    // On Node 20 each storage that is in use costs every promise of the process something.
    this.scopes.disable()
  }

  #next(): void {
    if (this.#holder !== undefined) return
    const take = this.#waiting.shift()
    if (take === undefined) return
    const turn: Turn = {
      end: () => {
        if (this.#holder !== turn) return
        this.#holder = undefined
        this.#next()
      },
    }
    this.#holder = turn
    take(turn)
  }

  async #all(texts: readonly string[]): Promise<void> {
    if (this.dialect.several) await this.statement(texts.join('; '), [])
    else for (const text of texts) await this.statement(text, [])
  }
}
