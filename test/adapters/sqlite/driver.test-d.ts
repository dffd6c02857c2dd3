import type Database from 'libsql'
import { describe, expectTypeOf, it } from 'vitest'
import {
  inTransaction,
  libsqlDriver,
  nodeSqliteDriver,
  openSqlite,
  type SqliteDriver,
  type SqliteTx,
  sqliteStore,
} from '../../../src/adapters/sqlite/index.ts'
import type { SqlDriver, Store } from '../../../src/core/contracts/store.ts'

declare const libsql: Database.Database
/** What `node:sqlite` of Node 24 says of itself, as far as it matters. */
declare class DatabaseSync {
  prepare(sql: string): {
    run(...params: (string | number | bigint | null | Uint8Array)[]): { changes: number | bigint }
  }
  exec(sql: string): void
  readonly isOpen: boolean
  readonly isTransaction: boolean
  close(): void
}
declare const node: DatabaseSync

describe('the transaction type', () => {
  it('is the handle of the package, marked', () => {
    expectTypeOf(libsqlDriver(libsql)).toEqualTypeOf<SqliteDriver<SqliteTx<Database.Database>>>()
    expectTypeOf(libsqlDriver(libsql)).toExtend<SqlDriver<SqliteTx<Database.Database>>>()
    expectTypeOf(nodeSqliteDriver(node)).toEqualTypeOf<SqliteDriver<SqliteTx<DatabaseSync>>>()
    expectTypeOf(sqliteStore(libsqlDriver(libsql))).toEqualTypeOf<Store<SqliteTx<Database.Database>>>()
    void sqliteStore(nodeSqliteDriver(node)).transaction(async (tx) => {
      expectTypeOf(tx[inTransaction]).toEqualTypeOf<true>()
      expectTypeOf(tx).toExtend<DatabaseSync>()
    })
  })

  it('is not the handle itself', async () => {
    const store = sqliteStore(libsqlDriver(libsql))
    // @ts-expect-error the handle is no transaction
    void store.outbox.append(libsql, [])
    const file = await openSqlite('a.db')
    // @ts-expect-error nor is the file
    void sqliteStore(file).inbox.claim(file.handle, 'c', [])
    void sqliteStore(file).transaction(async (tx) => {
      await sqliteStore(file).inbox.claim(tx, 'c', [])
      tx.prepare('select ?').all('a', 1)
    })
  })

  it('is made of databases only', () => {
    // @ts-expect-error a DatabaseSync is no database of libsql
    libsqlDriver(node)
    // @ts-expect-error nothing to prepare with
    nodeSqliteDriver({})
  })
})
