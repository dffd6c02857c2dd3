// How fairlead speaks to MySQL and MariaDB through a pool of `mysql2/promise`: single statements, transactions, and connections for several statements.
// Statements go as text with literals of our own and leave nothing behind in the session.
import { AsyncLocalStorage } from 'node:async_hooks'
import { boundedBy } from '../../core/bounded.ts'
import { type Clock, systemClock } from '../../core/clock.ts'
import type { SqlDriver, SqlResult, TransactionOptions } from '../../core/contracts/store.ts'
import { durationOption, invalidOption, knownOptions } from '../../core/options.ts'
import { createError, isFairleadError } from '../../errors/index.ts'
import { classifyMysql, isConnectionSound, isOfMysql } from './classify-mysql.ts'
import { render } from './literals.ts'
import type { Mysql2Connection, Mysql2Pool, Mysql2Tx } from './mysql2-types.ts'
import { queryOf, resultOf, type SessionStatus, statusOf } from './results.ts'

/** How a pool of `mysql2/promise` is used. All may be left out. */
export interface Mysql2DriverOptions {
  /** How long to wait for a connection, also for one that others have taken out of the pool. Default 30,000. */
  readonly connectWithinMs?: number | undefined
  /**
   * How long to wait for the answer to a statement of fairlead's own, COMMIT among them, before the connection is given up as half-open:
   * `TIMED_OUT`, effect `unknown`. Default 30,000. Statements of yours inside a transaction are not touched.
   */
  readonly answerWithinMs?: number | undefined
  readonly clock?: Clock | undefined
}

/** What transactions of others see of one: as SQL names it. */
export type Isolation = 'read committed' | 'repeatable read' | 'serializable'

/** How one of fairlead's own transactions or statements is run. */
export interface RunOptions extends TransactionOptions {
  /** Default: what the session has; with MySQL and MariaDB that is `repeatable read` unless somebody changed it. */
  readonly isolation?: Isolation | undefined
  /** Whether each statement of the work is fairlead's own, and bound by `answerWithinMs` as COMMIT is. Default false. */
  readonly bounded?: boolean | undefined
}

/** Runs one statement. */
export type Run = (text: string, params?: readonly unknown[]) => Promise<SqlResult>

/** A driver for MySQL and MariaDB. Whatever it rejects with is a FairleadError whose effect says what the database did. */
export interface MysqlDriver<Tx> extends SqlDriver<Tx> {
  readonly dialect: 'mysql'
  /**
   * Runs `work` between START TRANSACTION and COMMIT on one connection. What `work` throws rolls back and comes out untouched, except errors of the
   * database, which come out classified with effect `none` (the error of the driver is the cause). If the answer to COMMIT
   * is lost, the effect is `unknown`.
   * @throws FairleadError `PROGRAMMING_ERROR` inside another transaction of this driver, or if `work` ended the transaction itself: by COMMIT or ROLLBACK, by a
   * statement that commits on its own (all that create, alter or drop), or by swallowing a deadlock, after which the server has rolled everything back
   */
  transaction<T>(work: (tx: Tx) => Promise<T>, options?: RunOptions): Promise<T>
  /**
   * Whether it is a connection that is taken for one with an open transaction: one of ours, or one of the caller's. mysql2 cannot say whether there is one, so
   * that `query` asks the server where the transaction is not ours.
   */
  isTransaction(candidate: unknown): candidate is Tx
  /**
   * @throws FairleadError `TRANSACTION_REQUIRED` where there is no open transaction: effect `none` where that is known before, and `unknown` where the server says so
   * with its answer to a statement that writes, which has then been committed by itself (the server had rolled the transaction back, and its error was swallowed)
   */
  query(tx: Tx, text: string, params: readonly unknown[]): Promise<SqlResult>
  /** Asks the server, over this connection, whether a transaction is open now. */
  inTransaction(tx: Tx): Promise<boolean>
  execute(text: string, params: readonly unknown[], options?: RunOptions): Promise<SqlResult>
  /** Several statements on one connection, each with its own commit: what needs a session, such as a named lock. Bound by `withinMs` each. */
  session<T>(withinMs: number, work: (run: Run) => Promise<T>): Promise<T>
}

