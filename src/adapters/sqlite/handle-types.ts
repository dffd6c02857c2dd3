// The handles of SQLite, by structure: no package need be installed to type-check ours.

/** Marks a handle as one that has a transaction open. Nothing but `transaction` gives it. */
export const inTransaction: unique symbol = Symbol.for('fairlead.sqlite.inTransaction')

/** A handle inside a transaction. It is of use until the transaction ends; whoever uses it then gets `TRANSACTION_REQUIRED`. */
export type SqliteTx<D> = D & { readonly [inTransaction]: true }

/** What `better-sqlite3` and `libsql` call a database. */
export interface BetterSqliteHandle {
  readonly open: boolean
  readonly inTransaction: boolean
  prepare(sql: string): any
  exec(sql: string): unknown
}

/** What `node:sqlite` calls a DatabaseSync. */
export interface NodeSqliteHandle {
  prepare(sql: string): any
  exec(sql: string): void
  readonly isOpen?: boolean
  readonly isTransaction?: boolean
}

/** What all of them have in common: for code that should run on each. */
export interface SqliteHandle {
  exec(sql: string): unknown
  prepare(sql: string): SqliteStatement
}

/** A prepared statement, as far as all of them agree. Give each value as an argument of its own. */
export interface SqliteStatement {
  run(...params: unknown[]): { readonly changes: number | bigint; readonly lastInsertRowid: number | bigint }
  get(...params: unknown[]): unknown
  all(...params: unknown[]): unknown[]
}
