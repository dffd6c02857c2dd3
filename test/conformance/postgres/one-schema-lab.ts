// Rows and queues in one schema of one database, as a small service has them; a driver for each of its processes, all on one pool.
import { pgDriver, postgresStore, postgresTransport } from '../../../src/adapters/postgres/index.ts'
import type { StoreLab, TransportLab } from '../../../src/testing/index.ts'
import { dropSchema, freshSchema, poolOf } from './ground.ts'

/** The pool goes with the store: it is to be closed last. */
export async function oneSchemaLab(): Promise<[StoreLab, TransportLab]> {
  const schema = freshSchema('one')
  const pool = poolOf('postgres', { max: 30, options: '-c deadlock_timeout=20ms' })
  const drivers: { close(): Promise<void> }[] = []
  const driver = () => {
    const made = pgDriver(pool)
    drivers.push(made)
    return made
  }
  await postgresStore(driver(), { schema }).migrate()
  await pool.query(`create table "${schema}".line (line text not null)`)
  return [
    {
      open: () => postgresStore(driver(), { schema }),
      effect: async (tx, line) => void (await tx.query(`insert into "${schema}".line values ($1)`, [line])),
      effects: async () => {
        const { rows } = await pool.query(`select line from "${schema}".line`)
        return rows.map(({ line }) => String(line))
      },
      async close() {
        for (const each of drivers) await each.close()
        await dropSchema(pool, schema)
        await pool.end()
      },
    },
    { open: () => postgresTransport(driver(), { schema }), close: async () => undefined },
  ]
}
