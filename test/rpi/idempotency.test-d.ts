import { expectTypeOf, test } from 'vitest'
import { z } from 'zod'
import type { IdempotencyStore, Store, Transactional } from '../../src/core/contracts/store.ts'
import { createServerAdapter, defineContract, type IdempotencyPlace } from '../../src/rpi/index.ts'

interface Client {
  query(text: string): Promise<void>
}
declare const store: Store<Client>
declare const parts: Transactional<Client> & { readonly idempotency: IdempotencyStore<Client> }

const Orders = defineContract('orders', {
  place: {
    input: z.object({ sku: z.string() }),
    output: z.object({ orderId: z.string() }),
    failures: { outOfStock: z.object({ left: z.number() }) },
  },
  watch: { output: z.object({ n: z.number() }), streaming: 'server' },
})

test('operations get exactly the transaction of the store; those that stream get none', () => {
  createServerAdapter(
    Orders,
    {
      place: async ({ sku }, { tx, fail }) => {
        expectTypeOf(sku).toBeString()
        expectTypeOf(tx).toEqualTypeOf<Client>()
        if (sku === '') fail('outOfStock', { left: 0 })
        return { orderId: '1' }
      },
      watch: async function* (_, context) {
        expectTypeOf(context).not.toHaveProperty('tx')
        yield { n: 1 }
      },
    },
    {
      idempotency: store,
      idempotencyScope: ({ headers, service, operation }) => `${headers['x-tenant']}${service}${operation}`,
      requireIdempotencyKey: true,
    },
  )
  expectTypeOf(parts).toExtend<IdempotencyPlace<Client>>()
})

test('without a store there is no transaction', () => {
  createServerAdapter(
    Orders,
    {
      place: (_, context) => {
        expectTypeOf(context).not.toHaveProperty('tx')
        return { orderId: '1' }
      },
      watch: () => [],
    },
    { basePath: '/api' },
  )
})

test('answers are checked all the same', () => {
  const wrong = { place: () => ({ orderId: 1 }), watch: () => [] }
  // @ts-expect-error orderId is a string
  createServerAdapter(Orders, wrong, { idempotency: store })
})
