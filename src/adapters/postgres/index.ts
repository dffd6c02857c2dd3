// fairlead/postgres: everything that keeps its state in PostgreSQL, through a pool of `pg`, another client, or an ORM.
export { type PostgresCheckpointsOptions, postgresCheckpoints } from './checkpoints.ts'
export { classifyPostgres, type PostgresHints, type PostgresPhase } from './classify-postgres.ts'
export { type PgDriver, type PgDriverOptions, pgDriver } from './driver.ts'
export { type DrizzleDatabase, drizzleDriver } from './drivers/drizzle.ts'
export { type KnexDatabase, knexDriver } from './drivers/knex.ts'
export { type KyselyDatabase, kyselyDriver } from './drivers/kysely.ts'
export { type PgliteDatabase, type PgliteDriverOptions, type PgliteQueries, pgliteDriver } from './drivers/pglite.ts'
export {
  type PostgresJsDriverOptions,
  type PostgresJsSql,
  type PostgresJsTx,
  postgresJsDriver,
} from './drivers/postgres-js.ts'
export type { PostgresDriver, PostgresDriverOptions } from './drivers/preset.ts'
export {
  type PrismaDatabase,
  type PrismaDriverOptions,
  type PrismaQueries,
  type PrismaTx,
  prismaDriver,
} from './drivers/prisma.ts'
export { type TypeormDataSource, type TypeormQueryRunner, type TypeormTx, typeormDriver } from './drivers/typeorm.ts'
export type { ListenState } from './listener.ts'
export {
  checkMigrations,
  type MigrateResult,
  migrate,
  type OwnedSchemaOptions,
  printMigrations,
  type SchemaOptions,
} from './migrate.ts'
export type { PgClient, PgListenClient, PgPool, PgQuery, PgResult, PgTx } from './pg-types.ts'
export { type GrantOptions, printGrants } from './store/grants.ts'
export { type PostgresStoreOptions, postgresStore } from './store/postgres-store.ts'
export type { PostgresTransportOptions } from './transport/options.ts'
export { postgresCapabilities } from './transport/postgres-capabilities.ts'
export type { TransportDriver } from './transport/store.ts'
export { postgresTransport } from './transport/transport.ts'
