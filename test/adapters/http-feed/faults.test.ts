// What can go wrong between a reader and its feed: every failure has a name, what passes is outlived, and what does not is said.
import { afterEach, describe, expect, it } from 'vitest'
import {
  createFeed,
  type FeedLog,
  type FeedReaderEvent,
  type HttpFeedTransport,
  type HttpFeedTransportOptions,
  httpFeedTransport,
  memoryFeedLog,
} from '../../../src/adapters/http-feed/index.ts'
import { type Code, createError } from '../../../src/errors/index.ts'
import {
  type Behaviour,
  createFaultServer,
  type FaultServer,
  fault,
  refusedPort,
} from '../../../src/testing/fault-server/index.ts'
import {
  collect,
  context,
  errorOf,
  failure,
  feedServer,
  message,
  messages,
  orders,
  pause,
  reader,
  sendAll,
  until,
} from './lab.ts'

const closing: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

const event = {
  specversion: '1.0',
  id: 'one',
  source: '/shop',
  type: 'order.placed',
  feedposition: 'p1',
  data: { id: 'one' },
}
const head = fault.status(200, { headers: { 'fairlead-position': 'p0', 'fairlead-next': 'p0' } })
const page = fault.json([event], { headers: { 'fairlead-next': 'p1' } })
const FEED = '/feeds/orders'

interface Trouble {
  readonly server: FaultServer
  readonly events: FeedReaderEvent[]
  readonly transport: HttpFeedTransport
}

async function trouble(more: Partial<HttpFeedTransportOptions> = {}): Promise<Trouble> {
  const server = await createFaultServer()
  const events: FeedReaderEvent[] = []
  const transport = reader(`${server.url}/feeds`, {
    requestTimeoutMs: 900,
    waitMs: 100,
    giveUpAfter: 3,
    onEvent: (each) => events.push(each),
    ...more,
  })
  closing.push(
    () => server.close(),
    () => transport.close(),
  )
  server.on(`HEAD ${FEED}`, head)
  return { server, events, transport }
}

