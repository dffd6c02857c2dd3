// An envelope, sent as it is.
import type { Clock } from '../../src/core/clock.ts'
import { createContext } from '../../src/core/context.ts'
import type { MessageTransport } from '../../src/core/contracts/transport.ts'
import { deadlineIn } from '../../src/core/deadline.ts'
import type { ChannelAddress, Envelope } from '../../src/core/message.ts'

export async function sendRaw(
  clock: Clock,
  transport: MessageTransport,
  to: ChannelAddress,
  envelope: Envelope,
): Promise<void> {
  const { context } = createContext({
    service: 'x',
    operation: 'y',
    deadline: deadlineIn(5_000, clock),
    idempotent: true,
  })
  const [result] = await transport.send(to, [envelope], context)
  if (result?.status === 'failed') throw result.error
}
