// What the compiler says of processes: steps, data, states, answers and transactions that do not fit together are no programs.
import { expectTypeOf, test } from 'vitest'
import { z } from 'zod'
import type { MessageTransport } from '../../../src/core/contracts/transport.ts'
import { queue, topic } from '../../../src/messaging/channel.ts'
import type { Outbox } from '../../../src/messaging/outbox/index.ts'
import {
  createProcessRunner,
  defineProcess,
  type ProcessContextOf,
  type ProcessPlace,
  type ProcessRunner,
  type ProcessStateOf,
  type StepStatus,
} from '../../../src/messaging/process/index.ts'
import type { ChannelMessage, ReplyOut, TypesOf } from '../../../src/messaging/types.ts'

interface ClientTx {
  query(text: string): Promise<void>
}
interface OrmTx {
  insert(table: string): Promise<void>
}
declare const store: ProcessPlace<ClientTx>
declare const outbox: Outbox<ClientTx>
declare const foreign: Outbox<OrmTx>
declare const transport: MessageTransport

const Orders = topic('orders', { 'order.created': z.object({ orderId: z.string(), cents: z.number() }) })
const Payments = queue('payments', {
  'payment.take': z.object({ cents: z.number() }),
  'payment.back': z.object({ cents: z.number() }),
})
const PaymentEvents = topic('payment-events', { 'payment.taken': z.object({ orderId: z.string() }) })
const Kitchen = queue('kitchen', {
  'ticket.create': {
    schema: z.object({ orderId: z.string() }),
    reply: z.object({ ticketId: z.string() }),
    failures: { CLOSED: z.object({ until: z.string() }) },
  },
  'ticket.find': { schema: z.object({ orderId: z.string() }), reply: z.object({ found: z.boolean() }) },
})

const Order = z.object({ orderId: z.string(), status: z.enum(['PENDING', 'DONE']) })
const base = defineProcess('place-order', { state: Order })
const steps = base.using<ClientTx>().step('payment', Payments, 'payment.take').step('ticket', Kitchen, 'ticket.create')
const started = { id: () => 'x', state: () => ({ orderId: 'x', status: 'PENDING' as const }) }

// Written beside the process, with names for what they are given.
type Going = ProcessContextOf<typeof late>
const late = steps.onTimeout('late', (process) => finish(process))
const finish = (process: ProcessContextOf<typeof steps>): void => {
  expectTypeOf(process.state).toEqualTypeOf<{ orderId: string; status: 'PENDING' | 'DONE' }>()
  expectTypeOf(process.tx).toEqualTypeOf<ClientTx>()
  // @ts-expect-error there is no such step
  process.is('paymant')
  // @ts-expect-error there is no timeout yet
  process.timeout('late', 1)
  if (process.is('payment') === 'done') process.complete()
}
const began = ({ data, type }: ChannelMessage<typeof Orders, 'order.created'>, process: Going): void => {
  expectTypeOf(data).toEqualTypeOf<{ orderId: string; cents: number }>()
  expectTypeOf(type).toEqualTypeOf<'order.created'>()
  process.send('payment', { cents: data.cents })
  // @ts-expect-error cents is a number
  process.send('payment', { cents: '1' })
  process.timeout('late', 1_000)
  // @ts-expect-error there is no such timeout
  process.timeout('soon', 1_000)
}
const ticket = (reply: ReplyOut<TypesOf<typeof Kitchen>['ticket.create']>, process: Going): void => {
  expectTypeOf(reply).toEqualTypeOf<{ ticketId: string }>()
  finish(process)
}

test('handlers that are written outside have names for what they are given', () => {
  late
    .starts(Orders, 'order.created', { ...started, handle: began })
    .on(PaymentEvents, 'payment.taken', { answers: 'payment', handle: (_, process) => finish(process) })
    .onReply('ticket', { reply: ticket, failure: (_, __, process) => finish(process) })
    .onUnknown('ticket', finish, { sends: ['payment'] })
    .onUndone((_, process) => finish(process))
  // @ts-expect-error another message
  late.on(PaymentEvents, 'payment.taken', { handle: began })
  expectTypeOf<ProcessStateOf<typeof late>>().toEqualTypeOf<{ orderId: string; status: 'PENDING' | 'DONE' }>()
  expectTypeOf<ProcessContextOf<string>>().toEqualTypeOf<never>()
  // @ts-expect-error the channel has no such type
  type _Nothing = ChannelMessage<typeof Orders, 'order.creatd'>
})

