// fairlead over Drizzle on node-postgres, postgres.js or PGlite. Statements go to the client underneath, which is where the transaction is.
import { invalidOption } from '../../../core/options.ts'
import { ownConnection, queryOf, resultOf, statusOf, takeFrom, takenOver } from '../pg-client.ts'
import type { PgClient, PgPool } from '../pg-types.ts'
import { isPgliteTx, listenPglite, lockPglite, type PgliteDatabase, type PgliteQueries, runPglite } from './pglite.ts'
import {
  isPostgresJsTx,
  listenPostgresJs,
  type PostgresJsQueries,
  type PostgresJsSql,
  runPostgresJs,
  verifyPostgresJs,
  waysOf,
} from './postgres-js.ts'
import { createPreset, type PostgresDriver, type PostgresDriverOptions, type Preset } from './preset.ts'

/** What is used of a database of Drizzle, by shape. */
export interface DrizzleDatabase<Tx> {
  transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T>
  readonly $client: unknown
}

type Below<Tx extends object> = Omit<Preset<Tx>, 'name' | 'begin'>

/**
 * Speaks through Drizzle (0.35 or later) on a pool of `pg`, postgres.js or PGlite; what is said of those holds here too. On `pg` it listens on
 * a connection of its own, as `pgDriver` does.
 * @example const driver = drizzleDriver(drizzle(pool))
 */
export function drizzleDriver<Tx extends object>(
  db: DrizzleDatabase<Tx>,
  options: PostgresDriverOptions = {},
): PostgresDriver<Tx> {
  if (typeof db?.transaction !== 'function') throw invalidOption('db', db, 'give a database of Drizzle')
  const below = belowOf<Tx>(db.$client)
  if (below === undefined)
    throw invalidOption('db', db, 'give a database of Drizzle on a Pool of pg, on postgres.js, or on PGlite')
  return createPreset<Tx>({ ...below, name: 'drizzleDriver', begin: (work) => db.transaction(work) }, options)
}

function belowOf<Tx extends object>(client: unknown): Below<Tx> | undefined {
  if ((typeof client !== 'object' && typeof client !== 'function') || client === null) return undefined
  const { unsafe, begin, connect, execProtocol } = client as Readonly<Record<string, unknown>>
  if (typeof unsafe === 'function' && typeof begin === 'function') return onPostgresJs(client as PostgresJsSql)
  if (typeof execProtocol === 'function') return onPglite(client as PgliteDatabase<PgliteQueries>)
  // On a single client two transactions would mix.
  if (typeof connect === 'function' && !('processID' in client)) return onPg(client as PgPool & Pick<PgClient, 'query'>)
  return undefined
}

function onPg<Tx extends object>(pool: PgPool & Pick<PgClient, 'query'>): Below<Tx> {
  return {
    isOpen(candidate) {
      const client = clientOf<PgClient>(candidate)
      if (client === undefined) return false
      const status = statusOf(client)
      return status === undefined || status === 'T' || status === 'E'
    },
    clientOf: (tx) => clientOf<PgClient>(tx) as PgClient,
    async runAlone(text, params, shown) {
      const client = await takeFrom(pool)
      // Without a listener, an error of a connection that is out of the pool would end the process.
      const ignore = (): void => undefined
      client.on('error', ignore)
      takenOver(client)
      try {
        shown(client)
        return resultOf(await client.query(queryOf(text, params)))
      } finally {
        client.release()
        client.removeListener('error', ignore)
      }
    },
    listener: ownConnection(pool),
  }
}

function onPostgresJs<Tx extends object>(sql: PostgresJsSql): Below<Tx> {
  const own = waysOf(sql)
  const of = (tx: object): PostgresJsQueries => clientOf<PostgresJsQueries>(tx) as PostgresJsQueries
  return {
    isOpen(candidate) {
      const client = clientOf<object>(candidate)
      return client !== undefined && isPostgresJsTx(client)
    },
    run: (tx, text, params) => runPostgresJs(of(tx), text, params, own),
    runAlone: (text, params) => runPostgresJs(sql, text, params, own),
    verify: (tx) => verifyPostgresJs(of(tx)),
    endsEarly: true,
    listen: listenPostgresJs(sql),
  }
}

function onPglite<Tx extends object>(db: PgliteDatabase<PgliteQueries>): Below<Tx> {
  const unlock = lockPglite(db)
  return {
    isOpen(candidate) {
      const client = clientOf<object>(candidate)
      return client !== undefined && isPgliteTx(client)
    },
    run: (tx, text, params) => runPglite(clientOf<PgliteQueries>(tx) as PgliteQueries, text, params),
    runAlone: (text, params) => runPglite(db, text, params),
    single: true,
    listen: listenPglite(db),
    end: async () => unlock(),
  }
}

/** The client of a transaction: Drizzle's own statements go the same way. A database has no `rollback`. */
function clientOf<C extends object>(tx: object): C | undefined {
  const { rollback, session } = tx as { readonly rollback?: unknown; readonly session?: { readonly client?: unknown } }
  const client = session?.client
  return typeof rollback === 'function' && typeof client === 'object' && client !== null
    ? (client as C)
    : typeof client === 'function' && typeof rollback === 'function'
      ? (client as unknown as C)
      : undefined
}
