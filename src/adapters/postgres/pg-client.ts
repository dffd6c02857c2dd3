// One client of `pg` while it is held: what it is asked, what it says of its transaction, what is lost on it. For every driver that has one underneath.

import type { SqlResult } from '../../core/contracts/store.ts'
import { createError, type FairleadError } from '../../errors/index.ts'
import type { PgClient, PgListenClient, PgPool, PgQuery, PgResult } from './pg-types.ts'
import { RESULT_TYPES } from './result-types.ts'

/** What became of a client while it was watched. */
export interface Watch {
  /** What ended the connection meanwhile. */
  readonly lost: Error | undefined
  /** A statement was refused; like the next, known only where it was asked for. */
  readonly refused: boolean
  /** Whether this error came over this connection. */
  caused(error: unknown): boolean
  stop(): void
}

interface Emitter {
  on(event: string, listener: (message: object) => void): unknown
  removeListener(event: string, listener: (message: object) => void): unknown
}

/**
 * Watches a client that is out of its pool: without a listener, an error of it would end the process.
 * @param causes whether to note which errors came over it
 */
export function watchClient(client: PgClient, causes: boolean): Watch {
  let lost: Error | undefined
  let refused = false
  const said = causes ? new WeakSet<object>() : undefined
  const onError = (error: Error): void => {
    lost ??= error
  }
  const onMessage = (message: object): void => {
    refused = true
    said?.add(message)
  }
  const { connection } = client as { readonly connection?: Emitter }
  client.on('error', onError)
  if (causes) connection?.on('errorMessage', onMessage)
  return {
    get lost() {
      return lost
    },
    get refused() {
      return refused
    },
    caused: (error) =>
      (lost !== undefined && error === lost) ||
      (typeof error === 'object' && error !== null && said?.has(error) === true),
    stop() {
      if (causes) connection?.removeListener('errorMessage', onMessage)
      client.removeListener('error', onError)
    },
  }
}

/**
 * Takes a client out of a pool. With the promise of `pg` there would be a gap before anybody could listen to it, in which an error ends the process: a server that
 * shuts down may say so in the same packet in which it lets us in. What the client says is ignored until `takenOver`; what is asked of it afterwards fails.
 */
export function takeFrom(pool: PgPool): Promise<PgClient> {
  const { connect } = pool as { connect(done?: (error: unknown, client?: PgClient) => void): unknown }
  // Pools of this shape that know of promises only.
  if (connect.length === 0) return pool.connect()
  return new Promise((resolve, reject) => {
    connect.call(pool, (error, client) => {
      if (client === undefined) return reject(error)
      client.on('error', ignored)
      resolve(client)
    })
  })
}

/** Somebody else listens to it from here on, or the pool does again. */
export function takenOver(client: PgClient): void {
  client.removeListener('error', ignored)
}

function ignored(): void {}

/** `I` idle, `T` in a transaction, `E` in a failed one; undefined where the client cannot say (pg before 8.17). */
export function statusOf(client: object): unknown {
  const { getTransactionStatus } = client as { readonly getTransactionStatus?: () => unknown }
  return typeof getTransactionStatus === 'function' ? getTransactionStatus.call(client) : undefined
}

/** One statement, or several without parameters, with our own parsers. */
export function queryOf(text: string, params: readonly unknown[]): PgQuery {
  return params.length === 0
    ? { text, types: RESULT_TYPES }
    : { text, values: params as unknown[], types: RESULT_TYPES }
}

export function resultOf(result: PgResult | readonly PgResult[]): SqlResult {
  const last = Array.isArray(result) ? (result as readonly PgResult[]).at(-1) : (result as PgResult)
  return { rows: last?.rows ?? [], affected: last?.rowCount ?? 0 }
}

/** Makes connections with the options of a pool, which keeps what it makes clients of. The pool itself may be full, or have a size of one: a listener must not wait in it. */
export function ownConnection(pool: PgPool): () => PgListenClient {
  return () => {
    const { Client, options } = pool as {
      readonly Client?: new (options: unknown) => PgListenClient
      readonly options?: unknown
    }
    if (typeof Client !== 'function')
      throw createError({
        code: 'CAPABILITY_MISSING',
        message: 'this pool does not say how to make a connection that listens: give the driver a `listener`',
      })
    return new Client(options)
  }
}

// ---- what all drivers say of misuse ------------------------------------------------------------------------------------

export function misuse(message: string, effect: 'none' | 'unknown' = 'none'): FairleadError {
  return createError({ code: 'PROGRAMMING_ERROR', effect, message })
}

export const nested = (): FairleadError =>
  misuse(
    'a transaction was begun inside another one of the same driver. It would commit on its own, and wait for ever for a connection when the pool is empty: use the one at hand, or detached(() => ...)',
  )

export const endedItself = (): FairleadError =>
  misuse('the work ended the transaction itself: leave COMMIT and ROLLBACK to transaction()', 'unknown')

export const swallowed = (): FairleadError =>
  misuse(
    'a statement of the transaction failed and its error was swallowed, so PostgreSQL has rolled everything back: let the error out, or put a savepoint before that statement',
  )

export const required = (): FairleadError =>
  createError({
    code: 'TRANSACTION_REQUIRED',
    message:
      'an open transaction is needed here: give what transaction() gave, or one of your own between BEGIN and COMMIT',
  })
