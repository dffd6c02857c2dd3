// The process of the tests: an order that is validated, paid and cooked by three services, and what those services see of it.
import { z } from 'zod'
import type { Store } from '../../../src/core/contracts/store.ts'
import type { PipelineEvent } from '../../../src/core/events.ts'
import type { Message } from '../../../src/core/message.ts'
import {
  type Consumer,
  createConsumer,
  createOutbox,
  createPublisher,
  createRelay,
  queue,
  topic,
} from '../../../src/messaging/index.ts'
import {
  createProcessRunner,
  defineProcess,
  type Process,
  type ProcessRunnerOptions,
} from '../../../src/messaging/process/index.ts'
import type { Lab } from '../lab.ts'
import { sendRaw } from '../raw.ts'

const Of = z.object({ orderId: z.string() })

/** The channels of one test. */
export function channelsOf(name: string) {
  return {
    Orders: topic(`${name}-orders`, {
      'order.created': z.object({ orderId: z.string(), cents: z.number() }),
      'order.changed': z.object({ orderId: z.string(), cents: z.number() }),
    }),
    Consumers: queue(`${name}-consumers`, { 'consumer.validate': Of }),
    ConsumerEvents: topic(`${name}-consumer-events`, { 'consumer.validated': Of, 'consumer.refused': Of }),
    Kitchen: queue(`${name}-kitchen`, {
      'ticket.create': {
        schema: Of,
        reply: z.object({ ticketId: z.string() }),
        failures: { CLOSED: z.object({ until: z.string() }) },
      },
      'ticket.find': { schema: Of, reply: z.object({ ticket: z.enum(['created', 'none', 'cooking?']) }) },
      'ticket.cancel': {
        schema: z.object({ orderId: z.string(), ticketId: z.string() }),
        reply: z.object({}),
        failures: { EATEN: z.object({}) },
      },
    }),
    Payments: queue(`${name}-payments`, {
      'payment.take': z.object({ orderId: z.string(), cents: z.number() }),
      'payment.back': z.object({ orderId: z.string(), cents: z.number() }),
    }),
    PaymentEvents: topic(`${name}-payment-events`, { 'payment.taken': Of, 'payment.declined': Of }),
    News: topic(`${name}-news`, {
      'order.done': Of,
      'order.rejected': z.object({ orderId: z.string(), why: z.string() }),
    }),
  }
}

export type Channels = ReturnType<typeof channelsOf>

export const Order = z.object({
  orderId: z.string(),
  cents: z.number(),
  status: z.enum(['PENDING', 'CONSUMER_VALIDATED', 'ORDER_DETAILS_VALIDATED', 'VALIDATED', 'REJECTED']),
  ticketId: z.string().optional(),
})

type Note = (tx: unknown, line: string) => Promise<void>

/** Consumer, payment and ticket, asked at once and answered in any order. */
export function placeOrder(name: string, on: Channels, note: Note) {
  return defineProcess(name, { state: Order })
    .step('consumer', on.Consumers, 'consumer.validate')
    .step('payment', on.Payments, 'payment.take')
    .undo('payment', on.Payments, 'payment.back', ({ sent }) => ({ orderId: sent.orderId, cents: sent.cents }))
    .step('ticket', on.Kitchen, 'ticket.create', { withinMs: 1_000 })
    .undo(
      'ticket',
      on.Kitchen,
      'ticket.cancel',
      ({ id, state }) => ({ orderId: id, ticketId: state.ticketId ?? '?' }),
      {
        withinMs: 4_000,
      },
    )
    .ask(
      'ticket',
      on.Kitchen,
      'ticket.find',
      ({ sent }) => sent,
      async ({ ticket }, process) => {
        if (ticket === 'none') return 'refused'
        if (ticket !== 'created') return 'unknown'
        process.state.ticketId = 'found'
        process.settle('ticket', 'done')
        await gone(process)
        return 'done'
      },
      { everyMs: 500, times: 3 },
    )
    .onTimeout('patience', (process) => process.fail('it took too long'))
    .starts(on.Orders, 'order.created', {
      id: ({ data }) => data.orderId,
      state: ({ data }) => ({ orderId: data.orderId, cents: data.cents, status: 'PENDING' as const }),
      sends: ['consumer', 'payment', 'ticket'],
      handle: async ({ data }, process) => {
        await note(process.tx, `${process.id} begun`)
        process.send('consumer', { orderId: data.orderId })
        process.send('payment', { orderId: data.orderId, cents: data.cents })
        process.send('ticket', { orderId: data.orderId })
        process.timeout('patience', 60_000)
      },
    })
    .on(on.ConsumerEvents, 'consumer.validated', {
      id: ({ data }) => data.orderId,
      answers: 'consumer',
      sends: [],
      handle: async (_, process) => {
        process.state.status = process.state.status === 'PENDING' ? 'CONSUMER_VALIDATED' : 'VALIDATED'
        await gone(process)
      },
    })
    .on(on.ConsumerEvents, 'consumer.refused', { id: ({ data }) => data.orderId, refuses: 'consumer' })
    .on(on.PaymentEvents, 'payment.taken', {
      id: ({ data }) => data.orderId,
      answers: 'payment',
      handle: (_, process) => gone(process),
    })
    .on(on.PaymentEvents, 'payment.declined', { id: ({ data }) => data.orderId, refuses: 'payment' })
    .onReply('ticket', {
      reply: async ({ ticketId }, process) => {
        process.state.ticketId = ticketId
        process.state.status = process.state.status === 'PENDING' ? 'ORDER_DETAILS_VALIDATED' : 'VALIDATED'
        await gone(process)
      },
    })
    .onUndone(async (why, process) => {
      process.state.status = 'REJECTED'
      process.publish(on.News, { type: 'order.rejected', data: { orderId: process.id, why } })
      await note(process.tx, `${process.id} rejected`)
    })

  async function gone(process: {
    readonly id: string
    readonly tx: unknown
    is(step: 'consumer' | 'payment' | 'ticket'): string
    complete(): void
    publish(channel: Channels['News'], message: { type: 'order.done'; data: { orderId: string } }): void
  }): Promise<void> {
    await note(process.tx, `${process.id} went on`)
    if ((['consumer', 'payment', 'ticket'] as const).some((step) => process.is(step) !== 'done')) return
    process.publish(on.News, { type: 'order.done', data: { orderId: process.id } })
    process.complete()
    await note(process.tx, `${process.id} done`)
  }
}