describe('a reader outlives', () => {
  it.each<[string, readonly Behaviour[], Code]>([
    ['a reset after the request', [fault.resetAfterRequest()], 'CONNECTION_LOST'],
    ['an end without an answer', [fault.finBeforeHead()], 'CONNECTION_LOST'],
    ['a page cut in its middle', [fault.truncatedBody()], 'REPLY_TRUNCATED'],
    ['a page reset in its middle', [fault.truncatedBody({ by: 'reset' })], 'REPLY_TRUNCATED'],
    ['chunks without an end', [fault.truncatedChunks()], 'REPLY_TRUNCATED'],
    ['JSON cut short', [fault.malformedJson()], 'REPLY_UNDECODABLE'],
    ['a login page', [fault.wrongContentType()], 'REPLY_UNDECODABLE'],
    ['something that is no feed', [fault.json({ ok: true })], 'REPLY_INVALID'],
    ['events without positions', [fault.json([{ id: 'x' }])], 'REPLY_INVALID'],
    ['a page that leads nowhere', [fault.json([event], { headers: { 'fairlead-next': 'p0' } })], 'REPLY_INVALID'],
    ['a page of null', [fault.json([null])], 'REPLY_INVALID'],
    ['a page that is too large', [fault.hugeBody({ bytes: 200_000 })], 'REPLY_TOO_LARGE'],
    ['broken compression', [fault.brokenCompression()], 'REPLY_UNDECODABLE'],
    ['500', [fault.status(500)], 'SERVER_ERROR'],
    ['502', [fault.status(502)], 'BAD_GATEWAY'],
    ['503', [fault.status(503)], 'UNAVAILABLE'],
    ['504', [fault.status(504)], 'GATEWAY_TIMEOUT'],
    ['429', [fault.status(429)], 'TOO_MANY_REQUESTS'],
    ['401', [fault.status(401)], 'UNAUTHENTICATED'],
    ['403', [fault.status(403)], 'FORBIDDEN'],
    ['404', [fault.status(404)], 'CHANNEL_NOT_FOUND'],
    ['a redirect', [fault.redirectLoop()], 'UNEXPECTED_REDIRECT'],
    ['silence', [fault.hangBeforeHead()], 'ATTEMPT_TIMEOUT'],
    ['silence in mid-page', [fault.hangInBody()], 'ATTEMPT_TIMEOUT'],
    ['what is no HTTP', [fault.notHttp()], 'PROTOCOL_VIOLATION'],
    ['a reset at connect', [fault.resetAtAccept(), fault.finBeforeHead()], 'CONNECTION_LOST'],
  ])('%s', async (_, behaviours, code) => {
    const { server, events, transport } = await trouble({
      maxPageBytes: 100_000,
      ...(code === 'ATTEMPT_TIMEOUT' ? {} : { requestTimeoutMs: 10_000 }),
    })
    const got = await collect(transport, { group: 'billing', credit: 0 })
    server.next(...behaviours)
    server.on(`GET ${FEED}`, page, fault.status(304))
    got.receiver.request(10)
    await until(() => got.ids.length === 1)
    const unreachable = events.filter((each) => each.type === 'unreachable')
    expect(unreachable[0]).toMatchObject({
      channel: 'orders',
      group: 'billing',
      error: { code, transport: 'http-feed', channel: 'orders' },
    })
    for (const each of unreachable) expect(each.error.code).not.toBe('CALL_FAILED')
    expect(events.at(-1)?.type).toBe('reachable')
    expect(got.ids).toEqual(['one'])
    await got.receiver.close()
    await got.receiver.ended
  })

  it('a server that is stopped and started again: it misses nothing and gets nothing twice', async () => {
    const server = await feedServer()
    closing.push(server.close)
    const transport = reader(server.url)
    closing.push(() => transport.close())
    const got = await collect(transport, { group: 'billing' })
    const sender = httpFeedTransport({ feed: server.feed })
    for (let round = 0; round < 3; round++) {
      await sendAll(sender, messages(5, round * 5))
      if (round === 1) server.cut()
      if (round < 2) {
        await server.stop()
        await pause(30)
        await server.start()
      }
    }
    await until(() => got.ids.length === 15)
    expect(got.ids).toEqual(messages(15).map(({ id }) => id))
    await sender.close()
  })

  it('one address of several', async () => {
    const server = await feedServer()
    const port = await refusedPort()
    closing.push(server.close, () => port.close())
    const transport = reader('', { url: { orders: [`${port.url}/feeds/orders`, `${server.url}/orders`] } })
    closing.push(() => transport.close())
    const got = await collect(transport)
    await server.feed.append('orders', messages(1))
    await until(() => got.ids.length === 1)
  })

  it('a wait that the server asks for, and not less', async () => {
    const { server, events, transport } = await trouble()
    const got = await collect(transport, { credit: 0 })
    server.on(`GET ${FEED}`, fault.retryAfter(7), page)
    got.receiver.request(1)
    await until(() => events.length > 0)
    expect(events[0]).toMatchObject({ type: 'unreachable', error: { code: 'UNAVAILABLE', retryAfterMs: 7_000 } })
    expect((events[0] as { retryInMs: number }).retryInMs).toBeGreaterThanOrEqual(7_000)
    expect(server.requests.filter(({ method }) => method === 'GET')).toHaveLength(1)
  })
})

