// The recipe for replicas: two owners, and an order service that reads its own copies; owners that are down, customers that are not kept, a copy that is too old.
import type { MessageTransport, RpiTransport } from 'fairlead/core'
import { createError } from 'fairlead/errors'
import { memoryBroker, memoryTransport } from 'fairlead/memory'
import { openSqlite } from 'fairlead/sqlite'
import { memoryRpiTransport } from 'fairlead/testing'
import { expect, test } from 'vitest'
import { orderService } from '../../examples/replica/order-service.ts'
import { owner } from '../../examples/replica/owner.ts'

const until = async (condition: () => Promise<boolean>): Promise<void> => {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 5))
}

test('orders are accepted from local copies; a miss and a copy that is too old are calls', {
  timeout: 30_000,
}, async () => {
  const broker = memoryBroker()
  const customers = await owner('customers', ':memory:', memoryTransport({ broker }))
  const products = await owner('products', ':memory:', memoryTransport({ broker }))
  await customers.change('ann', { name: 'Ann', cents: 900, country: 'NL' })
  await customers.change('bo', { name: 'Bo', cents: 900, country: 'BE' })
  await products.change('book', { name: 'Book', cents: 700, country: 'NL' })

  const calls: string[] = []
  let down = false
  const rpi = (name: string): RpiTransport => {
    const { adapter } = name === 'customers' ? customers : products
    const reached = memoryRpiTransport(adapter)
    const invoke: RpiTransport['invoke'] = async (...asked) => {
      calls.push(name)
      if (down) throw createError({ code: 'CONNECTION_REFUSED' })
      return reached.invoke(...asked)
    }
    return { name: reached.name, invoke, close: () => reached.close() }
  }
  let silent = false
  const transport = memoryTransport({ broker })
  const watched: MessageTransport = Object.assign(Object.create(transport) as MessageTransport, {
    inspect: (from: never) => (silent ? Promise.reject(new Error('the broker is down')) : transport.inspect?.(from)),
  })
  const file = await openSqlite(':memory:')
  const orders = await orderService(file, watched, rpi)
  await Promise.all([orders.customers.ready(), orders.products.ready()])
  calls.length = 0

  // Both owners may be down.
  down = true
  expect(await orders.accept('ann', 'book')).toEqual({ fits: true, from: ['copy', 'copy'] })
  expect(calls).toEqual([])
  // Kept is only a part: the customers of one country.
  await expect(orders.accept('bo', 'book')).rejects.toMatchObject({ code: 'CONNECTION_REFUSED' })
  down = false
  expect(await orders.accept('bo', 'book')).toEqual({ fits: true, from: ['call', 'copy'] })

  await products.change('book', { name: 'Book', cents: 950, country: 'NL' })
  await until(async () => !(await orders.accept('ann', 'book')).fits)
  expect(await orders.accept('nobody', 'book')).toEqual({ fits: false, from: ['call', 'copy'] })
  // Too old: nobody can say how much is missing. The owner is asked, and where it cannot be asked either there is no answer.
  silent = true
  await new Promise((resolve) => setTimeout(resolve, 30))
  expect((await orders.products.staleness()).waiting).toBeUndefined()
  expect((await orders.accept('ann', 'book', 10)).from).toEqual(['call', 'call'])
  down = true
  await expect(orders.accept('ann', 'book', 10)).rejects.toMatchObject({ code: 'CONNECTION_REFUSED' })
  // A minute is good enough for others.
  expect((await orders.accept('ann', 'book')).from).toEqual(['copy', 'copy'])
  await Promise.all([orders.customers.close(), orders.products.close(), customers.close(), products.close()])
  await file.close()
})
