// The database of a service of the demo: a file of SQLite, or a schema of your PostgreSQL. The rest of the demo does not know which.
import type { SqlDriver, Store } from 'fairlead/core'
import { pgDriver, postgresStore } from 'fairlead/postgres'
import { openSqlite, sqliteStore } from 'fairlead/sqlite'
import { Pool } from 'pg'

/** Where the databases are: a folder, or a postgres:// URL with a prefix for the names of schemas. */
export interface Databases {
  readonly folder: string
  readonly postgres?: { readonly url: string; readonly prefix: string } | undefined
}

/** One of them. */
export interface Database {
  readonly store: Store<unknown>
  /** In a transaction; `?` stands for a parameter, and a table is written `{name}`. */
  run(tx: unknown, text: string, ...params: readonly unknown[]): Promise<readonly Record<string, unknown>[]>
  /** By itself. */
  read(text: string, ...params: readonly unknown[]): Promise<readonly Record<string, unknown>[]>
  close(): Promise<void>
}

/** Opens the database of a service, with the tables of fairlead and those given. */
export async function openDatabase(where: Databases, service: string, ...tables: readonly string[]): Promise<Database> {
  const database =
    where.postgres === undefined ? await sqlite(where.folder, service) : postgres(where.postgres, service)
  await database.store.migrate()
  for (const table of tables) await database.read(`create table if not exists ${table}`)
  return database
}

async function sqlite(folder: string, service: string): Promise<Database> {
  const driver = await openSqlite(`${folder}/${service}.db`)
  const store = sqliteStore(driver, { owner: service })
  return {
    ...statements(
      driver,
      (name) => `"${name}"`,
      () => '?',
    ),
    store,
    close: () => store.close().then(() => driver.close()),
  }
}

function postgres({ url, prefix }: { readonly url: string; readonly prefix: string }, service: string): Database {
  const pool = new Pool({ connectionString: url, max: 4 })
  const driver = pgDriver(pool)
  const schema = `${prefix}_${service}`
  const store = postgresStore(driver, { schema, owner: service })
  return {
    ...statements(
      driver,
      (name) => `"${schema}"."${name}"`,
      (n) => `$${n}`,
    ),
    store,
    close: () =>
      store
        .close()
        .then(() => driver.close())
        .then(() => pool.end()),
  }
}

function statements<Tx>(
  driver: SqlDriver<Tx>,
  table: (name: string) => string,
  parameter: (n: number) => string,
): Pick<Database, 'run' | 'read'> {
  const written = (text: string): string => {
    let n = 0
    return text.replace(/\{(\w+)\}/g, (_, name: string) => table(name)).replace(/\?/g, () => parameter(++n))
  }
  return {
    run: async (tx, text, ...params) => (await driver.query(tx as Tx, written(text), params)).rows,
    read: async (text, ...params) => (await driver.execute(written(text), params)).rows,
  }
}

/** Leaves nothing behind. The folder of files is the demo's own. */
export async function dropDatabases({ postgres: where }: Databases): Promise<void> {
  if (where === undefined) return
  const pool = new Pool({ connectionString: where.url, max: 1 })
  for (const service of ['order', 'warehouse', 'notification'])
    await pool.query(`drop schema if exists "${where.prefix}_${service}" cascade`)
  await pool.end()
}
