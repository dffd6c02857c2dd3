// The protocol as a reader in any other language sees it: plain HTTP, and what caches may keep.
import { connect } from 'node:net'
import { CloudEvent } from 'cloudevents'
import { afterEach, describe, expect, it } from 'vitest'
import { createFeed, memoryFeedLog } from '../../../src/adapters/http-feed/index.ts'
import type { Envelope } from '../../../src/core/message.ts'
import { fakeClock } from '../../../src/testing/fake-clock.ts'
import { type FeedServer, type FeedServerOptions, feedServer, message, messages, until } from './lab.ts'

const servers: FeedServer[] = []
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close()
})

interface Asked {
  readonly server: FeedServer
  readonly generation: string
  get(query?: string, init?: RequestInit): Promise<Response>
}

async function served(options: FeedServerOptions = {}): Promise<Asked> {
  const server = await feedServer(options)
  servers.push(server)
  return {
    server,
    generation: server.feed.log.generation,
    get: (query = '', init = {}) => fetch(`${server.url}/orders${query}`, init),
  }
}

const ids = async (response: Response): Promise<readonly string[]> =>
  ((await response.json()) as readonly { id: string }[]).map(({ id }) => id)

describe.each(['node', 'fetch'] as const)('over %s', (form) => {
  it('pages lead from one to the next until there is nothing more', async () => {
    const { server, generation } = await served({ form })
    await server.feed.append('orders', messages(5))
    let url = `${server.url}/orders?limit=2`
    const seen: (readonly string[])[] = []
    for (let pages = 0; pages < 4; pages++) {
      const response = await fetch(url)
      expect(response.status).toBe(200)
      expect(response.headers.get('content-type')).toBe('application/cloudevents-batch+json; charset=utf-8')
      seen.push(await ids(response))
      const [, next = ''] = /^<(.*)>; rel="next"$/.exec(response.headers.get('link') ?? '') ?? []
      expect(response.headers.get('etag')).toBe(`"${response.headers.get('fairlead-next')}"`)
      url = String(new URL(next, url))
    }
    expect(seen).toEqual([['0', '1'], ['2', '3'], ['4'], []])
    expect(url).toBe(`${server.url}/orders?after=${generation}-5&limit=2`)
  })

  it('a full page never changes and says so; one at the tip is asked for again, and costs nothing when it is the same', async () => {
    const { server, generation, get } = await served({ form })
    await server.feed.append('orders', messages(3))
    const full = await get(`?after=${generation}-0&limit=2`)
    expect(full.headers.get('cache-control')).toBe('max-age=60, immutable')
    const tip = await get(`?after=${generation}-2&limit=2`)
    expect(tip.headers.get('cache-control')).toBe('no-cache')
    const etag = tip.headers.get('etag') as string
    const same = await get(`?after=${generation}-2&limit=2`, { headers: { 'if-none-match': `"x", W/${etag}` } })
    expect([same.status, await same.text(), same.headers.get('etag')]).toEqual([304, '', etag])
    await server.feed.append('orders', messages(1, 3))
    const more = await get(`?after=${generation}-2&limit=2`, { headers: { 'if-none-match': etag } })
    expect([more.status, await ids(more)]).toEqual([200, ['2', '3']])
    // "The earliest" is another page tomorrow.
    expect((await get('?after=earliest&limit=2')).headers.get('cache-control')).toBe('no-cache')
  })

  it('HEAD says where it begins and ends, and how much there is', async () => {
    const { server, generation, get } = await served({ form })
    await server.feed.append('orders', messages(3))
    const response = await get(`?after=${generation}-1`, { method: 'HEAD' })
    expect(response.status).toBe(200)
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'fairlead-position': `${generation}-1`,
      'fairlead-next': `${generation}-3`,
      'fairlead-waiting': '2',
      'fairlead-oldest-ms': expect.stringMatching(/^\d+$/),
    })
    const empty = await get('?after=latest', { method: 'HEAD' })
    expect(empty.headers.get('fairlead-position')).toBe(`${generation}-3`)
    expect(empty.headers.get('fairlead-oldest-ms')).toBeNull()
  })

  it.each([
    ['?after=nonsense', 400, 'INVALID_REQUEST'],
    ['?limit=0', 400, 'INVALID_REQUEST'],
    ['?limit=1.5', 400, 'INVALID_REQUEST'],
    ['?wait=-1', 400, 'INVALID_REQUEST'],
    ['?since=yesterday', 400, 'INVALID_REQUEST'],
    ['?after=earliest&since=0', 400, 'INVALID_REQUEST'],
    ['?after=00000000-0', 410, 'POSITION_EXPIRED'],
    ['/more', 404, 'CHANNEL_NOT_FOUND'],
    ['%2Fpasswd', 404, 'CHANNEL_NOT_FOUND'],
    ['%', 404, 'CHANNEL_NOT_FOUND'],
  ])('%s is answered with %i and a problem', async (query, status, code) => {
    const { get } = await served({ form })
    const response = await get(query)
    expect(response.status).toBe(status)
    expect(response.headers.get('content-type')).toBe('application/problem+json')
    expect(response.headers.get('cache-control')).toBe('no-store')
    expect(await response.json()).toMatchObject({ type: `urn:fairlead:${code}`, status, effect: 'none' })
  })

  it('nothing else than reading', async () => {
    const { get } = await served({ form })
    const response = await get('', { method: 'POST', body: '{}' })
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'GET, HEAD'])
  })

  it('a long poll is answered as soon as there is something', async () => {
    const { server, generation, get } = await served({ form })
    const poll = get(`?after=${generation}-0&wait=30`)
    await until(() => server.feed.waiting === 1)
    // Of another topic: not for this one.
    await server.feed.append('other', messages(1))
    expect(server.feed.waiting).toBe(1)
    await server.feed.append('orders', messages(1))
    expect(await ids(await poll)).toEqual(['0'])
    expect(server.feed.waiting).toBe(0)
  })

  it('a reader that has left waits no more', async () => {
    const { server, get } = await served({ form })
    const gone = new AbortController()
    const poll = get('?wait=30', { signal: gone.signal })
    poll.catch(() => {})
    await until(() => server.feed.waiting === 1)
    gone.abort()
    await until(() => server.feed.waiting === 0)
  })

  it('too many that wait are sent away for a while; what is there is given to everybody', async () => {
    const { server, get } = await served({ form, maxWaiting: 1, retryAfterMs: 2_500 })
    const first = get('?wait=30')
    await until(() => server.feed.waiting === 1)
    const second = await get('?wait=30')
    expect([second.status, second.headers.get('retry-after')]).toEqual([503, '3'])
    expect(await second.json()).toMatchObject({ type: 'urn:fairlead:OUTSTANDING_LIMIT', transient: true })
    await server.feed.append('orders', messages(1))
    expect(await ids(await first)).toEqual(['0'])
    expect((await get('?wait=30')).status).toBe(200)
  })

  it('going down it answers those who wait, and asks everybody to come again', async () => {
    const { server, get } = await served({ form })
    const poll = get('?wait=30')
    await until(() => server.feed.waiting === 1)
    await server.feed.close()
    const response = await poll
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '1'])
    expect(await response.json()).toMatchObject({ type: 'urn:fairlead:UNAVAILABLE', transient: true })
  })
})

