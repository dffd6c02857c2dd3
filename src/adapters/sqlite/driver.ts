// How fairlead speaks to SQLite through one handle: statements and transactions take turns on it, and wait for other processes without holding up the event loop.
import { type Clock, type Random, sleep, systemClock, systemRandom } from '../../core/clock.ts'
import type { SqlDriver, SqlResult } from '../../core/contracts/store.ts'
import { durationOption, knownOptions } from '../../core/options.ts'
import { createError, isFairleadError } from '../../errors/index.ts'
import { classifySqlite, isBusy, isOfSqlite } from './classify-sqlite.ts'
import type { Engine } from './engine.ts'
import type { SqliteTx } from './handle-types.ts'
import { transactionHandle, transactionRequired } from './transaction-handle.ts'
import { type Queue, type Scope, turnsOf } from './turns.ts'

/** How a handle is used. All may be left out. */
export interface SqliteDriverOptions {
  /** How long to wait for other connections to the file that are writing, milliseconds. Default 5,000. Each try blocks for at most 10 ms. */
  readonly busyWithinMs?: number | undefined
  /** How long to wait for one's turn on the handle while others of this process have it, milliseconds. Default 30,000. */
  readonly turnWithinMs?: number | undefined
  readonly clock?: Clock | undefined
  readonly random?: Random | undefined
}

/**
 * A driver for SQLite. Whatever it rejects with is a FairleadError whose effect says what the database did.
 *
 * The handle is one connection. While a transaction is open on it, everything else that goes through the driver waits for its end; statements run
 * directly on the handle would become part of it, so leave the handle to the driver.
 */
export interface SqliteDriver<Tx> extends SqlDriver<Tx> {
  readonly dialect: 'sqlite'
  /**
   * Runs `work` between BEGIN IMMEDIATE and COMMIT. What `work` throws rolls back and comes out untouched, except errors of the database, which
   * come out classified with effect `none`. The transaction that `work` is given is of no use after its end.
   * @throws FairleadError `PROGRAMMING_ERROR` inside another transaction of the same handle, or if `work` ended the transaction itself;
   * `TRANSACTION_CONFLICT` when other connections kept writing; `SELF_EXHAUSTED` when its turn did not come
   */
  transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T>
  /** Whether it is a transaction of ours that is open, or the handle itself while it has one that the caller began. */
  isTransaction(candidate: unknown): candidate is Tx
  query(tx: Tx, text: string, params: readonly unknown[]): Promise<SqlResult>
  /** One statement, its own commit. @throws FairleadError `PROGRAMMING_ERROR` inside a transaction of the same handle, for which it would wait for ever */
  execute(text: string, params: readonly unknown[]): Promise<SqlResult>
}

/** Names of the options, for those who have more. */
export const DRIVER_OPTIONS: readonly (keyof SqliteDriverOptions)[] = [
  'busyWithinMs',
  'turnWithinMs',
  'clock',
  'random',
]

// What a try may block the event loop for: SQLite itself waits so long, and better than a timer could.
const BLOCKS_MS = 10
const LONGEST_PAUSE_MS = 25

// The others may be refused inside a transaction, as VACUUM is.
const WRITES = /^\s*(insert|update|delete|replace|with|create|drop|alter)\b/i

