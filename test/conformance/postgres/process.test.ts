// Processes on PostgreSQL: rows, outbox, inbox and queues in one database, and several processes' views of it.
import type { Pool } from 'pg'
import { pgDriver, postgresStore, postgresTransport } from '../../../src/adapters/postgres/index.ts'
import { systemClock } from '../../../src/core/clock.ts'
import { processCases } from '../../messaging/process/process-cases.ts'
import { dropSchema, freshSchema, poolOf } from './ground.ts'

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

processCases('on PostgreSQL', async () => {
  const schema = freshSchema('process')
  const pool: Pool = poolOf('postgres', { max: 30, options: '-c deadlock_timeout=20ms' })
  await postgresStore(pgDriver(pool), { schema }).migrate()
  await pool.query(`create table "${schema}".line (line text not null)`)
  return {
    clock: systemClock,
    store: () => postgresStore(pgDriver(pool), { schema }),
    transport: () => postgresTransport(pgDriver(pool), { schema }),
    async note(tx, line) {
      await tx.query(`insert into "${schema}".line values ($1)`, [line])
    },
    lines: async () => {
      const { rows } = await pool.query(`select line from "${schema}".line`)
      return rows.map(({ line }) => line as string).sort()
    },
    async until(what) {
      const end = Date.now() + 60_000
      while (!(await what())) {
        if (Date.now() > end) throw new Error('it did not come to that')
        await wait(20)
      }
    },
    pass: wait,
    async close() {
      await dropSchema(pool, schema)
      await pool.end()
    },
  }
})
