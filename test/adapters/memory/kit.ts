// What the tests of the memory transport share: a broker on a fake clock, short envelopes, and receivers that remember.
import { type MemoryTransportOptions, memoryTransport } from '../../../src/adapters/memory/index.ts'
import { createContext } from '../../../src/core/context.ts'
import type { Delivery, MessageTransport, ReceiveFrom, Receiver } from '../../../src/core/contracts/transport.ts'
import { deadlineAt } from '../../../src/core/deadline.ts'
import type { ChannelAddress, Envelope } from '../../../src/core/message.ts'
import type { FairleadError } from '../../../src/errors/base.ts'
import { type FakeClock, fakeClock } from '../../../src/testing/fake-clock.ts'

export const jobs: ChannelAddress = { kind: 'queue', name: 'jobs' }
export const news: ChannelAddress = { kind: 'topic', name: 'news' }
const NONE = {}
const EMPTY = new Uint8Array()

export function envelope(id: string, change: Partial<Envelope> = {}): Envelope {
  return { id, attributes: NONE, headers: NONE, body: EMPTY, ...change }
}

export function contextFor(clock: FakeClock, at: number = Infinity): ReturnType<typeof createContext> {
  return createContext({ service: 'test', operation: 'send', deadline: deadlineAt(at, clock), idempotent: true })
}

export interface Bench {
  readonly clock: FakeClock
  readonly transport: MessageTransport
  /** What became of each: the status, or the code of the error. */
  send(channel: ChannelAddress, ...envelopes: (string | Envelope)[]): Promise<readonly string[]>
}

export function bench(options: MemoryTransportOptions = {}): Bench {
  const clock = fakeClock()
  const transport = memoryTransport(options.broker === undefined ? { clock, ...options } : options)
  return {
    clock,
    transport,
    async send(channel, ...envelopes) {
      const whole = envelopes.map((each) => (typeof each === 'string' ? envelope(each) : each))
      const results = await transport.send(channel, whole, contextFor(clock).context)
      return results.map((result) =>
        result.status === 'failed' ? (result.error as FairleadError).code : result.status,
      )
    },
  }
}

export interface Watched {
  readonly receiver: Receiver
  readonly deliveries: Delivery[]
  readonly ids: string[]
}

export async function watched(
  transport: MessageTransport,
  from: ReceiveFrom,
  credit: number = 0,
  each: (delivery: Delivery, receiver: Receiver) => void = () => undefined,
): Promise<Watched> {
  const deliveries: Delivery[] = []
  const ids: string[] = []
  const receiver: Receiver = await transport.receive(from, (delivery) => {
    deliveries.push(delivery)
    ids.push(delivery.envelope.id)
    each(delivery, receiver)
  })
  receiver.request(credit)
  return { receiver, deliveries, ids }
}
