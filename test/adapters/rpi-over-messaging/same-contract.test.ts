// One contract over a socket, in the same process, and over a queue.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { httpTransport } from '../../../src/adapters/http/index.ts'
import { memoryRpiTransport, memoryTransport } from '../../../src/adapters/memory/index.ts'
import { messagingRpiTransport, serveOverMessaging } from '../../../src/adapters/rpi-over-messaging/index.ts'
import { sameContract } from './same-contract.ts'

sameContract('over HTTP', async () => {
  let end = async (): Promise<void> => {}
  return {
    async serve(adapter) {
      const server = createServer(adapter.node())
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      const transport = httpTransport({ baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })
      end = async () => {
        await transport.close()
        server.closeAllConnections()
        await new Promise((resolve) => server.close(resolve))
      }
      return transport
    },
    close: () => end(),
  }
})

sameContract('in the same process', async () => ({
  serve: async (adapter) => memoryRpiTransport(adapter),
  close: async () => {},
}))

sameContract('over a queue', async () => {
  const transport = memoryTransport()
  const rpi = messagingRpiTransport({ transport })
  let end = async (): Promise<void> => {}
  return {
    async serve(adapter) {
      const served = await serveOverMessaging(adapter, { transport, concurrency: 20 })
      end = () => served.close({ withinMs: 100 })
      return rpi
    },
    async close() {
      await rpi.close()
      await end()
      await transport.close()
    },
  }
})