test('a handler is told what its message, its state and its transaction are', () => {
  steps
    .onTimeout('late', (process) => process.timeout('late', 1))
    .starts(Orders, 'order.created', {
      id: ({ data }) => data.orderId,
      state: ({ data }) => ({ orderId: data.orderId, status: 'PENDING' }),
      handle: ({ data, type }, process) => {
        expectTypeOf(data).toEqualTypeOf<{ orderId: string; cents: number }>()
        expectTypeOf(type).toEqualTypeOf<'order.created'>()
        expectTypeOf(process.state).toEqualTypeOf<{ orderId: string; status: 'PENDING' | 'DONE' }>()
        expectTypeOf(process.tx).toEqualTypeOf<ClientTx>()
        expectTypeOf(process.is('ticket')).toEqualTypeOf<StepStatus>()
        process.send('payment', { cents: data.cents })
        process.timeout('late', 1_000)
      },
    })
    .onReply('ticket', {
      reply: ({ ticketId }) => expectTypeOf(ticketId).toEqualTypeOf<string>(),
      failure: (name, data) => {
        expectTypeOf(name).toEqualTypeOf<'CLOSED'>()
        expectTypeOf(data).toEqualTypeOf<{ until: string }>()
      },
    })
    .undo('payment', Payments, 'payment.back', ({ sent, state }) => {
      expectTypeOf(sent).toEqualTypeOf<{ cents: number }>()
      expectTypeOf(state.orderId).toEqualTypeOf<string>()
      return { cents: sent.cents }
    })
    .ask(
      'ticket',
      Kitchen,
      'ticket.find',
      ({ sent }) => sent,
      ({ found }) => (found ? 'done' : 'unknown'),
      { times: 3 },
    )
})

test('what was not named is not there', () => {
  steps.starts(Orders, 'order.created', {
    ...started,
    handle: (_, process) => {
      // @ts-expect-error no such step
      process.send('delivery', {})
      // @ts-expect-error no such timeout
      process.timeout('late', 1)
      // @ts-expect-error no such step
      process.is('delivery')
    },
  })
  // @ts-expect-error no such type on the channel
  steps.on(PaymentEvents, 'payment.lost', { handle: () => {} })
  // @ts-expect-error no such step
  steps.on(PaymentEvents, 'payment.taken', { answers: 'delivery' })
  // @ts-expect-error no such step
  steps.undo('delivery', Payments, 'payment.back', () => ({ cents: 1 }))
  // @ts-expect-error there is a step of that name
  steps.step('payment', Payments, 'payment.take')
})

test('data and states are what their schemas say', () => {
  steps.starts(Orders, 'order.created', {
    ...started,
    handle: (_, process) => {
      // @ts-expect-error cents is a number
      process.send('payment', { cents: '1' })
      // @ts-expect-error no such status
      process.state.status = 'LOST'
    },
  })
  // @ts-expect-error no such status
  steps.starts(Orders, 'order.created', { id: () => 'x', state: () => ({ orderId: 'x', status: 'LOST' }) })
  // @ts-expect-error cents is missing
  steps.undo('payment', Payments, 'payment.back', () => ({}))
  // @ts-expect-error the schema does not take what it gives
  defineProcess('own', { state: z.object({ at: z.string().transform(Number) }) })
})

test('a handler that says what it sends, sends nothing else', () => {
  steps.starts(Orders, 'order.created', {
    ...started,
    sends: ['payment'],
    handle: (_, process) => {
      process.send('payment', { cents: 1 })
      // @ts-expect-error it did not say so
      process.send('ticket', { orderId: 'x' })
    },
  })
})

test('only a request is replied to, and a question that is one needs to be understood', () => {
  // @ts-expect-error it declares no reply
  steps.onReply('payment', {})
  // @ts-expect-error what does the reply mean?
  steps.ask('ticket', Kitchen, 'ticket.find', ({ sent }) => sent)
  steps.ask('payment', Payments, 'payment.back', ({ sent }) => sent, { times: 1 })
})

test('store, outbox and handlers have transactions of one kind', () => {
  expectTypeOf(createProcessRunner({ process: steps, store, outbox, transport })).toEqualTypeOf<ProcessRunner>()
  createProcessRunner({ process: base, store, outbox, transport })
  // @ts-expect-error of another store
  createProcessRunner({ process: steps, store, outbox: foreign, transport })
  // @ts-expect-error its handlers want transactions of another kind
  createProcessRunner({ process: base.using<OrmTx>(), store, outbox, transport })
})
