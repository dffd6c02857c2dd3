// A lab on the server that all suites share: transports to open, and nothing to trouble it with.
import { rabbitmqTransport } from 'fairlead/rabbitmq'
import type { TransportLab } from 'fairlead/testing'
import { server } from '../../services/servers.ts'
import { clientNamed } from './clients.ts'

/** Opens transports by way of rabbitmq-client. */
export const sharedLab = async (): Promise<TransportLab> => {
  const address = server('rabbitmq')
  if (address === undefined) throw new Error('rabbitmq is not up')
  const ending: Promise<void>[] = []
  return {
    open() {
      const { driver, end } = clientNamed('rabbitmq-client').open(address)
      const opened = rabbitmqTransport(driver)
      const close = opened.close.bind(opened)
      opened.close = async () => {
        await close()
        ending.push(end())
      }
      return opened
    },
    close: async () => void (await Promise.all(ending)),
  }
}
