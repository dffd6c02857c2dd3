// A PostgreSQL that waits for the disk, its databases, and the workers that use them.
import { join } from 'node:path'
import { migrate, pgDriver } from 'fairlead/postgres'
import { Client, Pool } from 'pg'
import { startPostgres } from '../../services/postgres-instance.ts'
import type { Place } from '../place.ts'
import { startWorker, type Worker } from '../worker.ts'

// The fsync of a write that was answered, of every page, of every commit: as a server is run that must lose nothing. The settings of the bench of messaging.
const SERVER = {
  fsync: 'on',
  full_page_writes: 'on',
  synchronous_commit: 'on',
  shared_buffers: '256MB',
  max_wal_size: '2GB',
  checkpoint_timeout: '30min',
  max_connections: '300',
}

/** A server, its databases and workers. */
export interface Site {
  /** What it is, for tables. */
  readonly name: string
  /** Makes an empty database. */
  database(name: string): Promise<Database>
  /** Starts a worker, which is given its name, the database and `args`. */
  worker<Answer>(
    file: string,
    name: string,
    database: string,
    args?: readonly string[],
  ): Promise<Worker<object, Answer>>
  close(): Promise<void>
}

/** A database, and a connection of the bench's own. */
export interface Database {
  readonly url: string
  /** Makes fairlead's tables, and one for the business. */
  migrate(): Promise<void>
  run(sql: string, params?: readonly unknown[]): Promise<void>
  count(sql: string): Promise<number>
  /** What was written leaves nothing to be done in somebody else's time. */
  settle(): Promise<void>
}

/** Starts a server for a part of the bench. */
export async function startSite(where: Place): Promise<Site> {
  const server = await startPostgres(SERVER)
  const stops: (() => Promise<unknown>)[] = [() => server.remove()]
  const urlOf = (database: string): string => `postgres://postgres@127.0.0.1:${server.port}/${database}`
  const connect = async (url: string): Promise<Client> => {
    const client = new Client({ connectionString: url })
    await client.connect()
    stops.push(() => client.end())
    return client
  }
  const admin = await connect(urlOf('postgres'))
  const version = (await admin.query<{ v: string }>(`select current_setting('server_version') v`)).rows[0]?.v
  return {
    name: `PostgreSQL ${version?.split(' ')[0]}, fsync on, ${where.version}`,
    async database(name) {
      await admin.query(`create database ${name}`)
      const url = urlOf(name)
      const client = await connect(url)
      const run: Database['run'] = async (sql, params = []) => void (await client.query(sql, [...params]))
      return {
        url,
        run,
        async migrate() {
          const pool = new Pool({ connectionString: url })
          await migrate(pgDriver(pool))
          await pool.end()
          await run('create table orders (id text primary key, quantity int not null, note text not null)')
        },
        count: async (sql) => Number((await client.query<{ n: string }>(sql)).rows[0]?.n),
        async settle() {
          await run('vacuum analyze')
          await run('checkpoint')
        },
      }
    },
    async worker<Answer>(file: string, name: string, database: string, args: readonly string[] = []) {
      const worker = await startWorker<object, Answer>(name, {
        file: join(where.folder, `${file}.js`),
        node: where.node,
        args: [name, database, ...args],
      })
      stops.push(() => worker.stop())
      return worker
    },
    async close() {
      for (const stop of stops.reverse()) await stop()
    },
  }
}

/**
 * Fills the outbox in one statement, in the order of the keys' turns: rows as `publish` makes them.
 * @param textLength of the text in the body; the rest of its JSON is about 50 bytes
 */
export async function fillOutbox(database: Database, rows: number, textLength: number): Promise<void> {
  await database.run(
    `insert into fairlead.outbox (part, digest, channel, id, key, head, body)
    select (r.digest & 63)::smallint, r.digest, 'queue:orders', r.id, r.key, r.head, r.body
    from (
      select g.n, 'key-' || g.n % ${KEYS} as key, fairlead.outbox_digest('queue:orders', 'key-' || g.n % ${KEYS}) as digest,
        '01993c5e-' || to_char(g.n % 10000, 'fm0000') || '-7000-8000-' || lpad(to_hex(g.n), 12, '0') as id,
        '{"a":{"specversion":"1.0","source":"/outbox","type":"order.placed","time":"2026-01-02T03:04:05.678Z","datacontenttype":"application/json"}}' as head,
        convert_to('{"orderId":"order-' || g.n || '","sentAt":1234567.8,"text":"' || repeat('x', $2) || '"}', 'UTF8') as body
      from generate_series(1, $1::int) g(n)
    ) r order by r.n`,
    [rows, textLength],
  )
}

/** So many keys. */
export const KEYS = 100_000

/** With it a body is about 1 KiB. */
export const KIB_TEXT = 950