describe('a subscription ends', () => {
  it.each<[string, Behaviour, Code]>([
    ['401', fault.status(401), 'UNAUTHENTICATED'],
    ['403', fault.status(403), 'FORBIDDEN'],
    ['404', fault.status(404), 'CHANNEL_NOT_FOUND'],
    ['a login page', fault.wrongContentType(), 'REPLY_UNDECODABLE'],
    ['something that is no feed', fault.json({ ok: true }), 'REPLY_INVALID'],
  ])('with %s, as often as was allowed', async (_, behaviour, code) => {
    const { server, transport } = await trouble()
    const got = await collect(transport, { group: 'billing', credit: 0 })
    server.on(`GET ${FEED}`, behaviour as never)
    got.receiver.request(1)
    expect(await failure(got.receiver.ended)).toMatchObject({ code, transport: 'http-feed', channel: 'orders' })
    expect(server.requests.filter(({ method }) => method === 'GET')).toHaveLength(3)
  })

  it('with 410, at once', async () => {
    const { server, transport } = await trouble()
    const got = await collect(transport, { credit: 0 })
    server.on(`GET ${FEED}`, fault.status(410))
    got.receiver.request(1)
    expect(await failure(got.receiver.ended)).toMatchObject({ code: 'POSITION_EXPIRED' })
    expect(server.requests.filter(({ method }) => method === 'GET')).toHaveLength(1)
  })

  it('and gives its place in the group back', async () => {
    const { server, transport } = await trouble()
    const got = await collect(transport, { group: 'billing', credit: 0 })
    server.on(`GET ${FEED}`, fault.status(403), fault.status(403), fault.status(403), page, fault.status(304))
    got.receiver.request(1)
    await failure(got.receiver.ended)
    const again = await collect(transport, { group: 'billing' })
    await until(() => again.ids.length === 1)
  })
})

describe('receive rejects', () => {
  it.each<[string, Behaviour, Code]>([
    ['401', fault.status(401), 'UNAUTHENTICATED'],
    ['403', fault.status(403), 'FORBIDDEN'],
    ['404', fault.status(404), 'CHANNEL_NOT_FOUND'],
    ['500', fault.status(500), 'SERVER_ERROR'],
    ['silence', fault.hangBeforeHead(), 'ATTEMPT_TIMEOUT'],
    ['a server that says nothing of positions', fault.status(200), 'REPLY_INVALID'],
  ])('where it meets %s', async (_, behaviour, code) => {
    const { server, transport } = await trouble()
    server.on(`HEAD ${FEED}`, behaviour as never)
    for (const group of [undefined, 'billing'])
      expect(await failure(transport.receive({ channel: orders, group }, () => {}))).toMatchObject({ code })
  })

  it('where nobody listens, and where no address is known', async () => {
    const port = await refusedPort()
    const transport = reader('', { url: { orders: `${port.url}/feeds/orders` } })
    closing.push(
      () => transport.close(),
      () => port.close(),
    )
    expect(await failure(transport.receive({ channel: orders }, () => {}))).toMatchObject({
      code: 'CONNECTION_REFUSED',
      effect: 'none',
    })
    const other = { kind: 'topic', name: 'other' } as const
    expect(await failure(transport.receive({ channel: other }, () => {}))).toMatchObject({ code: 'CHANNEL_NOT_FOUND' })
  })

  it('what a feed has not', async () => {
    const transport = httpFeedTransport({ feed: createFeed() })
    closing.push(() => transport.close())
    const queue = { kind: 'queue', name: 'orders' } as const
    for (const from of [{ channel: queue }, { channel: orders, temporary: true }, { channel: orders, group: 'g' }])
      expect(await failure(transport.receive(from, () => {}))).toMatchObject({ code: 'CAPABILITY_MISSING' })
  })
})

