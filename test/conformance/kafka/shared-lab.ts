// A lab on the broker that all suites share: transports to open, and nothing to trouble it with.
import type { TransportLab } from 'fairlead/testing'
import { server } from '../../services/servers.ts'
import { type Client, transportOf } from './kafka-lab.ts'

/** Opens transports by way of one of the clients, with few partitions. */
export const sharedLab = async (client: Client = 'kafkajs'): Promise<TransportLab> => {
  const address = server('kafka')
  if (address === undefined) throw new Error('kafka is not up')
  return {
    open: () => transportOf(client, [`${address.host}:${address.port}`], { partitions: 2 }),
    close: async () => undefined,
  }
}
