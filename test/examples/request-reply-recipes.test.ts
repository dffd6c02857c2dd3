// The recipes for questions over messages: remembered across processes, and one contract on two ways.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isFailure } from 'fairlead'
import { memoryBroker, memoryTransport } from 'fairlead/memory'
import { createResponder } from 'fairlead/messaging'
import { expect, test } from 'vitest'
import { Credit, orderService } from '../../examples/ask-and-remember.ts'
import { Thumbnails, thumbnailClients, thumbnailService } from '../../examples/contract-over-a-queue.ts'

const until = async (condition: () => Promise<boolean>): Promise<void> => {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 5))
}

test('an order is taken by the answer that comes to another process, or by hand when none comes', {
  timeout: 30_000,
}, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-recipe-'))
  const path = join(folder, 'orders.db')
  const broker = memoryBroker()
  const first = await orderService(path, memoryTransport({ broker }))
  await first.place('o-1', 'ann', 500)
  await first.place('o-2', 'bob', 500)
  await first.place('o-3', 'ann', 1, 100)
  await until(async () => (await states(first)).get('o-3') === 'by hand')
  await first.close()
  const credit = createResponder({
    transport: memoryTransport({ broker }),
    channel: Credit,
    source: '/credit',
    handlers: { 'credit.check': ({ data }) => ({ limit: data.customer === 'ann' ? 1_000 : 10 }) },
  })
  await credit.start()
  const second = await orderService(path, memoryTransport({ broker }))
  await until(async () => ![...(await states(second)).values()].includes('waits'))
  expect([...(await states(second))]).toEqual([
    ['o-1', 'taken'],
    ['o-2', 'refused'],
    ['o-3', 'by hand'],
  ])
  await credit.close()
  await second.close()
  rmSync(folder, { recursive: true, force: true })
})

async function states({ file }: Awaited<ReturnType<typeof orderService>>): Promise<Map<string, string>> {
  const { rows } = await file.execute('select id, state from orders order by id', [])
  return new Map(rows.map((row) => [String(row['id']), String(row['state'])]))
}

test('one contract answers over HTTP and over a queue, failures and all', { timeout: 30_000 }, async () => {
  const transport = memoryTransport()
  const service = await thumbnailService(transport)
  const clients = thumbnailClients(service.url, transport)
  for (const client of [clients.now, clients.whenFree]) {
    expect(await client.make({ url: 'https://example.org/a.png', width: 20 })).toEqual({ bytes: 200 })
    const { error } = (await client.make.result({ url: 'https://example.org/a.txt', width: 20 })) as { error: unknown }
    expect(isFailure(error, Thumbnails, 'make', 'notAnImage') && error.details.url).toBe('https://example.org/a.txt')
  }
  await clients.close()
  await service.close()
  await transport.close()
})
