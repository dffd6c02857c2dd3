// How a process of a chaos run reaches its database, and the store and transport that stand on it. The run itself goes straight to the server.
import { type MysqlDriver, mysql2Driver, mysqlStore } from 'fairlead/mysql'
import { pgDriver, postgresStore, postgresTransport } from 'fairlead/postgres'
import { createPool } from 'mysql2/promise'
import { Pool } from 'pg'
import type { SqlDriver, Store } from '../../../src/core/contracts/store.ts'
import type { MessageTransport } from '../../../src/core/contracts/transport.ts'
import type { ServerAddress } from '../../services/servers.ts'
import { type DatabaseName, LEASE_MS } from './words.ts'

export interface Opened {
  readonly driver: SqlDriver<object>
  readonly store: Store<object>
  /** A transport that is kept in the database. */
  transport(): MessageTransport
  close(): Promise<void>
}

/** The outbox has a schema of its own, and so has the transport. */
export const SCHEMA = 'shop'
export const WIRE_SCHEMA = 'wire'

/** What may be half-open is given up sooner than a lease. */
const ANSWER_MS = 4_000

export interface Way {
  readonly database: DatabaseName
  readonly at: ServerAddress
}

/** @param failed hears of every statement and transaction that fails */
export function openDatabase({ database, at }: Way, failed: (error: unknown) => void = () => undefined): Opened {
  return database === 'postgres' ? openPostgres(at, failed) : openMariadb(at, failed)
}

function openPostgres({ host, port }: ServerAddress, failed: (error: unknown) => void): Opened {
  const pool = new Pool({
    host,
    port,
    user: 'postgres',
    database: 'postgres',
    max: 12,
    connectionTimeoutMillis: ANSWER_MS,
  })
  pool.on('error', () => undefined)
  const real = pgDriver(pool, { connectWithinMs: ANSWER_MS, answerWithinMs: ANSWER_MS })
  const driver = heard(real as SqlDriver<object>, failed)
  return {
    driver,
    store: postgresStore(driver, { schema: SCHEMA }),
    transport: () => postgresTransport(real, { schema: WIRE_SCHEMA, leaseMs: LEASE_MS, pollMs: 200, notify: false }),
    async close() {
      await real.close()
      await pool.end()
    },
  }
}

function openMariadb({ host, port }: ServerAddress, failed: (error: unknown) => void): Opened {
  const pool = createPool({
    host,
    port,
    user: 'root',
    database: SCHEMA,
    connectionLimit: 12,
    connectTimeout: ANSWER_MS,
  })
  const real = mysql2Driver(pool, { connectWithinMs: ANSWER_MS, answerWithinMs: ANSWER_MS })
  const driver = heard(real as MysqlDriver<object>, failed)
  return {
    driver,
    store: mysqlStore(driver, { database: SCHEMA }),
    transport() {
      throw new Error('messages travel by HTTP push')
    },
    close: () => pool.end(),
  }
}

// The same driver, and every statement that fails is told of.
function heard<D extends SqlDriver<object>>(driver: D, failed: (error: unknown) => void): D {
  const hearing =
    <A extends unknown[], T>(ask: (...args: A) => Promise<T>) =>
    (...args: A): Promise<T> =>
      ask(...args).catch((error: unknown) => {
        failed(error)
        throw error
      })
  return {
    ...driver,
    transaction: driver.transaction.bind(driver),
    isTransaction: driver.isTransaction.bind(driver),
    query: hearing(driver.query.bind(driver)),
    execute: hearing(driver.execute.bind(driver)),
  }
}