const OPTIONS: readonly (keyof Mysql2DriverOptions)[] = ['connectWithinMs', 'answerWithinMs', 'clock']

// A ROLLBACK only tidies up: a connection that does not answer soon is closed, which rolls back as well.
const ROLLBACK_WITHIN_MS = 5_000

// Without an end, a pool that gives connections in the middle of transactions would keep us busy for ever.
const MOST_LEAKS = 100

interface Scope {
  open: boolean
}

/**
 * Speaks through a pool of `mysql2/promise` (3 or later; a pool of `mysql2` itself is given as `pool.promise()`). Tested with MariaDB 10.11.
 * @example const driver = mysql2Driver(createPool({ uri }))
 */
export function mysql2Driver<P extends Mysql2Pool>(
  pool: P,
  options: Mysql2DriverOptions = {},
): MysqlDriver<Mysql2Tx<P>> {
  type Tx = Mysql2Tx<P>
  if (typeof pool?.getConnection !== 'function' || 'promise' in pool)
    throw invalidOption('pool', pool, 'give a Pool of mysql2/promise, or pool.promise()')
  knownOptions('mysql2Driver', options, OPTIONS)
  const clock = options.clock ?? systemClock
  const connectWithinMs = durationOption('connectWithinMs', options.connectWithinMs, 30_000)
  const answerWithinMs = durationOption('answerWithinMs', options.answerWithinMs, 30_000)

  const open = new WeakSet<object>()
  const over = new WeakSet<object>()
  // Of transactions whose work is bound, and of those connections that did not answer in time.
  const bounded = new WeakSet<object>()
  const silent = new WeakSet<object>()
  // Connections known to commit by themselves; those of a server or pool that has that turned off are given back with a COMMIT.
  const autocommits = new WeakMap<object, boolean>()
  const scopes = new AsyncLocalStorage<Scope>()

  const acquire = async (): Promise<Held> => {
    const coming = pool.getConnection()
    try {
      return hold(
        await boundedBy(clock, connectWithinMs, coming, 'CONNECT_TIMEOUT', 'no connection to the database', 'mysql'),
      )
    } catch (error) {
      // One that comes after all belongs to the pool.
      coming.then(
        (late) => late.release(),
        () => undefined,
      )
      throw classifyMysql(error, { phase: 'connect' })
    }
  }
  const ask = (connection: Mysql2Connection, sql: string, ms = answerWithinMs): Promise<unknown> =>
    boundedBy(clock, ms, connection.query(queryOf(sql)), 'TIMED_OUT', 'the database did not answer', 'mysql')
  const statusNow = async (connection: Mysql2Connection): Promise<SessionStatus> => {
    const status = statusOf(await ask(connection, 'do 0'))
    if (status === undefined) throw misuse('this connection does not say whether a transaction is open', 'none')
    return status
  }
  const isOpen = ({ inTransaction, autocommit }: SessionStatus): boolean => inTransaction || !autocommit

  // A connection on which a single statement is committed by itself. Somebody may have given one back in the middle of a transaction:
  // what we called committed would hang on their COMMIT.
  const acquireIdle = async (): Promise<Held> => {
    for (let leaks = 0; leaks < MOST_LEAKS; leaks++) {
      const held = await acquire()
      const core = coreOf(held.connection)
      if (autocommits.has(core)) return held
      try {
        const status = await statusNow(held.connection)
        if (!status.inTransaction) {
          autocommits.set(core, status.autocommit)
          return held
        }
      } catch (error) {
        held.destroy()
        throw classifyMysql(error, { phase: 'connect' })
      }
      held.destroy()
    }
    throw leaked()
  }

  const execute = async (
    text: string,
    params: readonly unknown[],
    { isolation }: RunOptions = {},
  ): Promise<SqlResult> => {
    const sql = render(text, params)
    for (let leaks = 0; leaks < MOST_LEAKS; leaks++) {
      const held = await acquireIdle()
      const { connection } = held
      let sent = false
      try {
        if (isolation !== undefined) await ask(connection, `set transaction isolation level ${isolation}`)
        sent = true
        const answer = await ask(connection, sql)
        const status = statusOf(answer)
        // The level is that of the next transaction, and a statement without a table begins none: it must not be left for somebody else's.
        if (isolation !== undefined || autocommits.get(coreOf(connection)) === false) await ask(connection, 'commit')
        else if (status?.inTransaction === true && !/^\s*(start|begin|xa|set)\b/i.test(sql)) {
          // It stood in a transaction that somebody had left open: closing the connection undoes it, and another one takes it.
          held.destroy()
          continue
        }
        held.release()
        return resultOf(answer)
      } catch (error) {
        if (!sent && isLeftOpen(error)) {
          held.destroy()
          continue
        }
        await undo(held, isConnectionSound(error))
        throw classifyMysql(error, { phase: sent ? 'statement' : 'transaction' })
      }
    }
    throw leaked()
  }

  const session = async <T>(withinMs: number, work: (run: Run) => Promise<T>): Promise<T> => {
    const held = await acquireIdle()
    const run: Run = async (text, params = []) => {
      try {
        return resultOf(await ask(held.connection, render(text, params), withinMs))
      } catch (error) {
        throw classifyMysql(error)
      }
    }
    try {
      const value = await work(run)
      held.release()
      return value
    } catch (error) {
      // What the session holds (named locks) must not outlive a failure.
      held.destroy()
      throw error
    }
  }

  const isTransaction = (candidate: unknown): candidate is Tx => {
    if (typeof candidate !== 'object' || candidate === null) return false
    if (open.has(candidate)) return true
    if (over.has(candidate)) return false
    // A connection that was taken out is believed; a pool, and one that was given back, is not.
    const { query, release, getConnection, connection } = candidate as Readonly<Record<string, unknown>>
    if (typeof query !== 'function' || typeof release !== 'function' || getConnection !== undefined) return false
    return (connection as { readonly _released?: unknown } | undefined)?._released !== true
  }

  const inTransaction = async (tx: Tx): Promise<boolean> => {
    if (!isTransaction(tx)) return false
    try {
      return isOpen(await statusNow(tx as Mysql2Connection))
    } catch (error) {
      throw classifyMysql(error, { phase: 'transaction' })
    }
  }

  const query = async (tx: Tx, text: string, params: readonly unknown[]): Promise<SqlResult> => {
    if (!isTransaction(tx)) throw required()
    const sql = render(text, params)
    if (!open.has(tx as object) && !(await inTransaction(tx))) throw required()
    let answer: unknown
    try {
      const connection = tx as Mysql2Connection
      answer = await (bounded.has(connection) ? ask(connection, sql) : connection.query(queryOf(sql)))
    } catch (error) {
      if (isFairleadError(error) && error.code === 'TIMED_OUT') silent.add(tx as object)
      throw classifyMysql(error, { phase: 'transaction' })
    }
    const status = statusOf(answer)
    if (status !== undefined && !isOpen(status)) throw alone()
    return resultOf(answer)
  }

  const begin = async (isolation: Isolation | undefined): Promise<Held> => {
    for (let leaks = 0; leaks < MOST_LEAKS; leaks++) {
      const held = await acquire()
      try {
        if (isolation !== undefined) await ask(held.connection, `set transaction isolation level ${isolation}`)
        await ask(held.connection, 'start transaction')
        return held
      } catch (error) {
        held.destroy()
        if (!isLeftOpen(error)) throw classifyMysql(error, { phase: 'transaction' })
      }
    }
    throw leaked()
  }

  const transaction = async <T>(
    work: (tx: Tx) => Promise<T>,
    { isolation, bounded: isBounded = false }: RunOptions = {},
  ): Promise<T> => {
    if (scopes.getStore()?.open)
      throw misuse(
        'a transaction was begun inside another one of the same driver. It would commit on its own, and wait for ever for a connection when the pool is empty: use the one at hand, or detached(() => ...)',
        'none',
      )
    const held = await begin(isolation)
    const { connection } = held
    const scope: Scope = { open: true }
    const end = (): void => {
      scope.open = false
      open.delete(connection)
      over.add(connection)
      bounded.delete(connection)
    }
    open.add(connection)
    if (isBounded) bounded.add(connection)
    let phase: 'work' | 'look' | 'commit' = 'work'
    try {
      const value = await scopes.run(scope, () => work(connection as Tx))
      end()
      if (held.lost !== undefined) throw held.lost
      // The server is asked: a statement that commits by itself, or a deadlock that was swallowed, leaves nothing to commit, and says nothing.
      phase = 'look'
      if (!(await statusNow(connection)).inTransaction) throw ended()
      phase = 'commit'
      await ask(connection, 'commit')
      held.release()
      return value
    } catch (error) {
      end()
      // A ROLLBACK would wait behind what is not answered.
      await undo(held, !silent.has(connection) && (phase === 'work' || isConnectionSound(error)))
      if (phase === 'commit') throw classifyMysql(error, { phase })
      // What came over this connection before COMMIT was sent did nothing, whatever it is. The work may have used others.
      const ours = phase === 'look' || (held.lost !== undefined && error === held.lost)
      if (ours) throw classifyMysql(error, { phase: 'transaction' })
      throw !isFairleadError(error) && isOfMysql(error) ? classifyMysql(error) : error
    }
  }

  // Never rejects: its failure must not hide why we came here.
  const undo = async (held: Held, sound: boolean): Promise<void> => {
    if (!sound || held.lost !== undefined) return held.destroy()
    try {
      await ask(held.connection, 'rollback', Math.min(answerWithinMs, ROLLBACK_WITHIN_MS))
      held.release()
    } catch {
      held.destroy()
    }
  }

  return { dialect: 'mysql', transaction, isTransaction, query, inTransaction, execute, session }
}

