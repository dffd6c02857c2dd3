// HTTP push with a registry that remembers which groups have subscribed, as a table or a list in a file does: who is away is waited for.
import type { TransportLab } from '../../../src/testing/index.ts'
import { pushLab } from './lab.ts'

/** What was received once has a receiver for good, there or not. */
export async function subscribedLab(): Promise<TransportLab> {
  // As large as an outbox takes by default.
  const lab = await pushLab('node', { maxPayloadBytes: 1_048_576 })
  return {
    ...lab,
    async open(options) {
      const transport = await lab.open(options)
      const receive = transport.receive.bind(transport)
      transport.receive = async (from, sink) => {
        await transport.prepare([{ ...from.channel, group: from.group }], 'create')
        return receive(from, sink)
      }
      return transport
    },
  }
}
