// Every driver of dialect `postgres`, opened as its users open it, and what they do with it themselves.
import type { PGlite } from '@electric-sql/pglite'
import { sql as drizzleSql } from 'drizzle-orm'
import { drizzle as drizzleOnPg } from 'drizzle-orm/node-postgres'
import { drizzle as drizzleOnPglite } from 'drizzle-orm/pglite'
import { drizzle as drizzleOnPostgresJs } from 'drizzle-orm/postgres-js'
import knex from 'knex'
import { CamelCasePlugin, CompiledQuery, Kysely, PostgresDialect } from 'kysely'
import { Pool } from 'pg'
import postgres from 'postgres'
import { DataSource } from 'typeorm'
import {
  drizzleDriver,
  knexDriver,
  kyselyDriver,
  type PostgresDriver,
  type PostgresDriverOptions,
  pgDriver,
  pgliteDriver,
  postgresJsDriver,
  prismaDriver,
  typeormDriver,
} from '../../../../src/adapters/postgres/index.ts'
import { prismaClient } from './prisma-client.ts'

/** One of them, open. */
export interface Opened {
  readonly driver: PostgresDriver<any>
  /** A statement of the user's own, in the words of the driver. */
  own(tx: any, text: string): Promise<unknown>
  /** A transaction of the user's own. */
  begin(work: (tx: any) => Promise<unknown>): Promise<unknown>
  /** What is no transaction, and looks most like one. */
  readonly others: readonly unknown[]
  close(): Promise<void>
}

/** How it differs. */
export interface Subject {
  readonly name: string
  open(address: { readonly host: string; readonly port: number }, options?: PostgresDriverOptions): Promise<Opened>
  /** What comes out where the failure of a statement was swallowed; the error itself with postgres.js. */
  readonly swallowed: 'PROGRAMMING_ERROR' | 'UNPROCESSABLE'
  /** Notices that the work has ended the transaction itself. */
  readonly noticesEnd: boolean
  readonly listens: boolean
  /** postgres.js ends the process with a TypeError when a statement comes on a connection that was lost. */
  readonly diesOfLoss?: true
  /** There is no server, and one connection. */
  readonly embedded?: true
}

const PLACE = { user: 'postgres', database: 'postgres' }
const quiet = (pool: Pool): Pool =>
  pool.on('error', () => undefined).on('connect', (client) => void client.on('error', () => undefined))