interface Held {
  readonly connection: Mysql2Connection
  /** What ended the connection while it was held. */
  readonly lost: Error | undefined
  release(): void
  destroy(): void
}

// Without a listener, an error of a connection that is out of the pool would end the process.
function hold(connection: Mysql2Connection): Held {
  let lost: Error | undefined
  const onError = (error: Error): void => {
    lost ??= error
  }
  connection.on('error', onError)
  const give = (back: () => void): void => {
    try {
      back()
    } catch {
      // The work has given it back already. What was committed stays committed.
    }
    connection.removeListener('error', onError)
  }
  return {
    connection,
    get lost() {
      return lost
    },
    release: () => give(() => (lost === undefined ? connection.release() : connection.destroy())),
    destroy: () => give(() => connection.destroy()),
  }
}

// mysql2 makes a new wrapper each time that the same connection is taken out.
function coreOf(connection: Mysql2Connection): object {
  const { connection: core } = connection as { readonly connection?: unknown }
  return typeof core === 'object' && core !== null ? core : connection
}

// ER_CANT_CHANGE_TX_CHARACTERISTICS: there was a transaction before ours.
function isLeftOpen(error: unknown): boolean {
  return (error as { readonly errno?: unknown } | undefined)?.errno === 1568
}

function misuse(message: string, effect: 'none' | 'unknown'): Error {
  return createError({ code: 'PROGRAMMING_ERROR', effect, message })
}

function required(): Error {
  return createError({
    code: 'TRANSACTION_REQUIRED',
    message:
      'a transaction is needed here: give the connection that has one open, as transaction() and your own START TRANSACTION do',
  })
}

function alone(): Error {
  return createError({
    code: 'TRANSACTION_REQUIRED',
    effect: 'unknown',
    message:
      'there was no open transaction any more: it was ended in the work, or rolled back by the server (a deadlock whose error was swallowed)',
  })
}

function leaked(): Error {
  return misuse(
    'every connection of the pool was given back in the middle of a transaction: end them before release()',
    'none',
  )
}

function ended(): Error {
  return misuse(
    'the transaction was over before its COMMIT: leave COMMIT and ROLLBACK to transaction(), run no statement in it that commits by itself (create, alter, drop, truncate), and do not swallow a deadlock, which rolls everything back',
    'unknown',
  )
}
