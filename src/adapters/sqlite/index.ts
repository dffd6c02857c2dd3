// fairlead/sqlite: everything that keeps its state in a file of SQLite.
export { classifySqlite, type SqliteHints, type SqlitePhase } from './classify-sqlite.ts'
export type { SqliteDriver, SqliteDriverOptions } from './driver.ts'
export {
  type BetterSqliteHandle,
  inTransaction,
  type NodeSqliteHandle,
  type SqliteHandle,
  type SqliteStatement,
  type SqliteTx,
} from './handle-types.ts'
export { printSqliteMigrations, type SqliteTablesOptions } from './migrate.ts'
export { type OpenSqliteOptions, openSqlite, type SqliteFile } from './open-sqlite.ts'
export { betterSqliteDriver, libsqlDriver, nodeSqliteDriver } from './presets.ts'
export { type SqliteStoreOptions, sqliteStore } from './store/store.ts'
