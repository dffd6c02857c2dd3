// What all drivers that begin and end transactions themselves have in common: one at a time, its end told exactly, errors in fairlead's words.
import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks'
import { boundedBy } from '../../../core/bounded.ts'
import { type Clock, nextTurn, systemClock, systemRandom } from '../../../core/clock.ts'
import type { SqlDriver, SqlResult } from '../../../core/contracts/store.ts'
import { type Closable, closable } from '../../../core/lifecycle.ts'
import { durationOption, knownOptions } from '../../../core/options.ts'
import { createError, isFairleadError } from '../../../errors/index.ts'
import { classifyPostgres, isOfPostgres, sqlStateOf } from '../classify-postgres.ts'
import type { PgDriverOptions } from '../driver.ts'
import { unwrapped } from '../driver-errors.ts'
import { createListener } from '../listener.ts'
import {
  endedItself,
  misuse,
  nested,
  queryOf,
  required,
  resultOf,
  statusOf,
  swallowed,
  type Watch,
  watchClient,
} from '../pg-client.ts'
import type { PgClient, PgListenClient } from '../pg-types.ts'

/**
 * A driver of dialect `postgres` over a client or an ORM of yours. Whatever it rejects with is a FairleadError whose effect says what the
 * database did; what the work of a transaction throws of its own comes out untouched. `close` ends what the driver itself holds; pool and
 * connections stay the caller's.
 */
export interface PostgresDriver<Tx> extends SqlDriver<Tx>, Closable {
  readonly dialect: 'postgres'
  /**
   * Runs `work` in a transaction of the driver's own kind. What `work` throws rolls back and comes out untouched, except errors of the
   * database, which come out classified (the cause is the error underneath what an ORM has put around it). If the answer to COMMIT is lost,
   * the effect is `unknown`.
   * @throws FairleadError `PROGRAMMING_ERROR` inside another transaction of this driver, if `work` ended the transaction itself, or if it
   * swallowed the failure of a statement, after which PostgreSQL commits nothing
   */
  transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T>
}

/**
 * How a driver is used. All may be left out.
 *
 * A connection that does not answer within `answerWithinMs` is closed where the client of `pg` can be reached (Drizzle on `pg`, Knex, TypeORM); Kysely, Prisma and postgres.js
 * keep theirs out of the pool until the socket breaks. Have them notice it: `keepAlive: true` and `query_timeout` of the `Pool` of `pg`, `keep_alive` of postgres.js.
 */
export interface PostgresDriverOptions
  extends Pick<
    PgDriverOptions,
    'connectWithinMs' | 'answerWithinMs' | 'listener' | 'heartbeatMs' | 'onListenState' | 'clock' | 'random'
  > {}

/** What differs from one to the next. */
export interface Preset<Tx extends object> {
  /** The name of the function, for errors. */
  readonly name: string
  /** The driver's own transaction. */
  begin<T>(work: (tx: Tx) => Promise<T>): Promise<T>
  /** Whether it is a transaction that is open, as far as the object tells. */
  isOpen(candidate: object): boolean
  /** A client of `pg` underneath, where it can be reached: then all is seen exactly, and read with our own parsers. */
  clientOf?(tx: Tx): PgClient | Promise<PgClient>
  /** One statement, or several without parameters. Absent where `clientOf` gives a client for all. */
  run?(tx: Tx, text: string, params: readonly unknown[]): Promise<SqlResult>
  /** One statement in a commit of its own. A client of `pg` underneath, where it can be reached, is shown before anything is sent over it. */
  runAlone(text: string, params: readonly unknown[], shown: (client: PgClient) => void): Promise<SqlResult>
  /** Asks the database whether a transaction that is not ours is open, where the object cannot tell. Rejects if not. */
  verify?(tx: Tx): Promise<void>
  /** COMMIT of a failed transaction rolls back and looks like a success: ask before. */
  readonly silentRollback?: true | undefined
  /** When the connection is lost, its transaction is over before the work is; what it does on the connection after that ends the process. */
  readonly endsEarly?: true | undefined
  /** There is one connection, and the transaction has it. */
  readonly single?: true | undefined
  /** Its own way to listen. */
  listen?(channel: string, wake: () => void): Promise<() => Promise<void>>
  /** Connections for listening, unless the options have another way. */
  readonly listener?: (() => PgListenClient) | undefined
  end?(): Promise<void>
}

/** The options that every preset takes. */
export const PRESET_OPTIONS: readonly (keyof PostgresDriverOptions)[] = [
  'connectWithinMs',
  'answerWithinMs',
  'listener',
  'heartbeatMs',
  'onListenState',
  'clock',
  'random',
]

// A ROLLBACK only tidies up; whoever waits wants to know why it failed.
const ROLLBACK_WITHIN_MS = 5_000

