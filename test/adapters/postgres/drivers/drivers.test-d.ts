import type { PGlite, Transaction as PgliteTransaction } from '@electric-sql/pglite'
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import type { PostgresJsDatabase } from 'drizzle-orm/postgres-js'
import type { Knex } from 'knex'
import type { Kysely, Transaction as KyselyTransaction } from 'kysely'
import type { Client, Pool } from 'pg'
import type { Sql, TransactionSql } from 'postgres'
import type { DataSource, EntityManager } from 'typeorm'
import { describe, expectTypeOf, it } from 'vitest'
import {
  drizzleDriver,
  knexDriver,
  kyselyDriver,
  pgliteDriver,
  postgresJsDriver,
  prismaDriver,
  typeormDriver,
} from '../../../../src/adapters/postgres/index.ts'
import type { SqlDriver } from '../../../../src/core/contracts/store.ts'
import type { PrismaClient, TransactionClient } from './prisma-client.ts'

interface Tables {
  orders: { id: string }
}
type Of<D> = D extends SqlDriver<infer Tx> ? Tx : never
type NodePg = NodePgDatabase<Record<string, never>> & { $client: Pool }
type OverPostgresJs = PostgresJsDatabase<Record<string, never>> & { $client: Sql }
type DrizzleTx<D extends { transaction: (...args: any[]) => any }> = Parameters<Parameters<D['transaction']>[0]>[0]

declare const sql: Sql<{ bigint: bigint }>
declare const pglite: PGlite
declare const nodePg: NodePg
declare const overPostgresJs: OverPostgresJs
declare const kysely: Kysely<Tables>
declare const knex: Knex
declare const source: DataSource
declare const prisma: PrismaClient
declare const pool: Pool

describe('what handlers get is the transaction of the driver', () => {
  it('postgres.js', () => {
    const driver = postgresJsDriver(sql)
    expectTypeOf<Of<typeof driver>>().toEqualTypeOf<TransactionSql<{ bigint: bigint }>>()
    void driver.transaction(async (tx) => tx`select 1`)
    // @ts-expect-error an instance is no transaction
    void driver.query(sql, 'select 1', [])
    // @ts-expect-error nor is a connection that was reserved
    void driver.query({} as Awaited<ReturnType<typeof sql.reserve>>, 'select 1', [])
    // @ts-expect-error a transaction is no instance
    postgresJsDriver({} as TransactionSql)
    // @ts-expect-error a pool of another driver
    postgresJsDriver(pool)
  })
  it('PGlite', () => {
    const driver = pgliteDriver(pglite)
    expectTypeOf<Of<typeof driver>>().toEqualTypeOf<PgliteTransaction>()
    // @ts-expect-error the database is no transaction
    void driver.query(pglite, 'select 1', [])
    // @ts-expect-error a transaction is no database
    pgliteDriver({} as PgliteTransaction)
  })
  it('Drizzle', () => {
    const driver = drizzleDriver(nodePg)
    expectTypeOf<Of<typeof driver>>().toEqualTypeOf<DrizzleTx<NodePg>>()
    // @ts-expect-error the database is no transaction
    void driver.query(nodePg, 'select 1', [])
    // @ts-expect-error nor is the pool
    void driver.query(pool, 'select 1', [])
    const other = drizzleDriver(overPostgresJs)
    expectTypeOf<Of<typeof other>>().toEqualTypeOf<DrizzleTx<OverPostgresJs>>()
    // @ts-expect-error the database is no transaction
    void other.query(overPostgresJs, 'select 1', [])
  })
  it('Kysely', () => {
    const driver = kyselyDriver(kysely)
    expectTypeOf<Of<typeof driver>>().toEqualTypeOf<KyselyTransaction<Tables>>()
    void driver.transaction((tx) => tx.selectFrom('orders').select('id').execute())
    // @ts-expect-error the instance is no transaction
    void driver.query(kysely, 'select 1', [])
  })
  it('Knex', () => {
    const driver = knexDriver(knex)
    expectTypeOf<Of<typeof driver>>().toEqualTypeOf<Knex.Transaction>()
    // @ts-expect-error the instance is no transaction
    void driver.query(knex, 'select 1', [])
  })
  it('TypeORM', () => {
    const driver = typeormDriver(source)
    expectTypeOf<Of<typeof driver>>().toEqualTypeOf<EntityManager>()
    // @ts-expect-error a DataSource is no transaction; its manager has the same type as one, and is refused when it is used
    void driver.query(source, 'select 1', [])
    // @ts-expect-error a single client is no DataSource
    typeormDriver({} as Client)
  })
  it('Prisma', () => {
    const driver = prismaDriver(prisma)
    expectTypeOf<Of<typeof driver>>().toExtend<TransactionClient>()
    // Those that the user began fit as well.
    expectTypeOf<TransactionClient>().toExtend<Of<typeof driver>>()
    void driver.transaction((tx) => tx.$queryRawUnsafe('select 1'))
    // @ts-expect-error the client is no transaction
    void driver.query(prisma, 'select 1', [])
  })
  it('and their answers come out', () => {
    expectTypeOf(knexDriver(knex).transaction(async () => 1)).resolves.toEqualTypeOf<number>()
    expectTypeOf(prismaDriver(prisma).transaction(async () => 'a')).resolves.toEqualTypeOf<string>()
  })
})
