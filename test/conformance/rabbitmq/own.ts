// What tests of the RabbitMQ transport's own ways share: short ways to open, send, receive and wait, over either client.
import { randomUUID } from 'node:crypto'
import { expect } from 'vitest'
import { type RabbitmqTransportOptions, rabbitmqTransport } from '../../../src/adapters/rabbitmq/index.ts'
import { systemClock } from '../../../src/core/clock.ts'
import { type CallContext, createContext } from '../../../src/core/context.ts'
import type { Delivery, MessageTransport, Receiver, SendResult } from '../../../src/core/contracts/transport.ts'
import { deadlineIn } from '../../../src/core/deadline.ts'
import type { ChannelAddress, Envelope } from '../../../src/core/message.ts'
import type { FairleadError } from '../../../src/errors/index.ts'
import type { Client, Entrance, Opened } from './clients.ts'

export const context = (ms: number = 10_000): CallContext =>
  createContext({ service: 's', operation: 'o', deadline: deadlineIn(ms, systemClock), idempotent: true }).context

export const envelope = (id: string, more: Partial<Envelope> = {}): Envelope => ({
  id,
  attributes: { specversion: '1.0', type: 'test', source: '/test' },
  headers: {},
  body: Buffer.from(id),
  ...more,
})

export const sendAll = async (
  by: MessageTransport,
  channel: ChannelAddress,
  envelopes: readonly Envelope[],
): Promise<void> => {
  for (const verdict of await by.send(channel, envelopes, context())) expect(verdict).toEqual({ status: 'accepted' })
}

/** Sends until it is accepted, as a relay does. */
export const persist = async (by: MessageTransport, channel: ChannelAddress, one: Envelope): Promise<void> => {
  await expect
    .poll(async () => (await by.send(channel, [one], context(2_000)))[0]?.status, { timeout: 60_000, interval: 50 })
    .toBe('accepted')
}

export const collect = async (
  by: MessageTransport,
  from: Parameters<MessageTransport['receive']>[0],
  credit: number,
  react: (delivery: Delivery) => void = () => undefined,
): Promise<{ readonly receiver: Receiver; readonly got: Delivery[] }> => {
  const got: Delivery[] = []
  const receiver = await by.receive(from, (delivery) => {
    got.push(delivery)
    react(delivery)
  })
  receiver.ended.catch(() => undefined)
  receiver.request(credit)
  return { receiver, got }
}

export const ids = (got: readonly Delivery[]): readonly string[] => got.map(({ envelope: { id } }) => id)

/** What went wrong, which must be named. */
export const failureOf = async (work: Promise<unknown>): Promise<FairleadError> => {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown as FairleadError,
  )
  return judged(error)
}

/** What went wrong with a send of one. */
export const sendFailure = async (work: Promise<readonly SendResult[]>): Promise<FairleadError> => {
  const [verdict] = await work
  expect(verdict).toMatchObject({ status: 'failed' })
  return judged(verdict?.status === 'failed' ? (verdict.error as FairleadError) : undefined)
}

const judged = (error: FairleadError | undefined): FairleadError => {
  expect(error).toBeDefined()
  expect(error?.code).toMatch(/^[A-Z_]+$/)
  expect(error?.code).not.toBe('CALL_FAILED')
  expect(error?.code).not.toBe('PROGRAMMING_ERROR')
  return error as FairleadError
}

/** Opens transports and drivers of one client, and ends them all. */
export interface Bench {
  transport(entrance: Entrance, options?: RabbitmqTransportOptions): MessageTransport
  /** The driver alone: what somebody else does at the broker. */
  driver(entrance: Entrance): Opened['driver']
  /** A name that nobody has used. */
  name(kind?: 'queue' | 'topic'): ChannelAddress
  end(): Promise<void>
}

export const benchOf = (client: Client): Bench => {
  const transports: MessageTransport[] = []
  const opened: Opened[] = []
  const open = (entrance: Entrance): Opened['driver'] => {
    const made = client.open(entrance)
    opened.push(made)
    return made.driver
  }
  return {
    transport(entrance, options = {}) {
      const made = rabbitmqTransport(open(entrance), { answerTimeoutMs: 8_000, ...options })
      transports.push(made)
      return made
    },
    driver: open,
    name: (kind = 'queue') => ({ kind, name: `own-${randomUUID().slice(0, 13)}` }),
    async end() {
      await Promise.all(transports.splice(0).map((each) => each.close()))
      await Promise.all(opened.splice(0).map((each) => each.end()))
    },
  }
}