describe('what a page holds', () => {
  it('events that are CloudEvents to others, data in plain sight', async () => {
    const { server, generation, get } = await served()
    await server.feed.append('orders', [message('a', { key: 'k', headers: { 'x-tenant-id': 't' }, priority: 3 })])
    const [event] = (await (await get()).json()) as [Record<string, unknown>]
    expect(event).toMatchObject({ feedposition: `${generation}-1`, data: { id: 'a' }, partitionkey: 'k', priority: 3 })
    expect(new CloudEvent(event).data).toEqual({ id: 'a' })
  })

  it.each<[string, Partial<Envelope>]>([
    ['spaces in JSON', { body: Buffer.from('{ "a" : 1 }') }],
    ['a number of twenty digits', { body: Buffer.from('{"n":12345678901234567890}') }],
    ['1.0', { body: Buffer.from('{"n":1.0}') }],
    ['a key named __proto__', { body: Buffer.from('{"__proto__":{"a":1}}') }],
    ['bytes', { body: Uint8Array.from({ length: 256 }, (_, byte) => byte) }],
    ['JSON that is none', { body: Buffer.from('{"a":') }],
    ['null', { body: Buffer.from('null') }],
    ['text', { body: Buffer.from('späß\n'), attributes: { ...message('').attributes, datacontenttype: 'text/plain' } }],
    ['nothing', { body: new Uint8Array(0) }],
    [
      'JSON without a type',
      { body: Buffer.from('{"a":1}'), attributes: { source: '/s', type: 't', specversion: '1.0' } },
    ],
  ])('the very same bytes come out: %s', async (_, more) => {
    const { server } = await served()
    const { reader, collect } = await import('./lab.ts')
    const transport = reader(server.url)
    const sent = message('exact', more)
    await server.feed.append('orders', [sent])
    const got = await collect(transport, { from: 'earliest' })
    await until(() => got.ids.length === 1)
    const { envelope } = got.deliveries[0] as (typeof got.deliveries)[0]
    expect(Buffer.from(envelope.body)).toEqual(Buffer.from(sent.body))
    expect(envelope.attributes).toEqual(sent.attributes)
    await transport.close()
  })

  it('not more than a page may hold; a larger event is alone on its page', async () => {
    const { server, get } = await served({ maxPageLength: 1_000, maxPayloadBytes: 10_000 })
    const large = (id: string): Envelope => message(id, { body: Buffer.from(JSON.stringify('x'.repeat(600))) })
    await server.feed.append('orders', [
      large('a'),
      large('b'),
      message('c', { body: Buffer.from(JSON.stringify('x'.repeat(5_000))) }),
    ])
    expect(await ids(await get('?limit=3'))).toEqual(['a'])
    const page = await get(`?after=${server.feed.log.generation}-2`)
    expect(await ids(page)).toEqual(['c'])
  })
})

