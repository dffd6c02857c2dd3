// The cases of the contract over the queues of a broker, by whichever lab opens its transports.
import { randomUUID } from 'node:crypto'
import { messagingRpiTransport, serveOverMessaging } from '../../../src/adapters/rpi-over-messaging/index.ts'
import type { TransportLab } from '../../../src/testing/index.ts'
import { sameContract } from './same-contract.ts'

/** Runs them with a connection for each side. */
export function contractOverQueues(name: string, makeLab: () => Promise<TransportLab>): void {
  sameContract(`over queues of ${name}`, async () => {
    const lab = await makeLab()
    const [here, there] = [await lab.open(), await lab.open()]
    const queue = `rpi-${randomUUID()}`
    const rpi = messagingRpiTransport({ transport: here, queue: () => queue })
    let end = async (): Promise<void> => {}
    return {
      async serve(adapter) {
        const served = await serveOverMessaging(adapter, { transport: there, queue, concurrency: 20 })
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
}
