// The contract of the shared cases, asked over queues in PostgreSQL.
import { pgDriver, postgresStore, postgresTransport } from '../../../src/adapters/postgres/index.ts'
import { contractOverQueues } from '../../adapters/rpi-over-messaging/over-queues.ts'
import { dropSchema, freshSchema, poolOf } from './ground.ts'

contractOverQueues('PostgreSQL', async () => {
  const schema = freshSchema('rpi')
  const pool = poolOf('postgres', { max: 10 })
  const driver = pgDriver(pool)
  await postgresStore(driver, { schema }).migrate()
  return {
    open: () => postgresTransport(driver, { schema }),
    async close() {
      await driver.close()
      await dropSchema(pool, schema)
      await pool.end()
    },
  }
})
