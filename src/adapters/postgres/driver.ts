// How fairlead speaks to PostgreSQL through a pool of `pg`: single statements, transactions, and a connection that listens.
// Statements have no names and leave nothing behind in the session, so a pooler in transaction mode may stand between.
import { AsyncLocalStorage } from 'node:async_hooks'
import { boundedBy } from '../../core/bounded.ts'
import { type Clock, type Random, systemClock, systemRandom } from '../../core/clock.ts'
import type { SqlDriver, SqlResult, TransactionOptions } from '../../core/contracts/store.ts'
import { type Closable, closable } from '../../core/lifecycle.ts'
import { durationOption, invalidOption, knownOptions } from '../../core/options.ts'
import { isFairleadError } from '../../errors/index.ts'
import { classifyPostgres, isConnectionSound, isOfPostgres } from './classify-postgres.ts'
import { createListener, type ListenState } from './listener.ts'
import {
  endedItself,
  misuse,
  nested,
  ownConnection,
  queryOf,
  required,
  resultOf,
  statusOf,
  swallowed,
  takeFrom,
  takenOver,
  type Watch,
  watchClient,
} from './pg-client.ts'
import type { PgClient, PgListenClient, PgPool, PgResult, PgTx } from './pg-types.ts'

/** How a pool of `pg` is used. All may be left out. */
export interface PgDriverOptions {
  /** How long to wait for a connection, also for one that others have taken out of the pool. Default 30,000. */
  readonly connectWithinMs?: number | undefined
  /**
   * How long to wait for the answer to a statement of fairlead's own, COMMIT among them, before the connection is given up as half-open:
   * `TIMED_OUT`, effect `unknown`. Default 30,000. Statements of yours inside a transaction are not touched.
   */
  readonly answerWithinMs?: number | undefined
  /**
   * Makes the connection that listens for wake-ups. Default: a connection of its own, outside the pool, with the options of the pool.
   * Give one that leads to PostgreSQL itself where the pool goes through PgBouncer: notifications do not pass a pooler in transaction mode.
   */
  readonly listener?: (() => PgListenClient) | undefined
  /** How often the listening connection is checked; a dead one is found within this and 5 seconds. Default 10,000. */
  readonly heartbeatMs?: number | undefined
  /** Is told what becomes of the listening connection. */
  readonly onListenState?: ((state: ListenState) => void) | undefined
  readonly clock?: Clock | undefined
  readonly random?: Random | undefined
}

/**
 * A driver for PostgreSQL. Whatever it rejects with is a FairleadError whose effect says what the database did; `close` ends the
 * listening connection only, the pool stays the caller's.
 */
export interface PgDriver<Tx> extends SqlDriver<Tx>, Closable {
  readonly dialect: 'postgres'
  /**
   * Runs `work` between BEGIN and COMMIT on one connection. What `work` throws rolls back and comes out untouched, except errors of the
   * database, which come out classified with effect `none` (the error of the driver is the cause). If the answer to COMMIT
   * is lost, the effect is `unknown`. An `opening` goes out with BEGIN, in one round trip.
   * @throws FairleadError `PROGRAMMING_ERROR` inside another transaction of this driver, if `work` ended the transaction itself, or
   * if it swallowed the failure of a statement, after which PostgreSQL commits nothing
   */
  transaction<T>(
    work: (tx: Tx, opened?: SqlResult | undefined) => Promise<T>,
    options?: TransactionOptions | undefined,
  ): Promise<T>
  /** Whether it is a client with an open transaction: one of ours, or one begun by the caller. */
  isTransaction(candidate: unknown): candidate is Tx
  /** Runs a statement in a transaction. @throws FairleadError `TRANSACTION_REQUIRED` where there is none, and what the database says */
  query(tx: Tx, text: string, params: readonly unknown[]): Promise<SqlResult>
  execute(text: string, params: readonly unknown[]): Promise<SqlResult>
  /**
   * Calls `wake` whenever something was notified on the channel, and after each reconnection, when something may have been missed. Resolves
   * once the channel is listened to or, if the database cannot be reached now, at once: it goes on trying.
   * @throws FairleadError `CAPABILITY_MISSING` where a pooler stands between that does not pass notifications: poll instead
   */
  listen(channel: string, wake: () => void): Promise<() => Promise<void>>
}