/** A command or news as its receiver saw it. */
export interface Seen {
  readonly type: string
  readonly message: Message<any>
}

/** The other services, as far as the process sees them: they note what they get, and answer when a test says so. */
export async function othersOf(lab: Lab, on: Channels) {
  const transport = await lab.transport()
  const publisher = createPublisher({ transport, source: '/others', clock: lab.clock })
  const seen: Seen[] = []
  const consumers: Consumer[] = []
  for (const channel of [on.Consumers, on.Kitchen, on.Payments, on.News]) {
    const handlers: Record<string, (message: Message) => void> = {}
    for (const type of Object.keys(channel.types))
      handlers[type] = (message) => {
        seen.push({ type, message })
      }
    const consumer = createConsumer({
      transport,
      channel: channel as any,
      ...(channel.kind === 'topic' ? { group: 'reader' } : {}),
      clock: lab.clock,
      handlers,
    } as never)
    consumers.push(consumer)
  }
  const listened = [on.Orders, on.ConsumerEvents, on.PaymentEvents].map(({ kind, name }) => ({ kind, name }))
  await Promise.all([transport.prepare(listened, 'create'), ...consumers.map((consumer) => consumer.start())])
  let n = 0
  const raw = async (asked: Seen, data: unknown, attributes: Record<string, string> = {}): Promise<void> => {
    const { id, correlationId, replyTo, type } = asked.message
    if (replyTo === undefined || correlationId === undefined) throw new Error(`${type} wants no reply`)
    await sendRaw(lab.clock, transport, replyTo, {
      id: `reply ${++n} to ${id}`,
      key: correlationId,
      attributes: {
        specversion: '1.0',
        source: '/others',
        type: `${type}.reply`,
        correlationid: correlationId,
        causationid: id,
        datacontenttype: 'application/json',
        ...attributes,
      },
      headers: {},
      body: Buffer.from(JSON.stringify(data)),
    })
  }
  return {
    seen,
    transport,
    publisher,
    /** Each once, as an inbox would have it: what is sent twice has one id. */
    of: (type: string, orderId?: string): readonly Seen[] =>
      seen.filter(
        (each, at) =>
          each.type === type &&
          (orderId === undefined || each.message.data.orderId === orderId) &&
          seen.findIndex(({ message }) => message.id === each.message.id) === at,
      ),
    order: (orderId: string, cents = 900, id?: string) =>
      publisher.publish(on.Orders, {
        type: 'order.created',
        key: orderId,
        data: { orderId, cents },
        ...(id === undefined ? {} : { id }),
      }),
    validated: (orderId: string) =>
      publisher.publish(on.ConsumerEvents, { type: 'consumer.validated', key: orderId, data: { orderId } }),
    refused: (orderId: string) =>
      publisher.publish(on.ConsumerEvents, { type: 'consumer.refused', key: orderId, data: { orderId } }),
    paid: (orderId: string) =>
      publisher.publish(on.PaymentEvents, { type: 'payment.taken', key: orderId, data: { orderId } }),
    declined: (orderId: string) =>
      publisher.publish(on.PaymentEvents, { type: 'payment.declined', key: orderId, data: { orderId } }),
    reply: (asked: Seen, data: unknown) => raw(asked, data),
    failure: (asked: Seen, failure: string, data: unknown) => raw(asked, data, { failure }),
    problem: (asked: Seen, data: unknown) => raw(asked, data, { datacontenttype: 'application/problem+json' }),
    async stop() {
      await Promise.all(consumers.map((consumer) => consumer.close({ withinMs: 1_000 })))
      await publisher.close()
      await transport.close()
    },
  }
}

/** One process of the service: runner and relay. */
export async function serviceOf(
  lab: Lab,
  process: Process,
  options: Partial<ProcessRunnerOptions<any>> = {},
  given?: Store<any> | undefined,
) {
  const store = given ?? (await lab.store())
  const transport = await lab.transport()
  const { clock } = lab
  const outbox = createOutbox(store, { clock, source: '/orders' })
  const relay = createRelay({
    outbox,
    transport,
    clock,
    poll: { minMs: 20, maxMs: 100 },
    purgeAfterMs: false,
    leaseMs: lab.leaseMs ?? 2_000,
  })
  const events: PipelineEvent[] = []
  const runner = createProcessRunner({
    process,
    store,
    outbox,
    transport,
    clock,
    scanEveryMs: 200,
    redriveWithinMs: 0,
    purgeEveryMs: false,
    retries: { immediate: 0, delayedMs: [50, 100, 200, 400, 1_000, 2_000, 2_000, 2_000] },
    onEvent: (event) => void events.push(event),
    ...options,
  })
  await relay.start()
  await runner.start()
  return {
    store,
    runner,
    relay,
    outbox,
    transport,
    events,
    async stop() {
      await runner.close({ withinMs: 1_000 })
      await relay.close({ withinMs: 1_000 })
      await transport.close()
      await store.close()
    },
  }
}
