// What the tests of the Kafka transport's own ways share: short ways to send, to receive, and to look at the broker behind the transport's back.
import { randomUUID } from 'node:crypto'
import * as platformatic from '@platformatic/kafka'
import { expect } from 'vitest'
import { systemClock } from '../../../src/core/clock.ts'
import { type CallContext, createContext } from '../../../src/core/context.ts'
import type {
  Delivery,
  MessageTransport,
  ReceiveFrom,
  Receiver,
  SendResult,
} from '../../../src/core/contracts/transport.ts'
import { deadlineIn } from '../../../src/core/deadline.ts'
import type { ChannelAddress, Envelope } from '../../../src/core/message.ts'
import type { FairleadError } from '../../../src/errors/index.ts'

/** Longer than anything here takes on a machine that has much to do. */
export const PATIENCE = { timeout: 90_000, interval: 50 } as const

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

export const context = (deadlineMs = 30_000): CallContext =>
  createContext({ service: 's', operation: 'o', deadline: deadlineIn(deadlineMs, systemClock), idempotent: true })
    .context

/** A topic that nobody else has. */
export const topicNamed = (purpose: string): ChannelAddress => ({
  kind: 'topic',
  name: `${purpose}-${randomUUID().slice(0, 8)}`,
})

export const envelope = (id: string, more: Partial<Envelope> = {}): Envelope => ({
  id,
  attributes: { specversion: '1.0', type: 'kit.message', source: '/kit', datacontenttype: 'text/plain' },
  headers: {},
  body: Buffer.from(id),
  ...more,
})

/** Sends, and fails unless all are accepted. */
export const sendAll = async (
  by: MessageTransport,
  channel: ChannelAddress,
  envelopes: readonly Envelope[],
): Promise<void> => {
  for (const verdict of await by.send(channel, envelopes, context())) expect(verdict).toEqual({ status: 'accepted' })
}

/** The error of a verdict; of a kind that fairlead knows. */
export const errorOf = (verdict: SendResult | undefined): FairleadError => {
  expect(verdict?.status).toBe('failed')
  return known((verdict as { readonly error: unknown }).error)
}

/** What a promise rejects with; of a kind that fairlead knows. */
export const failureOf = async (work: Promise<unknown>): Promise<FairleadError> =>
  known(
    await work.then(
      () => undefined,
      (thrown: unknown) => thrown,
    ),
  )

const known = (thrown: unknown): FairleadError => {
  expect(thrown).toMatchObject({ transport: expect.any(String), code: expect.any(String), effect: expect.any(String) })
  const error = thrown as FairleadError
  expect(error.code).not.toBe('CALL_FAILED')
  return error
}

/** Sends one, until it is accepted. */
export const sendUntilAccepted = async (by: MessageTransport, channel: ChannelAddress, id: string): Promise<void> => {
  await expect
    .poll(async () => (await by.send(channel, [envelope(id)], context(10_000)))[0]?.status, PATIENCE)
    .toBe('accepted')
}

/** What came, with the means to ask for more. */
export interface Collected {
  readonly receiver: Receiver
  readonly got: Delivery[]
}

export const collect = async (
  by: MessageTransport,
  from: ReceiveFrom,
  credit: number,
  react?: 'ack' | undefined,
): Promise<Collected> => {
  const got: Delivery[] = []
  const receiver = await by.receive(from, (delivery) => {
    got.push(delivery)
    if (react === undefined) return
    delivery.settle('ack').then(
      () => receiver.request(1),
      () => receiver.request(1),
    )
  })
  receiver.ended.catch(() => undefined)
  receiver.request(credit)
  return { receiver, got }
}

export const ids = (got: readonly Delivery[]): readonly string[] => got.map(({ envelope: { id } }) => id)

/** A look at the broker past the transport. */
export const adminAt = (brokers: readonly string[]): platformatic.Admin =>
  new platformatic.Admin({ clientId: 'kit', bootstrapBrokers: [...brokers], retries: 10, retryDelay: 200 })