describe('retention', () => {
  it('by number: what is gone is said to be gone, with where to begin instead', async () => {
    const { server, generation, get } = await served({ openLog: async () => memoryFeedLog({ maxCount: 2 }) })
    await server.feed.append('orders', messages(5))
    const own = server.feed.log.generation
    expect(generation).toBe(own)
    const response = await get(`?after=${own}-1`)
    expect([response.status, response.headers.get('fairlead-earliest')]).toEqual([410, `${own}-3`])
    expect(await response.json()).toMatchObject({ type: 'urn:fairlead:POSITION_EXPIRED', earliest: `${own}-3` })
    expect(await ids(await get(`?after=${own}-3`))).toEqual(['3', '4'])
    expect(await ids(await get('?after=earliest'))).toEqual(['3', '4'])
  })

  it('by age, on the clock of the feed; since an instant', async () => {
    const clock = fakeClock()
    const feed = createFeed({ clock, log: memoryFeedLog({ clock, maxAgeMs: 60_000 }) })
    const start = clock.wallNow()
    const page = async (query: string): Promise<readonly string[]> =>
      ids(await feed.fetch(new Request(`http://feed/feeds/orders?${query}`)))
    for (let minute = 0; minute < 4; minute++) {
      await feed.append('orders', messages(1, minute))
      await clock.advance(20_000)
    }
    expect(await page('after=earliest')).toEqual(['1', '2', '3'])
    expect(await page(`since=${start + 40_000}`)).toEqual(['2', '3'])
    expect(await page(`since=${new Date(start + 41_000).toISOString()}`)).toEqual(['3'])
    expect(await page(`since=${new Date(start + 99_000).toISOString()}`)).toEqual([])
    await clock.advance(60_000)
    expect(await page('after=earliest')).toEqual([])
  })

  it('caches do not keep longer what is to be forgotten: what is left of the time of the first event of the page', async () => {
    const clock = fakeClock()
    const log = memoryFeedLog({ clock, maxAgeMs: 86_400_000 })
    const feed = createFeed({ clock, log: { ...log, retention: { maxAgeMs: 86_400_000 } } })
    await feed.append('orders', messages(1))
    await clock.advance(3_600_000)
    await feed.append('orders', messages(2, 1))
    const full = async (after: number, limit: number): Promise<Response> =>
      feed.fetch(new Request(`http://feed/feeds/orders?after=${log.generation}-${after}&limit=${limit}`))
    const kept = async (after: number, limit: number): Promise<string | null> =>
      (await full(after, limit)).headers.get('cache-control')
    expect([await kept(0, 2), await kept(1, 2)]).toEqual(['max-age=82800, immutable', 'max-age=86400, immutable'])
    await clock.advance(82_798_500)
    expect(await kept(0, 2)).toBe('max-age=1, immutable')
    await clock.advance(1_000)
    expect(await kept(0, 2)).toBe('no-cache')
    await clock.advance(501)
    expect((await full(0, 2)).status).toBe(410)
  })

  it('where events go by number, any may go at any time: caches keep pages for a minute, and not beyond their age', async () => {
    const clock = fakeClock()
    const log = memoryFeedLog({ clock, maxCount: 10, maxAgeMs: 90_000 })
    const feed = createFeed({ clock, log })
    await feed.append('orders', messages(2))
    const kept = async (): Promise<string | null> =>
      (await feed.fetch(new Request(`http://feed/feeds/orders?after=${log.generation}-0&limit=2`))).headers.get(
        'cache-control',
      )
    expect(await kept()).toBe('max-age=60, immutable')
    await clock.advance(50_000)
    expect(await kept()).toBe('max-age=40, immutable')
  })

  it('for a log that keeps everything a full page is the same for ever', async () => {
    const log = memoryFeedLog()
    const feed = createFeed({ log: { ...log, retention: {} } })
    await feed.append('orders', messages(1))
    const full = await feed.fetch(new Request(`http://feed/feeds/orders?after=${log.generation}-0&limit=1`))
    expect(full.headers.get('cache-control')).toBe('max-age=31536000, immutable')
  })

  it('a wait is over when its time is', async () => {
    const clock = fakeClock()
    const feed = createFeed({ clock, maxWaitMs: 5_000 })
    let answered = false
    const poll = feed.fetch(new Request('http://feed/feeds/orders?wait=60')).then((response) => {
      answered = true
      return response
    })
    await clock.advance(4_999)
    expect(answered).toBe(false)
    await clock.advance(1)
    expect([(await poll).status, clock.pending]).toEqual([200, 0])
  })
})