/** Where an error happened that did not come out of the work. */
const OUTSIDE = { begin: 'connect', work: 'transaction', commit: 'commit' } as const

// To whom nobody listens any more nothing is said: it would act on it.
const NEVER = new Promise<never>(() => undefined)

interface Scope {
  open: boolean
}

export function createPreset<Tx extends object>(
  preset: Preset<Tx>,
  options: PostgresDriverOptions,
  more: readonly string[] = [],
): PostgresDriver<Tx> {
  knownOptions(preset.name, options, [...PRESET_OPTIONS, ...more])
  const clock = options.clock ?? systemClock
  const connectWithinMs = durationOption('connectWithinMs', options.connectWithinMs, 30_000)
  const answerWithinMs = durationOption('answerWithinMs', options.answerWithinMs, 30_000)
  const heartbeatMs = durationOption('heartbeatMs', options.heartbeatMs, 10_000)
  const open = new WeakSet<object>()
  const over = new WeakSet<object>()
  const scopes = new AsyncLocalStorage<Scope>()

  const connect = options.listener ?? preset.listener
  const listener =
    connect === undefined
      ? undefined
      : createListener({
          connect,
          heartbeatMs,
          answerWithinMs: Math.min(answerWithinMs, 5_000),
          clock,
          random: options.random ?? systemRandom,
          onState: options.onListenState,
        })

  const isTransaction = (candidate: unknown): candidate is Tx => {
    if ((typeof candidate !== 'object' && typeof candidate !== 'function') || candidate === null) return false
    return open.has(candidate) || (!over.has(candidate) && preset.isOpen(candidate))
  }

  const run = async (tx: Tx, text: string, params: readonly unknown[]): Promise<SqlResult> => {
    const client = await preset.clientOf?.(tx)
    if (client !== undefined) {
      if (statusOf(client) === 'I') throw required()
      return resultOf(await client.query(queryOf(text, params)))
    }
    if (preset.run === undefined) throw required()
    return preset.run(tx, text, params)
  }

  const query = async (tx: Tx, text: string, params: readonly unknown[]): Promise<SqlResult> => {
    if (!isTransaction(tx)) throw required()
    try {
      if (!open.has(tx)) await preset.verify?.(tx)
      return await run(tx, text, params)
    } catch (error) {
      throw classifyPostgres(error, { phase: 'transaction' })
    }
  }

  const execute = async (text: string, params: readonly unknown[]): Promise<SqlResult> => {
    if (preset.single && scopes.getStore()?.open)
      throw misuse('there is one connection, and this transaction has it: use query(tx, ...), or detached(() => ...)')
    let late = false
    let client: PgClient | undefined
    try {
      const answer = preset.runAlone(text, params, (shown) => {
        // Nobody waits any more: nothing is to be done then.
        if (late) throw new Error('the connection came too late')
        client = shown
      })
      return await boundedBy(clock, answerWithinMs, answer, 'TIMED_OUT', 'PostgreSQL did not answer', 'postgres')
    } catch (error) {
      late = true
      // Only a connection that is closed goes back to its pool, which makes another one.
      if (isFairleadError(error) && error.code === 'TIMED_OUT') endConnection(client)
      throw classifyPostgres(error)
    }
  }

  /** Rejects where COMMIT would not do what it says. */
  const assertSound = async (tx: Tx, watch: Watch | undefined): Promise<void> => {
    if (watch?.lost !== undefined) throw watch.lost
    if (!preset.isOpen(tx)) throw endedItself()
    const client = await preset.clientOf?.(tx)
    const status = client === undefined ? undefined : statusOf(client)
    if (status === 'I') throw endedItself()
    if (status === 'E') throw swallowed()
    if (client === undefined && preset.silentRollback !== true) return
    // An error comes before the word of what became of the transaction; without one there is nothing to ask.
    if (status === 'T' && watch?.refused === false) return
    try {
      await run(tx, 'select 1', [])
    } catch (error) {
      throw sqlStateOf(error) === '25P02' ? swallowed() : error
    }
  }

  /** What to tell of an error that came out of the work. */
  const verdict = async (error: unknown, tx: Tx, watch: Watch | undefined): Promise<unknown> => {
    if (isFairleadError(error) || !isOfPostgres(error)) return error
    const known = classifyPostgres(error)
    // What was tried afterwards says less than what came first.
    if (watch?.lost !== undefined && known.code === 'TRANSACTION_REQUIRED')
      return classifyPostgres(watch.lost, { phase: 'transaction' })
    if (known.effect === 'none') return known
    if (watch !== undefined)
      return watch.caused(unwrapped(error)) ? classifyPostgres(error, { phase: 'transaction' }) : known
    if (!open.has(tx)) return classifyPostgres(error, { phase: 'transaction' })
    // It may have come over another connection, and then nobody knows what became of it there. Ours is the one that is lost if it does not answer.
    const alive = await boundedBy(
      clock,
      Math.min(answerWithinMs, ROLLBACK_WITHIN_MS),
      run(tx, 'select 1', []),
      'TIMED_OUT',
      '',
      'postgres',
    )
      .then(() => true)
      .catch((failure: unknown) => sqlStateOf(failure) === '25P02')
    return alive ? known : classifyPostgres(error, { phase: 'transaction' })
  }

  const transaction = async <T>(work: (tx: Tx) => Promise<T>): Promise<T> => {
    if (scopes.getStore()?.open) throw nested()
    const scope: Scope = { open: true }
    // The driver may come back in the context of its pool.
    const caller = new AsyncResource('fairlead.transaction')
    const alarm = createAlarm(clock)
    const at: { phase: 'begin' | 'work' | 'commit' } = { phase: 'begin' }
    const outcome: { failed?: { readonly error: unknown } } = {}
    let held: Tx | undefined
    let watch: Watch | undefined
    let ended = false

    const inside = async (tx: Tx): Promise<T> => {
      if (alarm.rang) throw new Error('the transaction came too late')
      alarm.stop()
      at.phase = 'work'
      held = tx
      try {
        const client = await preset.clientOf?.(tx)
        if (client !== undefined) watch = watchClient(client, true)
        open.add(tx)
        const value = await caller.runInAsyncScope(() => scopes.run(scope, () => work(tx)))
        if (ended) return NEVER
        await assertSound(tx, watch)
        alarm.set(answerWithinMs, 'TIMED_OUT', 'PostgreSQL did not answer COMMIT')
        at.phase = 'commit'
        return value
      } catch (error) {
        // Both are told at once, and the work is the first to hear.
        if (preset.endsEarly) await new Promise<void>((resolve) => nextTurn(resolve, undefined))
        outcome.failed = { error: await verdict(error, tx, watch) }
        if (ended) return NEVER
        alarm.set(ROLLBACK_WITHIN_MS, 'TIMED_OUT', 'PostgreSQL did not answer ROLLBACK')
        throw error
      } finally {
        scope.open = false
        open.delete(tx)
        over.add(tx)
      }
    }

    const end = (): void => {
      ended = true
      scope.open = false
      if (held === undefined) return
      open.delete(held)
      over.add(held)
    }

    alarm.set(connectWithinMs, 'CONNECT_TIMEOUT', 'no connection to PostgreSQL')
    try {
      const running = preset.begin(inside)
      running.then(end, end)
      const value = await Promise.race([running, alarm.ringing])
      // Not all of them reject when the work did: what it threw may look like nothing to them.
      if (outcome.failed !== undefined) throw outcome.failed.error
      return value
    } catch (error) {
      if (outcome.failed !== undefined) throw outcome.failed.error
      throw classifyPostgres(error, { phase: OUTSIDE[at.phase] })
    } finally {
      alarm.stop()
      // A client that was given up is still out of its pool, and may yet break.
      if (!alarm.rang) watch?.stop()
    }
  }

  const listen = preset.listen ?? listener?.listen
  return {
    dialect: 'postgres',
    transaction,
    isTransaction,
    query,
    execute,
    ...(listen === undefined ? {} : { listen }),
    ...closable(async () => {
      await listener?.close()
      await preset.end?.()
    }),
  }
}

