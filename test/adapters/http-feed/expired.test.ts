// Going on with the oldest event where the position is no longer kept: trouble on the way there is outlived as anywhere else.
import { afterEach, expect, it } from 'vitest'
import type {
  FeedReaderEvent,
  HttpFeedTransport,
  HttpFeedTransportOptions,
} from '../../../src/adapters/http-feed/index.ts'
import { memoryCheckpoints } from '../../../src/adapters/memory/index.ts'
import { createFaultServer, type FaultServer, fault } from '../../../src/testing/fault-server/index.ts'
import { type Collected, collect, failure, reader, troubled, until } from './lab.ts'

const closing: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

const FEED = '/feeds/orders'
const GONE = fault.status(410)
const headAt = (position: string): typeof GONE => fault.status(200, { headers: { 'fairlead-position': position } })
const page = fault.json(
  [{ specversion: '1.0', id: 'six', source: '/shop', type: 'order.placed', feedposition: 'p6', data: 6 }],
  { headers: { 'fairlead-next': 'p6' } },
)

interface Expiring {
  readonly server: FaultServer
  readonly events: FeedReaderEvent[]
  readonly transport: HttpFeedTransport
  readonly got: Collected
  gets(): readonly (string | null)[]
}

// A reader that stands at p0, of which the server then knows nothing any more: what is kept begins at p5.
async function expiring(group: string | undefined, more: Partial<HttpFeedTransportOptions> = {}): Promise<Expiring> {
  const server = await createFaultServer()
  const events: FeedReaderEvent[] = []
  const transport = reader(`${server.url}/feeds`, {
    waitMs: 100,
    giveUpAfter: 3,
    leaseMs: 60_000,
    onExpired: 'earliest',
    onEvent: (each) => events.push(each),
    ...more,
  })
  closing.push(
    () => server.close(),
    () => transport.close(),
  )
  server.on(`HEAD ${FEED}`, headAt('p0')).on(`GET ${FEED}`, GONE, page, fault.status(304))
  const got = await collect(transport, { credit: 0, ...(group === undefined ? {} : { group }) })
  server.on(`HEAD ${FEED}`, headAt('p5'))
  const gets = (): readonly (string | null)[] =>
    server.requests
      .filter(({ method }) => method === 'GET')
      .map(({ target }) => new URL(target, server.url).searchParams.get('after'))
  return { server, events, transport, got, gets }
}

it.each([undefined, 'billing'])('a feed that cannot say where it begins is asked again (group: %s)', async (group) => {
  const { server, events, got, gets } = await expiring(group)
  server.on(`HEAD ${FEED}`, fault.status(503), fault.finBeforeHead(), headAt('p5'))
  got.receiver.request(10)
  await until(() => got.ids.length === 1)
  expect(gets().slice(0, 2)).toEqual(['p0', 'p5'])
  expect(events.filter(({ type }) => !type.startsWith('lane'))).toMatchObject([
    { type: 'unreachable', error: { code: 'UNAVAILABLE' } },
    { type: 'unreachable', error: { code: 'CONNECTION_LOST' } },
    { type: 'expired', position: 'p0', earliest: 'p5' },
    { type: 'reachable' },
  ])
  await got.receiver.close()
  await got.receiver.ended
})

it('but not without end, where it refuses', async () => {
  const { server, got } = await expiring('billing')
  server.on(`HEAD ${FEED}`, fault.status(403))
  got.receiver.request(10)
  expect(await failure(got.receiver.ended)).toMatchObject({ code: 'FORBIDDEN', channel: 'orders' })
  expect(server.requests.filter(({ method }) => method === 'HEAD').slice(-3)).toMatchObject([
    { behaviour: 'status' },
    { behaviour: 'status' },
    { behaviour: 'status' },
  ])
})

it('a store that is away while the new position is to be saved is waited for, and nothing is read before', async () => {
  const store = troubled(memoryCheckpoints())
  const { events, got, gets } = await expiring('billing', { checkpoints: store })
  store.down = true
  got.receiver.request(10)
  await until(() => events.filter(({ type }) => type === 'unreachable').length === 3)
  expect(gets()).toEqual(['p0'])
  store.down = false
  await until(() => got.ids.length === 1)
  expect(gets().slice(0, 2)).toEqual(['p0', 'p5'])
  expect(events.filter(({ type }) => type === 'expired')).toHaveLength(1)
  await until(async () => (await store.load('billing/orders', 'orders')) === 'p6')
})

it('a member that loses its lease over it waits for its next turn', async () => {
  const plain = memoryCheckpoints()
  let refusals = 0
  const store = troubled({
    lease: plain.lease.bind(plain),
    release: plain.release.bind(plain),
    load: plain.load.bind(plain),
    save: async (...args) => (args[2] === 'p5' && refusals++ === 0 ? false : plain.save(...args)),
  })
  const { server, events, got } = await expiring('billing', { checkpoints: store, leaseMs: 300 })
  server.on(`GET ${FEED}`, GONE, GONE, page, fault.status(304))
  got.receiver.request(10)
  await until(() => got.ids.length === 1)
  expect(events.map(({ type }) => type)).toEqual([
    'lane-taken',
    'expired',
    'lane-lost',
    'lane-taken',
    'expired',
    'lane-taken',
  ])
})

it('is over at once when it is closed meanwhile', async () => {
  const { server, events, got } = await expiring('billing')
  server.on(`HEAD ${FEED}`, fault.retryAfter(3_600))
  got.receiver.request(10)
  await until(() => events.some(({ type }) => type === 'unreachable'))
  await got.receiver.close()
  await got.receiver.ended
})
