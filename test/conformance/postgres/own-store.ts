// What tests of the PostgreSQL store's own ways share: a schema with a hostile name, stores on it, and short ways to write and read.
import { randomUUID } from 'node:crypto'
import { type PgDriver, type PostgresStoreOptions, pgDriver, postgresStore } from 'fairlead/postgres'
import { Pool, type PoolClient } from 'pg'
import { afterAll, beforeAll } from 'vitest'
import type { OutboxRow, PartitionLease, Store } from '../../../src/core/contracts/store.ts'
import { server } from '../../services/servers.ts'

/** The server under test. */
export const at = server('postgres')

/** What `ownStore` gives. */
export interface OwnStore {
  readonly name: string
  /** Quoted. */
  readonly schema: string
  readonly pool: Pool
  readonly driver: PgDriver<PoolClient>
  readonly store: Store<PoolClient>
  open(options?: PostgresStoreOptions): Store<PoolClient>
  /** Rows of a statement in which `@` is the schema. */
  run(sql: string, params?: readonly unknown[]): Promise<readonly Record<string, unknown>[]>
}

export const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`

/** A message of a topic. */
export const row = (id: string, key?: string | undefined, name = 'orders'): OutboxRow => ({
  channel: { kind: 'topic', name },
  envelope: {
    id,
    ...(key === undefined ? undefined : { key }),
    attributes: { specversion: '1.0', source: '/own', type: 'own.row' },
    headers: {},
    body: Buffer.from(id),
  },
})

/** Everything that is pending, in the order of a relay that takes all. */
export const drain = async (
  store: Store<PoolClient>,
  leases: readonly PartitionLease[],
): Promise<readonly string[]> => {
  const ids: string[] = []
  for (;;) {
    const rows = await store.outbox.pending(leases, 500)
    if (rows.length === 0) return ids
    ids.push(...rows.map(({ envelope }) => envelope.id))
    await store.outbox.settle(
      leases,
      rows.map(({ sequence }) => ({ sequence, verdict: 'published' })),
    )
  }
}

/** Makes the schema before all tests of the file, and drops it after them. */
export const ownStore = (max = 20): OwnStore => {
  const name = `own ${randomUUID().slice(0, 13)} "$1\\'ö`
  const schema = quoted(name)
  const pool = new Pool({ host: at?.host ?? '', port: at?.port ?? 0, user: 'postgres', database: 'postgres', max })
  pool.on('error', () => undefined)
  const driver = pgDriver(pool)
  const open = (options: PostgresStoreOptions = {}): Store<PoolClient> =>
    postgresStore(driver, { schema: name, ...options })
  const store = open()
  beforeAll(async () => {
    await store.migrate()
  })
  afterAll(async () => {
    await pool.query(`drop schema if exists ${schema} cascade`)
    await driver.close()
    await pool.end()
  })
  return {
    name,
    schema,
    pool,
    driver,
    store,
    open,
    run: async (sql, params = []) =>
      (
        await pool.query(
          sql.replaceAll('@', () => schema),
          [...params],
        )
      ).rows,
  }
}
