// Outbox, inbox and the rest in one file of SQLite.
import { type Clock, systemClock } from '../../../core/clock.ts'
import type { Store } from '../../../core/contracts/store.ts'
import { KEEPING, type KeepingOptions, keepingOf } from '../../../core/keeping.ts'
import { invalidOption, knownOptions } from '../../../core/options.ts'
import { transactional } from '../../../core/transactional.ts'
import type { SqliteDriver } from '../driver.ts'
import { checkSqlite, given, migrateSqlite, type SqliteTablesOptions } from '../migrate.ts'
import { tablesOf } from '../names.ts'
import { checkpointsOf } from './checkpoints.ts'
import { idempotencyOf } from './idempotency.ts'
import { inboxOf } from './inbox.ts'
import { outboxOf } from './outbox.ts'
import { statesOf } from './states.ts'
import { groundOf } from './tables.ts'

/** What a store keeps, and how long. All may be left out. */
export interface SqliteStoreOptions extends SqliteTablesOptions, KeepingOptions {
  /** The time of leases, of rows that wait and of retention. Processes that share a file share the time of their machine. Default: real time. */
  readonly clock?: Clock | undefined
}

/**
 * A store in a file of SQLite. `migrate()` makes its tables.
 *
 * SQLite lets one transaction write at a time, in all processes that have the file open; others wait. So a transaction should hold nothing up: do the calls
 * to other services before it. Leases and delays go by the time that the processes of one machine share, which no setting of its date moves; what is kept for a while
 * (archive, inbox) goes by the date.
 * @throws FairleadError `INVALID_OPTIONS`
 * @example
 * const store = sqliteStore(await openSqlite('shop.db'), { owner: 'orders' })
 * await store.migrate()
 */
export function sqliteStore<Tx>(driver: SqliteDriver<Tx>, options: SqliteStoreOptions = {}): Store<Tx> {
  knownOptions('sqliteStore', options, ['prefix', 'owner', ...KEEPING, 'clock'])
  if (driver?.dialect !== 'sqlite') throw invalidOption('driver', driver, 'give a driver for SQLite')
  const { prefix, owner, clock = systemClock } = options
  const { archive, inboxRetentionMs, idempotencyRetentionMs } = keepingOf(options)
  const ground = groundOf(driver, tablesOf(prefix), clock)
  const place: SqliteTablesOptions = { prefix, owner }
  given('sqliteStore', place)

  return {
    name: 'sqlite',
    owner,
    ...transactional(driver),
    handlesEnd: true,
    outbox: outboxOf(ground, archive),
    inbox: inboxOf(ground, inboxRetentionMs),
    idempotency: idempotencyOf(ground, idempotencyRetentionMs),
    states: statesOf(ground),
    checkpoints: checkpointsOf(ground),
    migrate: () => migrateSqlite(driver, place),
    check: () => checkSqlite(driver, place),
    async close() {
      // Nothing is held here; the handle stays the caller's.
    },
  }
}
