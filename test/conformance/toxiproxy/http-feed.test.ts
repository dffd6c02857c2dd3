// A reader behind a troubled network: Toxiproxy slows, cuts, swallows and refuses. It comes back by itself, misses nothing, and every failure has a name.
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import {
  createFeed,
  type Feed,
  type FeedReaderEvent,
  type HttpFeedTransport,
  httpFeedTransport,
} from '../../../src/adapters/http-feed/index.ts'
import { memoryCheckpoints } from '../../../src/adapters/memory/index.ts'
import type { Envelope } from '../../../src/core/message.ts'
import { freePort } from '../../services/free-port.ts'
import { control, mendProxy } from '../../services/toxiproxy.ts'

const until = async (holds: () => boolean): Promise<void> => {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5))
}
const orders = { kind: 'topic', name: 'orders' } as const
const message = (id: string): Envelope => ({
  id,
  attributes: { specversion: '1.0', source: '/test', type: 'order.placed', datacontenttype: 'application/json' },
  headers: {},
  body: Buffer.from(JSON.stringify({ text: 'x'.repeat(5_000) })),
})

describe('a feed through a troubled network', () => {
  const name = `feed-${process.pid}`
  let feed: Feed
  let server: Server
  let reader: HttpFeedTransport
  let port: number
  let next: number
  let ids: string[]
  let events: FeedReaderEvent[]
  let requestTimeoutMs = 300
  const toxic = (type: string, attributes: object): Promise<void> =>
    control('POST', `/proxies/${name}/toxics`, { name: 'toxic', type, stream: 'downstream', attributes })
  const append = async (count: number): Promise<void> => {
    for (let left = count; left > 0; left--) await feed.append('orders', [message(String(next++))])
  }
  const troubles = (): readonly string[] =>
    events.flatMap((event) => (event.type === 'unreachable' ? [event.error.code] : []))
  const caughtUp = async (): Promise<void> => {
    await until(() => ids.length >= next)
    expect(ids).toEqual(Array.from({ length: next }, (_, id) => String(id)))
    expect(troubles()).not.toContain('CALL_FAILED')
  }

  beforeAll(async () => {
    feed = createFeed({ pageSize: 10 })
    server = createServer((request, response) => feed.node()(request, response))
    await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready))
    port = await freePort()
    const upstream = `127.0.0.1:${(server.address() as AddressInfo).port}`
    await control('POST', '/proxies', { name, listen: `127.0.0.1:${port}`, upstream })
  })
  beforeEach(async () => {
    feed = createFeed({ pageSize: 10 })
    next = 0
    ids = []
    events = []
    reader = httpFeedTransport({
      url: `http://127.0.0.1:${port}/feeds`,
      checkpoints: memoryCheckpoints(),
      waitMs: 200,
      requestTimeoutMs,
      maxBackoffMs: 100,
      onEvent: (event) => events.push(event),
    })
    const receiver = await reader.receive({ channel: orders, group: 'billing' }, (delivery) => {
      ids.push(delivery.envelope.id)
      delivery.settle('ack').catch(() => {})
    })
    receiver.request(1_000)
    await append(5)
    await caughtUp()
  })
  afterEach(async () => {
    await mendProxy(name)
    await reader.close()
    await feed.close()
  })
  afterAll(async () => {
    await control('DELETE', `/proxies/${name}`)
    server.closeAllConnections()
    await new Promise((closed) => server.close(closed))
  })

  it.each<[string, string, object]>([
    ['half-open: bytes vanish and the connection stays', 'timeout', { timeout: 0 }],
    ['resets', 'reset_peer', { timeout: 0 }],
    ['pages cut in their middle', 'limit_data', { bytes: 6_000 }],
    ['far too slow', 'latency', { latency: 2_000 }],
  ])('%s, and then well again', async (_, type, attributes) => {
    await toxic(type, attributes)
    await append(30)
    await until(() => troubles().length >= 3)
    await control('DELETE', `/proxies/${name}/toxics/toxic`)
    await append(5)
    await caughtUp()
    await until(() => events.at(-1)?.type === 'reachable')
  })

  it('refused, and then let in again', async () => {
    await control('POST', `/proxies/${name}`, { enabled: false })
    await append(10)
    await until(() => troubles().includes('CONNECTION_REFUSED'))
    await control('POST', `/proxies/${name}`, { enabled: true })
    await caughtUp()
  })

  describe('that is only slow', () => {
    beforeAll(() => {
      requestTimeoutMs = 10_000
    })
    it('bytes in small pieces change nothing', async () => {
      await toxic('slicer', { average_size: 500, size_variation: 200, delay: 10 })
      await append(12)
      await caughtUp()
      expect(troubles()).toEqual([])
    })
  })
})