describe('sending', () => {
  const logThat = (append: FeedLog['append']): FeedLog => ({ ...memoryFeedLog(), acknowledged: 'disk', append })

  it('says what a log says', async () => {
    const lost = createError({ code: 'SELF_EXHAUSTED', effect: 'none' })
    const transport = httpFeedTransport({ feed: createFeed({ log: logThat(() => Promise.reject(lost)) }) })
    const verdicts = await transport.send(orders, messages(2), context())
    for (const verdict of verdicts)
      expect(errorOf(verdict)).toMatchObject({ code: 'SELF_EXHAUSTED', transport: 'http-feed', channel: 'orders' })
  })

  it('does not wait for a log beyond its deadline, and does not know then', async () => {
    const transport = httpFeedTransport({ feed: createFeed({ log: logThat(() => new Promise(() => {})) }) })
    const [verdict] = await transport.send(orders, messages(1), context(30))
    expect(errorOf(verdict)).toMatchObject({ code: 'DEADLINE_EXCEEDED', effect: 'unknown' })
  })

  it('is for the owner of the feed only', async () => {
    const transport = reader('http://127.0.0.1:1/feeds')
    const [verdict] = await transport.send(orders, messages(1), context())
    expect(errorOf(verdict)).toMatchObject({ code: 'CAPABILITY_MISSING', effect: 'none' })
    await transport.close()
  })

  it('goes nowhere where topics are given', async () => {
    const transport = httpFeedTransport({ feed: createFeed({ topics: ['stock'] }) })
    expect(transport.capabilities.unroutable).toBe('detected')
    const [verdict] = await transport.send(orders, messages(1), context())
    expect(errorOf(verdict)).toMatchObject({ code: 'UNROUTABLE', effect: 'none' })
  })
})

it('an event that is no CloudEvent does not stop the feed: it is handed out to be given up', async () => {
  const { server, transport } = await trouble()
  const got = await collect(transport, { credit: 0, hold: true })
  server.on(
    `GET ${FEED}`,
    fault.json([
      { feedposition: 'p1', nothing: 'of it' },
      { ...event, id: undefined, feedposition: 'p2' },
      { ...event, id: 'good', feedposition: 'p3' },
    ]),
    fault.status(304),
  )
  got.receiver.request(10)
  await until(() => got.ids.length === 3)
  expect(got.ids).toEqual(['orders/p1', 'orders/p2', 'good'])
  expect(got.deliveries[0]?.envelope).toMatchObject({
    attributes: {},
    body: Buffer.from('{"feedposition":"p1","nothing":"of it"}'),
  })
  expect(got.deliveries[1]?.envelope.attributes['type']).toBe('order.placed')
})

it('an event that is nested too deeply to be read does not stop the feed either: those around it are handed out', async () => {
  const { server, events, transport } = await trouble()
  const got = await collect(transport, { group: 'billing', credit: 0 })
  const deep = '['.repeat(20_000) + ']'.repeat(20_000)
  const body = `[${[1, deep, 3].map((data, at) => JSON.stringify({ ...event, id: String(at + 1), feedposition: `p${at + 1}`, data: '?' }).replace('"?"', String(data)))}]`
  const headers = { 'content-type': 'application/json', 'fairlead-next': 'p3' }
  server.on(`GET ${FEED}`, fault.status(200, { headers, body }), fault.status(304))
  got.receiver.request(10)
  await until(() => got.ids.length === 3)
  expect(got.ids).toEqual(['1', 'orders/p2', '3'])
  expect(got.deliveries[1]?.envelope).toEqual({
    id: 'orders/p2',
    attributes: {},
    headers: {},
    body: new Uint8Array(0),
  })
  expect(events.filter(({ type }) => type === 'unreachable')).toEqual([])
})

it('a server that knows nothing of waiting is not asked without end', async () => {
  const { server, transport } = await trouble({ waitMs: 20_000 })
  const got = await collect(transport, { credit: 0 })
  server.on(`GET ${FEED}`, fault.json([]))
  got.receiver.request(1)
  await pause(300)
  expect(server.requests.filter(({ method }) => method === 'GET')).toHaveLength(1)
})

it('credentials are sent with every request, and may change', async () => {
  let token = 'first'
  const { server, transport } = await trouble({ headers: () => ({ authorization: `Bearer ${token}` }) })
  const got = await collect(transport, { credit: 0 })
  token = 'second'
  server.on(`GET ${FEED}`, page, fault.status(304))
  got.receiver.request(1)
  await until(() => got.ids.length === 1)
  expect(server.requests.slice(0, 2).map(({ headers }) => headers['authorization'])).toEqual([
    'Bearer first',
    'Bearer second',
  ])
  expect(message('x').id).toBe('x')
})