export const SUBJECTS: readonly Subject[] = [
  {
    name: 'pgDriver',
    swallowed: 'PROGRAMMING_ERROR',
    noticesEnd: true,
    listens: true,
    async open(address, options) {
      const pool = new Pool({ ...address, ...PLACE, max: 4 }).on('error', () => undefined)
      return {
        driver: pgDriver(pool, options),
        own: (tx, text) => tx.query(text),
        async begin(work) {
          const client = await pool.connect()
          try {
            await client.query('begin')
            await work(client)
            await client.query('commit')
          } catch (error) {
            await client.query('rollback')
            throw error
          } finally {
            client.release()
          }
        },
        others: [pool],
        close: () => pool.end(),
      }
    },
  },
  {
    name: 'postgresJsDriver',
    swallowed: 'UNPROCESSABLE',
    noticesEnd: false,
    diesOfLoss: true,
    listens: true,
    async open({ host, port }, options) {
      // Names and values changed on the way, as many have it.
      const sql = postgres({
        host,
        port,
        ...PLACE,
        max: 4,
        transform: postgres.camel,
        types: { bigint: postgres.BigInt },
      })
      return {
        driver: postgresJsDriver(sql, options),
        own: (tx, text) => tx.unsafe(text),
        begin: (work) => sql.begin(work),
        others: [sql],
        close: () => sql.end({ timeout: 1 }),
      }
    },
  },
  {
    name: 'drizzleDriver on pg',
    swallowed: 'PROGRAMMING_ERROR',
    noticesEnd: true,
    listens: true,
    async open(address, options) {
      const pool = new Pool({ ...address, ...PLACE, max: 4 }).on('error', () => undefined)
      const db = drizzleOnPg(pool)
      return {
        driver: drizzleDriver(db, options),
        own: (tx, text) => tx.execute(drizzleSql.raw(text)),
        begin: (work) => db.transaction(work),
        others: [db, pool],
        close: () => pool.end(),
      }
    },
  },
  {
    name: 'drizzleDriver on postgres.js',
    swallowed: 'UNPROCESSABLE',
    noticesEnd: false,
    diesOfLoss: true,
    listens: true,
    async open({ host, port }, options) {
      const sql = postgres({ host, port, ...PLACE, max: 10, onnotice: () => undefined })
      const db = drizzleOnPostgresJs(sql)
      return {
        driver: drizzleDriver(db, options),
        own: (tx, text) => tx.execute(drizzleSql.raw(text)),
        begin: (work) => db.transaction(work),
        others: [db, sql],
        close: () => sql.end({ timeout: 1 }),
      }
    },
  },
  {
    name: 'kyselyDriver',
    swallowed: 'PROGRAMMING_ERROR',
    noticesEnd: false,
    listens: false,
    async open(address, options) {
      const pool = quiet(new Pool({ ...address, ...PLACE, max: 4 }))
      const db = new Kysely<any>({ dialect: new PostgresDialect({ pool }), plugins: [new CamelCasePlugin()] })
      return {
        driver: kyselyDriver(db, options),
        own: (tx, text) => tx.executeQuery(CompiledQuery.raw(text)),
        begin: (work) => db.transaction().execute(work),
        others: [db, db.withoutPlugins(), pool],
        close: () => db.destroy(),
      }
    },
  },
  {
    name: 'knexDriver',
    swallowed: 'PROGRAMMING_ERROR',
    noticesEnd: true,
    listens: false,
    async open(address, options) {
      const log = { warn() {}, error() {}, debug() {}, deprecate() {} }
      const db = knex({ client: 'pg', connection: { ...address, ...PLACE }, pool: { min: 0, max: 4 }, log })
      return {
        driver: knexDriver(db, options),
        own: (tx, text) => tx.raw(text.replaceAll('?', '\\?')),
        begin: (work) => db.transaction(work),
        others: [db],
        close: () => db.destroy(),
      }
    },
  },
  {
    name: 'typeormDriver',
    swallowed: 'PROGRAMMING_ERROR',
    noticesEnd: true,
    listens: false,
    async open({ host, port }, options) {
      const source = new DataSource({
        type: 'postgres',
        host,
        port,
        username: 'postgres',
        database: 'postgres',
        poolSize: 4,
        logging: false,
      })
      // One that cannot be reached is not opened; it says so when it is used.
      await source.initialize().catch(() => undefined)
      return {
        driver: typeormDriver(source, options),
        own: (tx, text) => tx.query(text),
        begin: (work) => source.transaction(work),
        others: [source, source.manager],
        close: async () => (source.isInitialized ? source.destroy() : undefined),
      }
    },
  },
  {
    name: 'prismaDriver',
    swallowed: 'PROGRAMMING_ERROR',
    noticesEnd: false,
    listens: false,
    async open({ host, port }, options) {
      const prisma = prismaClient(`postgres://postgres@${host}:${port}/postgres`)
      return {
        driver: prismaDriver(prisma, { ...options, transactionWithinMs: 20_000 }),
        own: (tx, text) => tx.$executeRawUnsafe(text),
        begin: (work) => prisma.$transaction((tx) => work(tx), { timeout: 20_000 }),
        others: [prisma],
        close: () => prisma.$disconnect(),
      }
    },
  },
]

/** In this process; of one database all tests of a file may use, because it takes seconds to start. */
export const embeddedSubjects = (db: PGlite): readonly Subject[] => [
  {
    name: 'pgliteDriver',
    swallowed: 'PROGRAMMING_ERROR',
    // A ROLLBACK in SQL; its own rollback() it tells.
    noticesEnd: false,
    listens: true,
    embedded: true,
    async open() {
      return {
        driver: pgliteDriver(db),
        own: (tx, text) => tx.exec(text),
        begin: (work) => db.transaction(work),
        others: [db],
        close: async () => undefined,
      }
    },
  },
  {
    name: 'drizzleDriver on PGlite',
    swallowed: 'PROGRAMMING_ERROR',
    // A ROLLBACK in SQL; its own rollback() it tells.
    noticesEnd: false,
    listens: true,
    embedded: true,
    async open() {
      const over = drizzleOnPglite(db)
      return {
        driver: drizzleDriver(over),
        own: (tx, text) => tx.execute(drizzleSql.raw(text)),
        begin: (work) => over.transaction(work),
        others: [db, over],
        close: async () => undefined,
      }
    },
  },
]
