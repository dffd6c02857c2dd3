// Replicas on PostgreSQL: the user's table, the rows of the store and the topics in one database; several processes' views of it.
import { randomUUID } from 'node:crypto'
import type { Pool } from 'pg'
import { pgDriver, postgresStore, postgresTransport } from '../../../src/adapters/postgres/index.ts'
import { systemClock } from '../../../src/core/clock.ts'
import type { MessageTransport } from '../../../src/core/contracts/transport.ts'
import { replicaCases } from '../../messaging/replica/replica-cases.ts'
import { makeTable, rowsOf, tableOf, waits } from '../../messaging/replica/sql-lab.ts'
import { dropSchema, freshSchema, poolOf } from './ground.ts'

replicaCases('on PostgreSQL', async () => {
  const schema = freshSchema('replica')
  const pool: Pool = poolOf('postgres', { max: 40, options: '-c deadlock_timeout=20ms' })
  const driver = pgDriver(pool)
  await postgresStore(driver, { schema }).migrate()
  const transports: MessageTransport[] = []
  return {
    ...waits,
    clock: systemClock,
    mark: randomUUID().slice(0, 8),
    tellsSkipped: true,
    process: async () => ({
      store: postgresStore(driver, { schema }),
      table: (name) => tableOf(driver, name, schema),
    }),
    transport() {
      const transport = postgresTransport(driver, { schema })
      transports.push(transport)
      return transport
    },
    make: (table) => makeTable(driver, table, schema),
    rows: (table) => rowsOf(driver, table, schema),
    async close() {
      for (const transport of transports) await transport.close()
      await dropSchema(pool, schema)
      await driver.close()
      await pool.end()
    },
  }
})