const OPTIONS: readonly (keyof PgDriverOptions)[] = [
  'connectWithinMs',
  'answerWithinMs',
  'listener',
  'heartbeatMs',
  'onListenState',
  'clock',
  'random',
]

// A ROLLBACK only tidies up: a connection that does not answer soon is closed, which rolls back as well.
const ROLLBACK_WITHIN_MS = 5_000

// A pool of that many is unusual; without an end, one that gives the same connection again and again would keep us busy for ever.
const MOST_LEAKS = 100

interface Scope {
  open: boolean
}

/**
 * Speaks through a pool of `pg` (8 or later).
 * @example const driver = pgDriver(new Pool({ connectionString }))
 */
export function pgDriver<P extends PgPool>(pool: P, options: PgDriverOptions = {}): PgDriver<PgTx<P>> {
  type Tx = PgTx<P>
  if (typeof pool?.connect !== 'function' || 'processID' in pool) throw invalidOption('pool', pool, 'give a Pool of pg')
  knownOptions('pgDriver', options, OPTIONS)
  const clock = options.clock ?? systemClock
  const connectWithinMs = durationOption('connectWithinMs', options.connectWithinMs, 30_000)
  const answerWithinMs = durationOption('answerWithinMs', options.answerWithinMs, 30_000)
  const heartbeatMs = durationOption('heartbeatMs', options.heartbeatMs, 10_000)

  const open = new WeakSet<object>()
  const scopes = new AsyncLocalStorage<Scope>()
  const listener = createListener({
    connect: options.listener ?? ownConnection(pool),
    heartbeatMs,
    answerWithinMs: Math.min(answerWithinMs, 5_000),
    clock,
    random: options.random ?? systemRandom,
    onState: options.onListenState,
  })

  const acquire = async (watch: boolean): Promise<Held> => {
    for (let leaks = 0; leaks < MOST_LEAKS; leaks++) {
      const coming = takeFrom(pool)
      let client: PgClient
      try {
        client = await boundedBy(
          clock,
          connectWithinMs,
          coming,
          'CONNECT_TIMEOUT',
          'no connection to PostgreSQL',
          'postgres',
        )
      } catch (error) {
        // One that comes after all belongs to the pool.
        coming.then(
          (late) => {
            late.release()
            takenOver(late)
          },
          () => undefined,
        )
        throw classifyPostgres(error, { phase: 'connect' })
      }
      // Somebody gave it back in the middle of a transaction: what we called committed would hang on their COMMIT.
      const status = statusOf(client)
      if (status !== 'T' && status !== 'E') return hold(client, watch)
      client.release(true)
      takenOver(client)
    }
    throw misuse(
      'every connection of the pool was given back in the middle of a transaction: end them before release()',
    )
  }
  const ask = (client: PgClient, text: string, params: readonly unknown[], ms: number): Promise<PgResult> =>
    boundedBy(clock, ms, client.query(queryOf(text, params)), 'TIMED_OUT', 'PostgreSQL did not answer', 'postgres')

  const isTransaction = (candidate: unknown): candidate is Tx => {
    if (typeof candidate !== 'object' || candidate === null) return false
    if (open.has(candidate)) return true
    const status = statusOf(candidate)
    if (status !== undefined) return status === 'T' || status === 'E'
    // Older clients cannot say. A client that was taken out is believed; a pool is not.
    const { query, release, totalCount } = candidate as Readonly<Record<string, unknown>>
    return typeof query === 'function' && typeof release === 'function' && totalCount === undefined
  }

  const execute = async (text: string, params: readonly unknown[]): Promise<SqlResult> => {
    const held = await acquire(false)
    try {
      const result = await ask(held.client, text, params, answerWithinMs)
      held.release()
      return resultOf(result)
    } catch (error) {
      held.release(isConnectionSound(error) ? undefined : true)
      throw classifyPostgres(error)
    }
  }

  const query = async (tx: Tx, text: string, params: readonly unknown[]): Promise<SqlResult> => {
    if (!isTransaction(tx)) throw required()
    try {
      return resultOf(await (tx as PgClient).query(queryOf(text, params)))
    } catch (error) {
      throw classifyPostgres(error, { phase: 'transaction' })
    }
  }

  const transaction = async <T>(
    work: (tx: Tx, opened?: SqlResult | undefined) => Promise<T>,
    { opening, closing }: TransactionOptions = {},
  ): Promise<T> => {
    if (scopes.getStore()?.open) throw nested()
    const held = await acquire(true)
    const { client } = held
    const scope: Scope = { open: true }
    let phase: 'begin' | 'work' | 'commit' = 'begin'
    try {
      const begun = await ask(client, opening === undefined ? 'begin' : `begin; ${opening}`, [], answerWithinMs)
      open.add(client)
      phase = 'work'
      const value = await scopes.run(scope, () =>
        work(client as Tx, opening === undefined ? undefined : resultOf(begun)),
      )
      if (held.lost !== undefined) throw held.lost
      const status = statusOf(client)
      if (status === 'I') throw endedItself()
      if (status === 'E') throw swallowed()
      open.delete(client)
      scope.open = false
      phase = 'commit'
      const last = closing?.()
      const ended = await ask(client, last === undefined ? 'commit' : closedBy(last), [], answerWithinMs)
      const { command } = (Array.isArray(ended) ? ended.at(-1) : ended) as PgResult
      // The answer to the COMMIT of a transaction in which a statement had failed.
      if (command === 'ROLLBACK') throw swallowed()
      held.release()
      return value
    } catch (error) {
      scope.open = false
      open.delete(client)
      const sound = held.lost === undefined && (phase === 'work' || isConnectionSound(error))
      held.release((await undo(client, sound)) ? undefined : true)
      if (phase === 'commit') throw classifyPostgres(error, { phase })
      // What came over this connection before COMMIT was sent did nothing, whatever it is. The work may have used others.
      if (phase === 'begin' || held.caused(error)) throw classifyPostgres(error, { phase: 'transaction' })
      throw !isFairleadError(error) && isOfPostgres(error) ? classifyPostgres(error) : error
    }
  }

  // What waits for a lock is refused before we give up: then it is known that nothing was committed.
  const closedBy = (statement: string): string =>
    `set local lock_timeout = ${Math.ceil((answerWithinMs * 2) / 3)}; ${statement}; commit`

  // Never rejects: its failure must not hide why we came here. True if the connection can be used again.
  const undo = async (client: PgClient, sound: boolean): Promise<boolean> => {
    if (!sound) return false
    if (statusOf(client) === 'I') return true
    try {
      await ask(client, 'rollback', [], Math.min(answerWithinMs, ROLLBACK_WITHIN_MS))
      return true
    } catch {
      return false
    }
  }

  return {
    dialect: 'postgres',
    closes: true,
    transaction,
    isTransaction,
    query,
    execute,
    listen: listener.listen,
    ...closable(listener.close),
  }
}

interface Held extends Pick<Watch, 'lost' | 'caused'> {
  readonly client: PgClient
  release(destroy?: true | undefined): void
}

function hold(client: PgClient, causes: boolean): Held {
  const watch = watchClient(client, causes)
  takenOver(client)
  return {
    client,
    get lost() {
      return watch.lost
    },
    caused: watch.caused,
    release(destroy) {
      try {
        client.release(watch.lost === undefined ? destroy : true)
      } catch {
        // The work has given it back already. What was committed stays committed.
      }
      // After the pool has put its own listener in place.
      watch.stop()
    },
  }
}
