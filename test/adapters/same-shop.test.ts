// The same service on three transports; the fourth, PostgreSQL, is in test/conformance/postgres.
import { httpFeedTransport } from 'fairlead/http-feed'
import { memoryBroker, memoryTransport } from 'fairlead/memory'
import { expect, test } from 'vitest'
import { sameShop } from '../messaging/same-shop.ts'
import { feedServer, reader } from './http-feed/lab.ts'
import { pushLab } from './http-push/lab.ts'

test('in memory', async () => {
  const broker = memoryBroker()
  expect(await sameShop(memoryTransport({ broker }), memoryTransport({ broker }))).toBeUndefined()
})

test('pushed over HTTP', async () => {
  const lab = await pushLab('node')
  expect(await sameShop(await lab.open(), await lab.open())).toBeUndefined()
  await lab.close()
})

test('read from a feed over HTTP', async () => {
  const server = await feedServer()
  expect(await sameShop(httpFeedTransport({ feed: server.feed }), reader(server.url))).toBeUndefined()
  await server.close()
})