it('keeps nothing for a reader that does not read', async () => {
  const { server } = await served({ pageSize: 1_000, maxPageLength: 4 << 20, maxPayloadBytes: 1 << 20 })
  const body = Buffer.from(JSON.stringify('x'.repeat(100_000)))
  await server.feed.append(
    'orders',
    Array.from({ length: 30 }, (_, id) => message(String(id), { body })),
  )
  // Asks ten times in a row on one connection, and reads nothing: one answer is under way, and the others are not made before it has left.
  const socket = connect(server.port, '127.0.0.1')
  socket.pause()
  let pages = 0
  const read = server.feed.log.read
  Object.assign(server.feed.log, {
    read: (...args: Parameters<typeof read>) => {
      pages++
      return read(...args)
    },
  })
  socket.write('GET /feeds/orders HTTP/1.1\r\nhost: feed\r\n\r\n'.repeat(200))
  await new Promise((resolve) => setTimeout(resolve, 300))
  socket.destroy()
  expect(pages).toBeGreaterThan(0)
  expect(pages).toBeLessThan(20)
})

it('with given topics all others are unknown', async () => {
  const { server, get } = await served({ topics: ['stock'] })
  expect((await get()).status).toBe(404)
  expect((await get('', { method: 'HEAD' })).status).toBe(404)
  await server.feed.create('orders')
  expect((await get()).status).toBe(200)
})
