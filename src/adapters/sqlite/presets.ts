// A driver for each package that opens files of SQLite.
import { invalidOption } from '../../core/options.ts'
import { driverOver, type SqliteDriver, type SqliteDriverOptions } from './driver.ts'
import { betterEngine, nodeEngine } from './engine.ts'
import type { BetterSqliteHandle, NodeSqliteHandle, SqliteTx } from './handle-types.ts'

/**
 * Speaks through a database of `better-sqlite3`. Open it in WAL mode (`db.pragma('journal_mode = WAL')`), or writers stop readers.
 * @throws FairleadError `INVALID_OPTIONS`
 * @example const driver = betterSqliteDriver(new Database('shop.db'))
 */
export function betterSqliteDriver<D extends BetterSqliteHandle>(
  handle: D,
  options: SqliteDriverOptions = {},
): SqliteDriver<SqliteTx<D>> {
  return betterOver('betterSqliteDriver', handle, options)
}

/**
 * Speaks through a database of `libsql` (the synchronous one, not `libsql/promise`).
 * @throws FairleadError `INVALID_OPTIONS`
 * @example const driver = libsqlDriver(new Database('shop.db'))
 */
export function libsqlDriver<D extends BetterSqliteHandle>(
  handle: D,
  options: SqliteDriverOptions = {},
): SqliteDriver<SqliteTx<D>> {
  return betterOver('libsqlDriver', handle, options)
}

/**
 * Speaks through a `DatabaseSync` of `node:sqlite`, Node 22.13 or later.
 * @throws FairleadError `INVALID_OPTIONS`
 * @example const driver = nodeSqliteDriver(new DatabaseSync('shop.db'))
 */
export function nodeSqliteDriver<D extends NodeSqliteHandle>(
  handle: D,
  options: SqliteDriverOptions = {},
): SqliteDriver<SqliteTx<D>> {
  if (!canPrepare(handle) || 'inTransaction' in handle)
    throw invalidOption('handle', handle, 'nodeSqliteDriver wants a DatabaseSync of node:sqlite')
  return driverOver('nodeSqliteDriver', handle, nodeEngine(handle), options)
}

function betterOver<D extends BetterSqliteHandle>(
  what: string,
  handle: D,
  options: SqliteDriverOptions,
): SqliteDriver<SqliteTx<D>> {
  if (!canPrepare(handle) || typeof handle.inTransaction !== 'boolean')
    throw invalidOption('handle', handle, `${what} wants an open database, of a package whose calls are synchronous`)
  return driverOver(what, handle, betterEngine(handle), options)
}

function canPrepare(handle: unknown): boolean {
  if (typeof handle !== 'object' || handle === null) return false
  const { prepare, exec } = handle as Readonly<Record<string, unknown>>
  return typeof prepare === 'function' && typeof exec === 'function'
}
