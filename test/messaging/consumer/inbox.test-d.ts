import { expectTypeOf, test } from 'vitest'
import { z } from 'zod'
import type { InboxStore, Store, Transactional } from '../../../src/core/contracts/store.ts'
import type { MessageTransport } from '../../../src/core/contracts/transport.ts'
import {
  createConsumer,
  type HandlerContext,
  type InboxPlace,
  retry,
  type TransactionContext,
  topic,
} from '../../../src/messaging/index.ts'

interface Client {
  query(text: string): Promise<void>
}
const Orders = topic('orders', {
  'order.placed': z.object({ orderId: z.string() }),
  'order.paid': z.object({ amount: z.number() }),
})
declare const transport: MessageTransport
declare const store: Store<Client>
declare const parts: Transactional<Client> & { readonly inbox: InboxStore<Client> }

test('with an inbox handlers get exactly the transaction of the store', () => {
  createConsumer({
    transport,
    channel: Orders,
    group: 'billing',
    inbox: store,
    name: 'billing',
    redriveWithinMs: 0,
    purgeEveryMs: false,
    handlers: {
      'order.placed': async ({ data }, { tx }) => {
        expectTypeOf(data).toEqualTypeOf<{ orderId: string }>()
        expectTypeOf(tx).toEqualTypeOf<Client>()
        await tx.query('select 1')
      },
      'order.paid': (_, context) => {
        expectTypeOf(context).toEqualTypeOf<TransactionContext<Client>>()
        return retry()
      },
    },
  })
  expectTypeOf(parts).toExtend<InboxPlace<Client>>()
})

test('so do batches', () => {
  createConsumer({
    transport,
    channel: Orders,
    inbox: parts,
    batch: async (messages, { tx, ids }) => {
      expectTypeOf(tx).toEqualTypeOf<Client>()
      expectTypeOf(ids).toEqualTypeOf<readonly string[]>()
      for (const message of messages) if (message.type === 'order.paid') expectTypeOf(message.data.amount).toBeNumber()
    },
  })
})

test('without one there is no transaction', () => {
  createConsumer({
    transport,
    channel: Orders,
    handlers: {
      'order.placed': (_, context) => {
        expectTypeOf(context).toEqualTypeOf<HandlerContext>()
        expectTypeOf(context).not.toHaveProperty('tx')
      },
    },
  })
  // @ts-expect-error it is about an inbox
  createConsumer({ transport, channel: Orders, name: 'billing', handlers: { 'order.paid': () => undefined } })
})

test('a handler of another transaction is an error', () => {
  createConsumer({
    transport,
    channel: Orders,
    inbox: store,
    handlers: {
      // @ts-expect-error the store gives a Client
      'order.paid': (_, { tx }: TransactionContext<{ other: number }>) => void tx.other,
    },
  })
})
