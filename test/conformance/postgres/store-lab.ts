// A lab of the store suite on a PostgreSQL server: a schema of its own, and a pool for each isolation level that a case asks for.
import { randomUUID } from 'node:crypto'
import { type PgDriver, pgDriver, postgresStore } from 'fairlead/postgres'
import type { StoreLab } from 'fairlead/testing'
import { Client, Pool, type PoolClient } from 'pg'

interface Address {
  readonly host: string
  readonly port: number
}

/** What a lab of the store can do besides. */
export interface StoreLabOptions extends Pick<StoreLab, 'restart' | 'heavy'> {
  /** Where schemas are made and dropped, if not where the stores go. */
  readonly direct?: Address | undefined
}

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`

/** Makes the schema, and drops it at the end. */
export async function storeLab(address: Address, options: StoreLabOptions = {}): Promise<StoreLab<PoolClient>> {
  const { direct = address, ...can } = options
  const schema = `lab ${randomUUID().slice(0, 13)} "$1\\'ö`
  const bare = `${schema} bare`
  const drivers = new Map<string, { readonly pool: Pool; readonly driver: PgDriver<PoolClient> }>()
  const at = ({ host, port }: Address, level: string, max: number) => {
    const name = `${port} ${level}`
    const known = drivers.get(name)
    if (known !== undefined) return known
    const pool = new Pool({
      host,
      port,
      user: 'postgres',
      database: 'postgres',
      max,
      connectionTimeoutMillis: 3_000,
      ...(level === '' ? undefined : { options: `-c default_transaction_isolation=${level.replaceAll(' ', '\\ ')}` }),
    })
    // Idle connections are lost when the server is.
    pool.on('error', () => undefined)
    const made = {
      pool,
      driver: pgDriver(pool, {
        answerWithinMs: 15_000,
        // Notifications do not pass a pooler.
        listener: () => new Client({ ...direct, user: 'postgres', database: 'postgres' }),
      }),
    }
    drivers.set(name, made)
    return made
  }
  const own = at(direct, '', 20)
  const effects = `${quoted(schema)}.user_effect`
  await postgresStore(own.driver, { schema }).migrate()
  await own.pool.query(`create table ${effects} (name text not null)`)
  return {
    ...can,
    leaseMs: 1_500,
    heavy: can.heavy ?? 1_000,
    patienceMs: 20_000,
    ...(options.direct === undefined ? { levels: ['repeatable read', 'serializable'] } : undefined),
    open: ({ archive, owner, level = '' } = {}) =>
      postgresStore(at(address, level, 20).driver, { schema, archive, owner }),
    unmigrated: ({ owner } = {}) => postgresStore(at(address, '', 20).driver, { schema: bare, owner }),
    async begin() {
      const client = await at(address, '', 20).pool.connect()
      await client.query('begin')
      const end = async (how: string): Promise<void> => {
        await client.query(how)
        client.release()
      }
      return { tx: client, commit: () => end('commit'), rollback: () => end('rollback') }
    },
    effect: async (tx, name) => void (await tx.query(`insert into ${effects} values ($1)`, [name])),
    effects: async () =>
      (await own.pool.query<{ name: string }>(`select name from ${effects}`)).rows.map(({ name }) => name),
    notTransactions: [own.pool, {}, undefined],
    async close() {
      for (const name of [schema, bare]) await own.pool.query(`drop schema if exists ${quoted(name)} cascade`)
      for (const { pool, driver } of drivers.values()) {
        await driver.close()
        await pool.end()
      }
    },
  }
}