/** A driver over an engine; the presets are made of it. */
export function driverOver<D extends object>(
  what: string,
  handle: D,
  engine: Engine,
  options: SqliteDriverOptions,
): SqliteDriver<SqliteTx<D>> {
  type Tx = SqliteTx<D>
  knownOptions(what, options, DRIVER_OPTIONS)
  const clock = options.clock ?? systemClock
  const random = options.random ?? systemRandom
  const busyWithinMs = durationOption('busyWithinMs', options.busyWithinMs, 5_000)
  const turnWithinMs = durationOption('turnWithinMs', options.turnWithinMs, 30_000)
  const turns = turnsOf(handle)
  const open = new WeakMap<object, Scope>()

  const refuseInside = (): void => {
    if (turns.scopes.getStore()?.open)
      throw misuse(
        'a transaction of this handle is open here, and nothing else can run on it until it ends: use the transaction at hand, or, for work that does not belong to it, detached(() => ...)',
      )
  }

  const turn = (queue: Queue): (() => void) | Promise<() => void> => {
    const end = queue.take(clock, turnWithinMs)
    return typeof end === 'function' ? end : end.then(inTime)
  }
  const inTime = (end: (() => void) | undefined): (() => void) => {
    if (end !== undefined) return end
    throw createError({
      code: 'SELF_EXHAUSTED',
      message: `waited ${turnWithinMs} ms for a turn on the handle: transactions are too long, or one does not end`,
      transport: 'sqlite',
    })
  }

  // Once `attempt` got through, the handle is ours until `end`. The lock that it may find taken belongs to other connections: to other processes, mostly,
  // which tell nobody when they are done. A transaction that the caller began directly on the handle is waited for as well: it ends some time, or never.
  const onHandle = async (
    attempt: () => SqlResult,
  ): Promise<{ readonly result: SqlResult; readonly end: () => void }> => {
    const until = clock.now() + busyWithinMs
    for (let pause = 1; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
      const next = turn(turns.handle)
      const end = next instanceof Promise ? await next : next
      const late = clock.now() >= until
      try {
        if (!engine.inTransaction()) return { result: attempt(), end }
        if (late) throw others()
      } catch (error) {
        if (late || !isBusy(error)) {
          end()
          throw error
        }
      }
      end()
      await sleep(clock, pause * (0.5 + random()))
    }
  }

  // Only without a WAL: readers of other connections may still be in the way, and the transaction stays.
  const commit = async (): Promise<void> => {
    const until = clock.now() + busyWithinMs
    for (let pause = 1; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
      try {
        engine.run('commit', [])
        return
      } catch (error) {
        if (clock.now() >= until || !isBusy(error)) throw error
      }
      await sleep(clock, pause * (0.5 + random()))
    }
  }

  // Handles may be set to block for seconds (5 of them by default, in better-sqlite3).
  let own: number | undefined
  const briefly = (attempt: () => SqlResult): SqlResult => {
    own ??= Number(engine.run('pragma busy_timeout', []).rows[0]?.['timeout'])
    if (!(own > BLOCKS_MS)) return attempt()
    engine.run(`pragma busy_timeout = ${BLOCKS_MS}`, [])
    try {
      return attempt()
    } finally {
      engine.run(`pragma busy_timeout = ${own}`, [])
    }
  }

  // The lock first: a statement that finds it taken halfway is left open by libsql, and no later COMMIT gets past it.
  const written = (text: string, params: readonly unknown[]): SqlResult => {
    briefly(() => engine.run('begin immediate', []))
    let phase: 'transaction' | 'commit' = 'transaction'
    try {
      const result = engine.run(text, params)
      phase = 'commit'
      engine.run('commit', [])
      return result
    } catch (error) {
      undo()
      throw classifySqlite(error, { phase })
    }
  }

  const over = (scope: Scope | undefined): void => {
    if (scope?.open !== true)
      throw transactionRequired('this transaction is over: use it inside the work it was given to')
    if (!engine.inTransaction()) throw undone()
  }

  const isTransaction = (candidate: unknown): candidate is Tx => {
    if (typeof candidate !== 'object' || candidate === null) return false
    const scope = open.get(candidate)
    if (scope !== undefined) return scope.open
    // One that the caller began; but not one of ours, in which somebody else is at work.
    return (candidate as object) === handle && turns.current?.open !== true && engine.inTransaction()
  }

  const query = async (tx: Tx, text: string, params: readonly unknown[]): Promise<SqlResult> => {
    const scope = open.get(tx)
    if (scope !== undefined) over(scope)
    else if (!isTransaction(tx))
      throw transactionRequired(
        'a transaction is needed here: give what transaction() gives to its work, not the handle itself',
      )
    try {
      return engine.run(text, params)
    } catch (error) {
      throw classifySqlite(error, { phase: 'transaction' })
    }
  }

  const execute = async (text: string, params: readonly unknown[]): Promise<SqlResult> => {
    refuseInside()
    const writes = WRITES.test(text)
    const next = writes ? turn(turns.writers) : undefined
    const endWriting = next instanceof Promise ? await next : next
    try {
      const { result, end } = await onHandle(
        writes ? () => written(text, params) : () => briefly(() => engine.run(text, params)),
      )
      try {
        if (!engine.inTransaction()) return result
        undo()
      } finally {
        end()
      }
      throw misuse('the statement began a transaction and left it open: use transaction()')
    } catch (error) {
      throw classifySqlite(error)
    } finally {
      endWriting?.()
    }
  }

  const transaction = async <T>(work: (tx: Tx) => Promise<T>): Promise<T> => {
    refuseInside()
    const next = turn(turns.writers)
    const endWriting = next instanceof Promise ? await next : next
    try {
      const { end } = await onHandle(() => briefly(() => engine.run('begin immediate', []))).catch((error) => {
        throw classifySqlite(error, { phase: 'transaction' })
      })
      try {
        return await within(work)
      } finally {
        end()
      }
    } finally {
      endWriting()
    }
  }

  // From BEGIN on.
  const within = async <T>(work: (tx: Tx) => Promise<T>): Promise<T> => {
    const scope: Scope = { open: true }
    let committing = false
    turns.current = scope
    try {
      const tx = transactionHandle(handle, () => over(scope))
      open.set(tx, scope)
      const value = await turns.scopes.run(scope, () => work(tx))
      if (!engine.inTransaction()) throw undone()
      scope.open = false
      committing = true
      await commit()
      return value
    } catch (error) {
      scope.open = false
      undo()
      if (committing) throw classifySqlite(error, { phase: 'commit' })
      throw !isFairleadError(error) && isOfSqlite(error) ? classifySqlite(error, { phase: 'transaction' }) : error
    } finally {
      turns.current = undefined
    }
  }

  // Never rejects: its failure must not hide why we came here.
  const undo = (): void => {
    try {
      if (engine.inTransaction()) engine.run('rollback', [])
    } catch {
      // SQLite has rolled it back itself, or the handle is closed, which does as well.
    }
  }

  return { dialect: 'sqlite', transaction, isTransaction, query, execute }
}

function others(): Error {
  return createError({
    code: 'TRANSACTION_CONFLICT',
    message: 'a transaction that was begun directly on the handle is still open',
    transport: 'sqlite',
  })
}

function misuse(message: string): Error {
  return createError({ code: 'PROGRAMMING_ERROR', effect: 'none', message, transport: 'sqlite' })
}

function undone(): Error {
  return misuse(
    'the transaction is no longer open: its work ended it itself (leave COMMIT and ROLLBACK to transaction()), or swallowed an error after which SQLite undoes everything, such as a full disk',
  )
}