/** A client that waits for an answer closes its socket at once, and what waits is rejected. */
function endConnection(client: PgClient | undefined): void {
  const { end } = (client ?? {}) as { readonly end?: unknown }
  if (typeof end === 'function') Promise.resolve(end.call(client)).catch(() => undefined)
}

interface Alarm {
  /** Nobody waits any more. */
  readonly rang: boolean
  readonly ringing: Promise<never>
  set(ms: number, code: 'CONNECT_TIMEOUT' | 'TIMED_OUT', what: string): void
  stop(): void
}

/** One bound after the other for the same wait: these drivers do not say by themselves when they have waited long enough. */
function createAlarm(clock: Clock): Alarm {
  let timer: unknown
  let rang = false
  let ring: (error: Error) => void = () => undefined
  const ringing = new Promise<never>((_, reject) => {
    ring = reject
  })
  ringing.catch(() => undefined)
  const stop = (): void => {
    if (timer !== undefined) clock.clearTimer(timer)
    timer = undefined
  }
  return {
    get rang() {
      return rang
    },
    ringing,
    stop,
    set(ms, code, what) {
      stop()
      timer = clock.setTimer(
        () => {
          rang = true
          ring(createError({ code, message: `${what} within ${ms} ms`, transport: 'postgres' }))
        },
        ms,
        undefined,
      )
    },
  }
}
