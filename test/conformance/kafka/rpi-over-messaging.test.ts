// The contract of the shared cases, asked over queues of Kafka: what HTTP promises is promised here.
import { randomUUID } from 'node:crypto'
import { messagingRpiTransport, serveOverMessaging } from '../../../src/adapters/rpi-over-messaging/index.ts'
import { sameContract } from '../../adapters/rpi-over-messaging/same-contract.ts'
import { sharedLab } from './shared-lab.ts'

sameContract('over queues of Kafka', async () => {
  const lab = await sharedLab()
  const [here, there] = [await lab.open(), await lab.open()]
  const name = `rpi-${randomUUID()}`
  const rpi = messagingRpiTransport({ transport: here, queue: () => name })
  let end = async (): Promise<void> => {}
  return {
    async serve(adapter) {
      const served = await serveOverMessaging(adapter, { transport: there, queue: name, concurrency: 20 })
      end = () => served.close({ withinMs: 500 })
      return rpi
    },
    async close() {
      await rpi.close()
      await end()
      await here.close()
      await there.close()
      await lab.close()
    },
  }
})
