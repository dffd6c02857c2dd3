// fairlead over Kysely with a dialect of PostgreSQL.
import type { SqlResult } from '../../../core/contracts/store.ts'
import { invalidOption } from '../../../core/options.ts'
import { createPreset, type PostgresDriver, type PostgresDriverOptions } from './preset.ts'

/** What is used of Kysely, by shape. */
export interface KyselyDatabase<Tx> {
  transaction(): { execute<T>(work: (tx: Tx) => Promise<T>): Promise<T> }
  withoutPlugins(): unknown
}

interface Queries {
  executeQuery(query: unknown): Promise<{
    readonly rows: readonly unknown[]
    readonly numAffectedRows?: bigint | undefined
  }>
}

/**
 * Speaks through Kysely (0.27 or later; made and tested with PostgresDialect over `pg`). Plugins do not touch fairlead's statements.
 *
 * One round trip more a transaction, because Kysely does not tell that COMMIT rolled back. It listens where `listener` is given.
 * A connection that breaks while no statement is out is an event that nobody hears: have `pool.on('connect', (client) => client.on('error', ...))`.
 * @example const driver = kyselyDriver(new Kysely<Database>({ dialect: new PostgresDialect({ pool }) }))
 */
export function kyselyDriver<Tx extends object>(
  db: KyselyDatabase<Tx>,
  options: PostgresDriverOptions = {},
): PostgresDriver<Tx> {
  if (typeof db?.transaction !== 'function' || typeof db.withoutPlugins !== 'function' || isKyselyTx(db))
    throw invalidOption('db', db, 'give an instance of Kysely')
  const plain = db.withoutPlugins() as Queries
  return createPreset<Tx>(
    {
      name: 'kyselyDriver',
      begin: (work) => db.transaction().execute(work),
      isOpen: isKyselyTx,
      run: (tx, text, params) => run((tx as unknown as KyselyDatabase<Tx>).withoutPlugins() as Queries, text, params),
      runAlone: (text, params) => run(plain, text, params),
      silentRollback: true,
    },
    options,
  )
}

function isKyselyTx(candidate: object): boolean {
  const { isTransaction, isCommitted, isRolledBack, executeQuery } = candidate as Readonly<Record<string, unknown>>
  // The last two are those of a transaction that the user controls.
  return isTransaction === true && typeof executeQuery === 'function' && isCommitted !== true && isRolledBack !== true
}

async function run(on: Queries, text: string, params: readonly unknown[]): Promise<SqlResult> {
  const parameters = Object.freeze([...params])
  const query = Object.freeze({ kind: 'RawNode', sqlFragments: Object.freeze([text]), parameters: Object.freeze([]) })
  const { rows, numAffectedRows } = await on.executeQuery(
    // What CompiledQuery.raw makes.
    Object.freeze({ sql: text, parameters, query, queryId: Object.freeze({ queryId: 'fairlead' }) }),
  )
  return {
    rows: rows as readonly Record<string, unknown>[],
    affected: numAffectedRows === undefined ? rows.length : Number(numAffectedRows),
  }
}
