// The store in MySQL and MariaDB: its tables, and the parts on them.
import { type Clock, systemClock } from '../../../core/clock.ts'
import type { Store } from '../../../core/contracts/store.ts'
import { KEEPING, type KeepingOptions, keepingOf } from '../../../core/keeping.ts'
import { invalidOption, knownOptions } from '../../../core/options.ts'
import { transactional } from '../../../core/transactional.ts'
import type { MysqlDriver } from '../driver.ts'
import { checkBy, migrateBy, placeOf } from '../migrate.ts'
import { type MysqlTablesOptions, tablesOf } from '../names.ts'
import { mysqlCheckpoints } from './checkpoints.ts'
import { mysqlIdempotency } from './idempotency.ts'
import { mysqlInbox } from './inbox.ts'
import { mysqlOutbox } from './outbox.ts'
import { openSession } from './session.ts'
import { mysqlStates } from './states.ts'

/** Options of a store in MySQL or MariaDB. All may be left out. */
export interface MysqlStoreOptions extends MysqlTablesOptions, KeepingOptions {
  /** Which service the tables belong to: another owner is refused by `migrate` and `check`. */
  readonly owner?: string | undefined
  /** For `until` of leases. What is kept goes by the time of the database. Default: real time. */
  readonly clock?: Clock | undefined
}

/** A store in MySQL or MariaDB. */
export interface MysqlStore<Tx> extends Store<Tx> {
  readonly name: 'mysql'
}

const OPTIONS: readonly (keyof MysqlStoreOptions)[] = ['prefix', 'database', 'owner', ...KEEPING, 'clock']

/**
 * A store in InnoDB tables, in READ COMMITTED and in REPEATABLE READ. Tested with MariaDB 10.11; what it asks for, MySQL 8.0 has as well (JSON_TABLE), and there
 * a concurrent duplicate in the inbox is found to be busy after a second instead of at once.
 *
 * - `migrate()` makes and changes the tables and needs CREATE, ALTER and INDEX (and the right to use named locks, which everybody has). Everything else needs SELECT, INSERT, UPDATE and DELETE on them.
 * - Order per key holds where all who append use one server: in a cluster of several that take writes (Galera, group replication), send all writes to one.
 * - InnoDB lets others see a commit a moment before it is on the disk. With the binary log on (`sync_binlog=1`) what is seen is safe; without it, a crash of the server in
 *   that moment can lose a transaction whose message was published already. Keep `innodb_flush_log_at_trx_commit=1` in any case.
 * - A message must fit into `max_allowed_packet`, bodies that are not plain ASCII twice.
 * @throws FairleadError `INVALID_OPTIONS`
 * @example const store = mysqlStore(mysql2Driver(pool), { owner: 'shop' })
 */
export function mysqlStore<Tx>(driver: MysqlDriver<Tx>, options: MysqlStoreOptions = {}): MysqlStore<Tx> {
  knownOptions('mysqlStore', options, OPTIONS)
  if (driver?.dialect !== 'mysql' || typeof driver.session !== 'function')
    throw invalidOption('driver', driver, 'give a driver for MySQL: mysql2Driver(pool)')
  const { owner } = options
  const { archive, inboxRetentionMs, idempotencyRetentionMs } = keepingOf(options)
  if (owner !== undefined && (typeof owner !== 'string' || owner === ''))
    throw invalidOption('owner', owner, 'give the name of a service')
  const tables = tablesOf(options)
  const place = placeOf(options)
  const session = openSession(driver, tables, place, options.clock ?? systemClock)
  return {
    ...transactional(driver),
    name: 'mysql',
    owner,
    outbox: mysqlOutbox(session, archive),
    inbox: mysqlInbox(session, inboxRetentionMs),
    idempotency: mysqlIdempotency(session, idempotencyRetentionMs),
    states: mysqlStates(session),
    checkpoints: mysqlCheckpoints(session),
    migrate: () => migrateBy(driver, { place, tables, owner }),
    check: () => checkBy(driver, { place, tables, owner }),
    // It holds nothing: the pool is the caller's.
    close: async () => undefined,
  }
}
