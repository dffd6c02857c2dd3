// The PostgreSQL store: outbox, inbox, responses, states and checkpoints in one schema, in the transactions of the user's own driver.
import { type Clock, systemClock } from '../../../core/clock.ts'
import type { SqlDriver, Store } from '../../../core/contracts/store.ts'
import { KEEPING, type KeepingOptions, keepingOf } from '../../../core/keeping.ts'
import { invalidOption, knownOptions } from '../../../core/options.ts'
import { transactional } from '../../../core/transactional.ts'
import { createError, isFairleadError } from '../../../errors/index.ts'
import { postgresCheckpoints } from '../checkpoints.ts'
import { checkMigrations, migrate, ownerOf, type SchemaOptions, schemaOf } from '../migrate.ts'
import { identifier } from '../names.ts'
import { notMigrated } from '../not-migrated.ts'
import { postgresIdempotency } from './idempotency.ts'
import { postgresInbox } from './inbox.ts'
import { postgresOutbox } from './outbox.ts'
import { openSession } from './session.ts'
import { postgresStates } from './states.ts'

/** Options of a store in PostgreSQL. All may be left out. */
export interface PostgresStoreOptions extends SchemaOptions, KeepingOptions {
  /** Which service its tables belong to: `migrate` sets the mark, and another owner is refused from then on. Default: nobody says. */
  readonly owner?: string | undefined
  /** For `until` of leases; all else goes by the clock of the database. Default: real time. */
  readonly clock?: Clock | undefined
}

const OPTIONS: readonly (keyof PostgresStoreOptions)[] = ['schema', 'owner', ...KEEPING, 'clock']

/**
 * A store in PostgreSQL, in the transactions of any driver; `migrate` makes its tables. Nothing of it stays in a session,
 * so a pooler in transaction mode may stand between.
 * @throws FairleadError `INVALID_OPTIONS`; and of its parts: `TRANSACTION_REQUIRED` for a transaction that is over,
 * `TRANSACTION_CONFLICT`, `CHANNEL_NOT_FOUND` where the schema was not migrated, and what else the database says
 * @example
 * const store = postgresStore(pgDriver(pool), { owner: 'shop' })
 * await store.migrate()
 */
export function postgresStore<Tx>(driver: SqlDriver<Tx>, options: PostgresStoreOptions = {}): Store<Tx> {
  knownOptions('postgresStore', options, OPTIONS)
  if (driver?.dialect !== 'postgres') throw invalidOption('driver', driver, 'give a driver for PostgreSQL')
  const { clock = systemClock } = options
  const owner = ownerOf(options.owner)
  const { archive, inboxRetentionMs, idempotencyRetentionMs } = keepingOf(options)
  const schema = schemaOf(options.schema)

  let closed = false
  const running: SqlDriver<Tx> = {
    dialect: driver.dialect,
    ...(driver.closes === true ? { closes: true as const } : undefined),
    async transaction(work, options) {
      if (closed) throw shutdown()
      const { opening, closing } = options ?? {}
      // What is under way is a statement of ours, or one of the caller's work.
      let ours = opening !== undefined
      try {
        return await driver.transaction(
          (tx, opened) => {
            ours = false
            return work(tx, opened)
          },
          {
            opening,
            closing: () => {
              const statement = closing?.()
              ours = statement !== undefined
              return statement
            },
          },
        )
      } catch (error) {
        throw ours && isFairleadError(error) ? notMigrated(error, schema) : error
      }
    },
    isTransaction: (candidate): candidate is Tx => driver.isTransaction(candidate),
    query: (tx, text, params) => (closed ? Promise.reject(shutdown()) : driver.query(tx, text, params)),
    execute: (text, params) => (closed ? Promise.reject(shutdown()) : driver.execute(text, params)),
    ...(driver.listen === undefined
      ? undefined
      : {
          listen: (channel, wake) =>
            closed ? Promise.reject(shutdown()) : (driver.listen?.(channel, wake) as Promise<() => Promise<void>>),
        }),
  }
  const session = openSession(running, schema, identifier('schema', schema), clock)
  return {
    name: 'postgres',
    owner,
    ...transactional(running),
    outbox: postgresOutbox(session, archive),
    inbox: postgresInbox(session, inboxRetentionMs),
    idempotency: postgresIdempotency(session, idempotencyRetentionMs),
    states: postgresStates(session),
    checkpoints: postgresCheckpoints(running, { schema, clock }),
    migrate: () => migrate(running, { schema, owner }),
    check: () => checkMigrations(running, { schema, owner }),
    async close() {
      closed = true
    },
  }
}

function shutdown(): Error {
  return createError({ code: 'SHUTDOWN', message: 'the store is closed', transport: 'postgres' })
}
