// The recipe for outbox and inbox, on files in a folder of its own.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { memoryBroker, memoryTransport } from 'fairlead/memory'
import { createPublisher } from 'fairlead/messaging'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { billingService, Orders, orderService } from '../../examples/outbox-and-inbox.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fairlead-recipe-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const until = async (condition: () => Promise<boolean>): Promise<void> => {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 5))
}

test('an order that is there is invoiced, once; one that is not is not', { timeout: 30_000 }, async () => {
  const broker = memoryBroker()
  const billing = await billingService(join(folder, 'billing.db'), memoryTransport({ broker }))
  const orders = await orderService(join(folder, 'orders.db'), memoryTransport({ broker }))
  const invoices = async () =>
    (await billing.file.execute('select order_id, cents from invoices order by order_id', [])).rows.map((row) => [
      row['order_id'],
      Number(row['cents']),
    ])
  await orders.place('o-1', 100)
  await orders.place('o-2', 200)
  // The same order again breaks the primary key: no order, and no message.
  await expect(orders.place('o-1', 999)).rejects.toThrow()
  await until(async () => (await invoices()).length >= 2)

  // Delivered again, as brokers do: the same source and id.
  const publisher = createPublisher({ transport: memoryTransport({ broker }), source: '/elsewhere' })
  const again = { type: 'order.placed', id: 'again', key: 'o-3', data: { orderId: 'o-3', cents: 300 } } as const
  for (let times = 0; times < 3; times++) await publisher.result(Orders, again)
  await orders.place('o-4', 400)
  await until(async () => (await invoices()).length >= 4)
  expect(await invoices()).toEqual([
    ['o-1', 100],
    ['o-2', 200],
    ['o-3', 300],
    ['o-4', 400],
  ])
  await publisher.close()
  await orders.close()
  await billing.close()
})
