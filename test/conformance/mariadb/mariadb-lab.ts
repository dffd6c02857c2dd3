// A database of a test's own on the MariaDB of test/services/up, dropped at the end; and stores on it.
import { randomUUID } from 'node:crypto'
import { createPool, type Pool, type PoolConnection, type PoolOptions } from 'mysql2/promise'
import {
  type Mysql2DriverOptions,
  type MysqlDriver,
  type MysqlStore,
  type MysqlStoreOptions,
  mysql2Driver,
  mysqlStore,
} from '../../../src/adapters/mysql/index.ts'
import { type ServerAddress, server } from '../../services/servers.ts'

export interface MariadbLab {
  readonly database: string
  /** A pool with rights to everything. */
  readonly pool: Pool
  readonly driver: MysqlDriver<PoolConnection>
  newPool(options?: PoolOptions): Pool
  newDriver(pool?: PoolOptions, options?: Mysql2DriverOptions): MysqlDriver<PoolConnection>
  newStore(options?: MysqlStoreOptions, pool?: PoolOptions): MysqlStore<PoolConnection>
  close(): Promise<void>
}

/** An address of the shared server. */
export const mariadbAddress = (): ServerAddress => {
  const address = server('mariadb')
  if (address === undefined) throw new Error('mariadb is not up')
  return address
}

export const mariadbLab = async (
  address: ServerAddress = mariadbAddress(),
  common: PoolOptions = {},
): Promise<MariadbLab> => {
  const database = `lab_${randomUUID().replaceAll('-', '')}`
  const pools: Pool[] = []
  const make = createPool({ host: address.host, port: address.port, user: 'root', connectionLimit: 1 })
  await make.query(`create database ${database}`)
  const newPool = (options: PoolOptions = {}): Pool => {
    const pool = createPool({
      host: address.host,
      port: address.port,
      user: 'root',
      database,
      connectionLimit: 8,
      ...common,
      ...options,
    })
    pools.push(pool)
    return pool
  }
  const pool = newPool()
  const driver = mysql2Driver(pool)
  return {
    database,
    pool,
    driver,
    newPool,
    newDriver: (options, more) => mysql2Driver(newPool(options), more),
    newStore: (options, poolOptions) =>
      mysqlStore(poolOptions === undefined ? driver : mysql2Driver(newPool(poolOptions)), options),
    async close() {
      await make.query(`drop database if exists ${database}`).catch(() => undefined)
      await make.end().catch(() => undefined)
      for (const each of pools) await each.end().catch(() => undefined)
    },
  }
}

let made = 0

/** An envelope with a body of text. */
export const envelope = (
  over: {
    readonly id?: string
    readonly key?: string
    readonly body?: string | Uint8Array
    readonly headers?: Record<string, string>
  } = {},
) => {
  const { id = `m${++made}`, key, body = `body of ${id}`, headers = {} } = over
  return {
    id,
    ...(key === undefined ? undefined : { key }),
    attributes: { type: 'test.made', source: '/lab' },
    headers,
    body: typeof body === 'string' ? new TextEncoder().encode(body) : body,
  }
}

export const row = (over: Parameters<typeof envelope>[0] = {}, name = 'orders') => ({
  channel: { kind: 'topic' as const, name },
  envelope: envelope(over),
})
