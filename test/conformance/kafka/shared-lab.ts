// A lab on the broker that all suites share: transports to open, and nothing to trouble it with.
import type { TransportLab } from 'fairlead/testing'
import { server } from '../../services/servers.ts'
import { transportOf } from './kafka-lab.ts'

/** Opens transports by way of kafkajs, with few partitions. */
export const sharedLab = async (): Promise<TransportLab> => {
  const address = server('kafka')
  if (address === undefined) throw new Error('kafka is not up')
  return {
    open: () => transportOf('kafkajs', [`${address.host}:${address.port}`], { partitions: 2 }),
    close: async () => undefined,
  }
}
