// The consumer runtime over a feed: typed messages out of the log, dead letters to a place of the consumer's own, and a second member that takes over.
import { afterEach, expect, it } from 'vitest'
import { z } from 'zod'
import { createFeed, httpFeedTransport } from '../../../src/adapters/http-feed/index.ts'
import { memoryCheckpoints } from '../../../src/adapters/memory/index.ts'
import { createConsumer, createPublisher, dead, topic } from '../../../src/messaging/index.ts'
import { type FeedServer, feedServer, reader, until } from './lab.ts'

const Orders = topic('orders', { 'order.placed': z.object({ n: z.number() }) })
const servers: FeedServer[] = []
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close()
})

it('handles what was published, and keeps what was given up', async () => {
  const server = await feedServer()
  servers.push(server)
  const transport = reader(server.url)
  const kept = createFeed()
  const graves = httpFeedTransport({ feed: kept })
  const handled: number[] = []
  const consumer = createConsumer({
    transport,
    channel: Orders,
    group: 'billing',
    handlers: {
      'order.placed': async ({ data }) => {
        if (data.n === 3) return dead('three is too many')
        handled.push(data.n)
        return undefined
      },
    },
    deadLetter: { transport: graves, channel: { kind: 'topic', name: 'orders-dead' } },
  })
  await consumer.start()
  const publisher = createPublisher({ transport: httpFeedTransport({ feed: server.feed }), source: '/shop' })
  for (let n = 0; n < 6; n++) await publisher.publish(Orders, { type: 'order.placed', data: { n } })
  await until(() => handled.length === 5)
  expect(handled).toEqual([0, 1, 2, 4, 5])
  await until(async () => kept.has('orders-dead') && (await kept.tail('orders-dead', 'earliest')).waiting === 1)
  await consumer.close()
  await publisher.close()
  await transport.close()
})

it('goes on in another process where the first one left off', async () => {
  const server = await feedServer()
  servers.push(server)
  const checkpoints = memoryCheckpoints()
  const handled: string[] = []
  const make = (name: string) =>
    createConsumer({
      transport: reader(server.url, { checkpoints }),
      channel: Orders,
      group: 'billing',
      handlers: {
        'order.placed': async ({ data }) => {
          handled.push(`${name}${data.n}`)
        },
      },
      deadLetter: 'drop',
    })
  const [a, b] = [make('a'), make('b')]
  await a.start()
  await new Promise((resolve) => setTimeout(resolve, 5))
  await b.start()
  const publisher = createPublisher({ transport: httpFeedTransport({ feed: server.feed }), source: '/shop' })
  await publisher.publish(Orders, { type: 'order.placed', data: { n: 1 } })
  await until(() => handled.length === 1)
  await a.close()
  await publisher.publish(Orders, { type: 'order.placed', data: { n: 2 } })
  await until(() => handled.length === 2)
  expect(handled).toEqual(['a1', 'b2'])
  await b.close()
  await publisher.close()
})
