// The contract of the shared cases, asked over queues in PostgreSQL.
import { pgDriver, postgresStore, postgresTransport } from '../../../src/adapters/postgres/index.ts'
import { messagingRpiTransport, serveOverMessaging } from '../../../src/adapters/rpi-over-messaging/index.ts'
import { sameContract } from '../../adapters/rpi-over-messaging/same-contract.ts'
import { dropSchema, freshSchema, poolOf } from './ground.ts'

sameContract('over queues in PostgreSQL', async () => {
  const schema = freshSchema('rpi')
  const pool = poolOf('postgres', { max: 10 })
  const driver = pgDriver(pool)
  await postgresStore(driver, { schema }).migrate()
  const here = postgresTransport(driver, { schema })
  const there = postgresTransport(driver, { schema })
  const rpi = messagingRpiTransport({ transport: here })
  let end = async (): Promise<void> => {}
  return {
    async serve(adapter) {
      const served = await serveOverMessaging(adapter, { transport: there, concurrency: 20 })
      end = () => served.close({ withinMs: 500 })
      return rpi
    },
    async close() {
      await rpi.close()
      await end()
      await here.close()
      await there.close()
      await driver.close()
      await dropSchema(pool, schema)
      await pool.end()
    },
  }
})
