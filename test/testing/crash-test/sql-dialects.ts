// The dialects on which SQL stages are tested: how a stage is made, and how its user writes a statement in a transaction.
import { createRequire } from 'node:module'
import { PGlite } from '@electric-sql/pglite'
import { pgliteDriver, postgresStore } from '../../../src/adapters/postgres/index.ts'
import { libsqlDriver, type SqliteHandle, sqliteStore } from '../../../src/adapters/sqlite/index.ts'
import type { Store } from '../../../src/core/contracts/store.ts'
import { type DatabaseStage, type SqlFacts, sqlStage } from '../../../src/testing/crash-test/index.ts'

/** A store whose transactions take statements of the test. */
export interface Shop extends Store<any> {
  /** As the user of the dialect writes it. */
  run(tx: any, text: string, params: readonly unknown[]): Promise<readonly Record<string, any>[]>
  /** Through the driver. */
  query(tx: any, text: string, params: readonly unknown[]): Promise<readonly Record<string, any>[]>
  alone(text: string, params: readonly unknown[]): Promise<readonly Record<string, any>[]>
}

export interface Dialect {
  readonly name: string
  /** Schedules of a test in which nothing is found. */
  readonly few: number
  stage(...tables: readonly string[]): DatabaseStage<Shop, SqlFacts>
}

const Libsql = createRequire(import.meta.url)('libsql') as new (path: string) => SqliteHandle & { close(): void } & any

/** A driver on an empty SQLite in memory. */
export const emptySqlite = (): ReturnType<typeof libsqlDriver> => libsqlDriver(new Libsql(':memory:') as any)

export const sqlite: Dialect = {
  name: 'SQLite in memory',
  few: 150,
  stage: (...tables) => {
    let handle: any
    return sqlStage({
      driver: () => libsqlDriver((handle = new Libsql(':memory:')) as any),
      store: (driver, { clock }): Shop => ({
        ...sqliteStore(driver, { clock }),
        // Synchronous, as better-sqlite3 and its like are.
        run: async (tx, text, params) => {
          const statement = tx.prepare(text.replaceAll(/\$\d+/g, '?'))
          if (statement.reader) return statement.all(params)
          statement.run(params)
          return []
        },
        query: async (tx, text, params) => (await driver.query(tx, text.replaceAll(/\$\d+/g, '?'), params)).rows,
        alone: async (text, params) => (await driver.execute(text.replaceAll(/\$\d+/g, '?'), params)).rows,
      }),
      migrate: async (driver) => {
        for (const table of tables) await driver.execute(table, [])
      },
      close: () => handle.close(),
    })
  },
}

let dump: Promise<Blob> | undefined

/** Data of a PGlite in which fairlead's tables are made already: opened in a fraction of the time. */
const dumped = (): Promise<Blob> =>
  (dump ??= (async () => {
    const db = await PGlite.create()
    const driver = pgliteDriver(db)
    await postgresStore(driver).migrate()
    await driver.close()
    const data = await db.dumpDataDir('none')
    await db.close()
    return data
  })())

export const pglite: Dialect = {
  name: 'PGlite from a dump',
  few: 30,
  stage: (...tables) => {
    let db: PGlite
    return sqlStage({
      driver: async () => {
        db = await PGlite.create({ loadDataDir: await dumped() })
        return pgliteDriver(db)
      },
      store: (driver, { clock }): Shop => ({
        ...postgresStore(driver, { clock }),
        run: async (tx, text, params) => (await tx.query(text, [...params])).rows,
        query: async (tx, text, params) => (await driver.query(tx, text, params)).rows,
        alone: async (text, params) => (await driver.execute(text, params)).rows,
      }),
      migrate: async (driver) => {
        for (const table of tables) await driver.execute(table, [])
      },
      close: async (driver) => {
        await driver.close()
        await db.close()
      },
    })
  },
}

export const dialects: readonly Dialect[] = [sqlite, pglite]
