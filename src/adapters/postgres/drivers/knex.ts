// fairlead over Knex with the client `pg`. Statements go to the connection itself: Knex would take a `?` in them for a parameter.
import { invalidOption } from '../../../core/options.ts'
import { queryOf, resultOf } from '../pg-client.ts'
import type { PgClient } from '../pg-types.ts'
import { createPreset, type PostgresDriver, type PostgresDriverOptions } from './preset.ts'

/** What is used of Knex, by shape. */
export interface KnexDatabase<Tx> {
  transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T>
  readonly client: any
}

interface Connections {
  acquireConnection(): Promise<PgClient>
  releaseConnection(connection: PgClient): Promise<unknown>
}

/**
 * Speaks through Knex (2 or later) with the client `pg`. It listens where `listener` is given.
 * @example const driver = knexDriver(knex({ client: 'pg', connection }))
 */
export function knexDriver<Tx extends object>(
  db: KnexDatabase<Tx>,
  options: PostgresDriverOptions = {},
): PostgresDriver<Tx> {
  const connections = db?.client as Partial<Connections> | undefined
  if (typeof connections?.acquireConnection !== 'function' || 'isTransaction' in db)
    throw invalidOption('knex', db, "give what knex({ client: 'pg', ... }) gave")
  const pool = connections as Connections
  return createPreset<Tx>(
    {
      name: 'knexDriver',
      begin: (work) => db.transaction(work),
      isOpen: isKnexTx,
      clientOf: (tx) => (tx as unknown as { readonly client: Connections }).client.acquireConnection(),
      async runAlone(text, params, shown) {
        const client = await pool.acquireConnection()
        try {
          shown(client)
          return resultOf(await client.query(queryOf(text, params)))
        } finally {
          await pool.releaseConnection(client)
        }
      },
    },
    options,
  )
}

function isKnexTx(candidate: object): boolean {
  const { isTransaction, isCompleted } = candidate as Readonly<Record<string, unknown>>
  return isTransaction === true && typeof isCompleted === 'function' && isCompleted.call(candidate) === false
}
