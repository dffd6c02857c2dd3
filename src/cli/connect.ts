// From the URL of a database to its store, through the driver that the project at hand has installed.
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'
import { mysql2Driver, mysqlStore } from '../adapters/mysql/index.ts'
import { type PgPool, pgDriver, postgresStore } from '../adapters/postgres/index.ts'
import { openSqlite, sqliteStore } from '../adapters/sqlite/index.ts'
import type { Store } from '../core/contracts/store.ts'
import type { Io } from './io.ts'
import { Usage } from './usage.ts'

/** An open store. */
export interface Place {
  readonly store: Store<unknown>
  close(): Promise<void>
}

/** Opens the store behind a URL. @throws Usage for a URL that says no database, or a driver that is not installed */
export async function connect(
  url: string | undefined,
  schema: string | undefined,
  prefix: string | undefined,
  io: Io,
): Promise<Place> {
  if (url === undefined) throw new Usage('say where: --database postgres://..., or $DATABASE_URL')
  const [scheme = ''] = url.split(':', 1)
  if (scheme === 'postgres' || scheme === 'postgresql') {
    only('schema', prefix, '--prefix')
    const { Pool } = installed<{ Pool: new (options: object) => PgPool & { end(): Promise<void> } }>('pg', io)
    const pool = new Pool({ connectionString: url, max: 2 })
    const driver = pgDriver(pool)
    const store = postgresStore(driver, { schema })
    return {
      store,
      close: () =>
        store
          .close()
          .then(() => driver.close())
          .then(() => pool.end()),
    }
  }
  if (scheme === 'mysql' || scheme === 'mariadb') {
    only('prefix', schema, '--schema')
    const { createPool } = installed<{
      createPool(url: string): Parameters<typeof mysql2Driver>[0] & { end(): Promise<void> }
    }>('mysql2/promise', io)
    const pool = createPool(url.replace(/^mariadb:/, 'mysql:'))
    const store = mysqlStore(mysql2Driver(pool), { prefix })
    return { store, close: () => store.close().then(() => pool.end()) }
  }
  if (scheme === 'sqlite' || scheme === 'file') {
    only('prefix', schema, '--schema')
    const path = resolve(io.cwd, url.slice(scheme.length + 1).replace(/^\/\/(?=\/)/, ''))
    // SQLite would make one.
    if (!existsSync(path)) throw new Usage(`there is no file ${path}`)
    const driver = await openSqlite(path)
    const store = sqliteStore(driver, { prefix })
    return { store, close: () => store.close().then(() => driver.close()) }
  }
  throw new Usage(`${scheme}: is no database that is known here; give postgres://, mysql:// or sqlite:path`)
}

function only(name: string, other: string | undefined, option: string): void {
  if (other !== undefined) throw new Usage(`${option} means nothing there: give --${name}`)
}

function installed<T>(name: string, { cwd }: Io): T {
  try {
    return createRequire(join(cwd, 'package.json'))(name) as T
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') throw error
    throw new Usage(`${name.split('/')[0]} is not installed in ${cwd}: run this in your project, or install it there`)
  }
}
