// Time, chance and ids of a crash test are one object, and whoever takes one of them takes all: it may be spread without knowing who uses which.
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { memoryRpiTransport, memoryStore, memoryTransport } from '../../../src/adapters/memory/index.ts'
import { messagingRpiTransport, serveOverMessaging } from '../../../src/adapters/rpi-over-messaging/index.ts'
import { announce, createDiscovery, staticSource } from '../../../src/discovery/index.ts'
import {
  createConsumer,
  createExchange,
  createOutbox,
  createProcessRunner,
  createPublisher,
  createRelay,
  createRequester,
  createResponder,
  createStoredRequester,
  defineProcess,
  memoryReplicaTable,
  queue,
  replica,
  serveSnapshot,
  topic,
  windowDedupe,
} from '../../../src/messaging/index.ts'
import * as policies from '../../../src/policies/index.ts'
import { createProxy, createServerAdapter, defineContract, resilient } from '../../../src/rpi/index.ts'
import { type CrashOptions, crashTest } from '../../../src/testing/crash-test/index.ts'
import { fakeClock } from '../../../src/testing/fake-clock.ts'

const Orders = topic('orders', { placed: z.object({ order: z.string() }) })
const Pricing = queue('pricing', { quote: { schema: z.object({ sku: z.string() }), reply: z.object({}) } })
const Stock = defineContract('stock', { level: { output: z.object({ left: z.number() }) } })
const Order = defineProcess('order', { state: z.object({}) }).starts(Orders, 'placed', {
  id: ({ data }) => data.order,
  state: () => ({}),
  handle: () => undefined,
})

const store = memoryStore()
const outbox = createOutbox(store)
const transport = memoryTransport()
const adapter = createServerAdapter(Stock, { level: () => ({ left: 0 }) })
const registrar = {
  name: 'none',
  staleMs: 1,
  register: async (_: string, endpoint: never) => ({
    endpoint,
    setState: async () => undefined,
    onLost: () => () => undefined,
    deregister: async () => undefined,
  }),
}

/** What takes time, chance or ids, with all three. */
const FACTORIES: Readonly<Record<string, (seams: CrashOptions) => unknown>> = {
  createPublisher: (seams) => createPublisher({ transport, source: '/test', ...seams }),
  createConsumer: (seams) =>
    createConsumer({ transport, channel: Orders, handlers: { placed: () => undefined }, ...seams }),
  windowDedupe: (seams) => windowDedupe({ ...seams }),
  createOutbox: (seams) => createOutbox(store, { ...seams }),
  createRelay: (seams) => createRelay({ outbox, transport, ...seams }),
  createProcessRunner: (seams) => createProcessRunner({ process: Order, store, outbox, transport, ...seams }),
  replica: (seams) =>
    replica({
      name: 'orders',
      store,
      table: memoryReplicaTable<string>(store, { table: 'orders' }),
      transport,
      channel: Orders,
      changes: { placed: ({ data }) => ({ key: data.order, version: 1n, value: data.order }) },
      snapshot: async function* () {},
      ...seams,
    }),
  serveSnapshot: (seams) => serveSnapshot<string, string>({ read: async () => [], ...seams }),
  createRequester: (seams) => createRequester({ transport, source: '/test', ...seams }),
  createExchange: (seams) => createExchange({ transport, ...seams }),
  createResponder: (seams) =>
    createResponder({ transport, channel: Pricing, source: '/test', handlers: { quote: () => ({}) }, ...seams }),
  createStoredRequester: (seams) =>
    createStoredRequester({
      name: 'test',
      store,
      outbox,
      transport,
      channel: Pricing,
      replies: 'replies',
      handlers: { quote: { reply: () => undefined, timeout: () => undefined } },
      ...seams,
    }),
  createDiscovery: (seams) => createDiscovery({ source: staticSource({ stock: ['127.0.0.1:1'] }), ...seams }),
  announce: async (seams) => {
    const endpoint = { id: 'one', addresses: [{ host: '127.0.0.1', port: 1 }] }
    const given = { registrar, service: 'stock', endpoint, signals: [], drainMs: 0, ...seams }
    await (await announce(given)).close()
  },
  createProxy: (seams) => createProxy(Stock, { transport: memoryRpiTransport(adapter), ...seams }),
  createServerAdapter: (seams) => createServerAdapter(Stock, { level: () => ({ left: 0 }) }, { ...seams }),
  resilient: (seams) => resilient('stock.level', async () => 1, { ...seams }),
  messagingRpiTransport: (seams) => messagingRpiTransport({ transport, ...seams }),
  serveOverMessaging: async (seams) => {
    await (await serveOverMessaging(adapter, { transport: memoryTransport(), ...seams })).close()
  },
  standard: (seams) => policies.standard('stock', { ...seams }),
  retry: (seams) => policies.retry({ ...seams }),
  retryBudget: (seams) => policies.retryBudget({ ...seams }),
  deadline: (seams) => policies.deadline({ ...seams }),
  attemptTimeout: (seams) => policies.attemptTimeout({ ...seams }),
  hedge: (seams) => policies.hedge({ ...seams }),
  coalesce: (seams) => policies.coalesce({ key: () => 'key', ...seams }),
  rateLimit: (seams) => policies.rateLimit({ limit: 1, perMs: 1, ...seams }),
  circuitBreaker: (seams) => policies.circuitBreaker({ ...seams }),
  cache: (seams) => policies.cache({ key: () => 'key', ttlMs: 1, ...seams }),
  bulkhead: (seams) => policies.bulkhead({ ...seams }),
  fallback: (seams) => policies.fallback([policies.value(1)], { ...seams }),
}

describe('clock, random and newId', () => {
  const seams: CrashOptions = { clock: fakeClock(), random: () => 0.5, newId: () => 'id' }

  it.each(Object.keys(FACTORIES))('may be spread into %s', async (name) => {
    await expect((async () => void (await FACTORIES[name]?.(seams)))()).resolves.toBeUndefined()
  })

  it('are what own.options of a crash test has, all of it copied by a spread', async () => {
    const seen: string[][] = []
    await crashTest(
      (world) => {
        world.service('shop', (own) => void seen.push(Object.keys({ ...own.options })))
        return seen
      },
      () => undefined,
      { schedules: 1 },
    )
    expect(seen[0]).toEqual(['clock', 'random', 'newId'])
  })

  it('makes the ids of messages, of stored requests and of calls over messaging', async () => {
    let made = 0
    const newId = (): string => `mine-${++made}`
    const sent: string[] = []
    const place = memoryStore()
    const watched = Object.assign(Object.create(transport) as typeof transport, {
      send: async (channel: never, envelopes: readonly { readonly id: string }[], context: never) => {
        sent.push(...envelopes.map(({ id }) => id))
        return await transport.send(channel, envelopes as never, context)
      },
    })
    const ids = createOutbox(place, { newId })
    const receipt = await place.transaction((tx) => ids.publish(tx, Orders, { type: 'placed', data: { order: 'A' } }))
    expect(receipt.id).toBe('mine-1')
    const requester = createStoredRequester({
      name: 'stored',
      store: place,
      outbox: createOutbox(place),
      transport,
      channel: Pricing,
      replies: 'stored',
      handlers: { quote: { reply: () => undefined, timeout: () => undefined } },
      newId,
    })
    expect(await place.transaction((tx) => requester.request(tx, 'quote', { sku: 'A' }))).toMatchObject({
      id: 'mine-2',
    })
    const served = await serveOverMessaging(adapter, { transport: watched, newId })
    const caller = messagingRpiTransport({ transport: watched, newId })
    await createProxy(Stock, { transport: caller }).level()
    expect(sent).toEqual(['mine-3', 'mine-4'])
    await Promise.all([served.close(), caller.close()])
  })

  it.each(['clock', 'random', 'newId'])('is refused where %s is none', (name) => {
    const wrong = { ...seams, [name]: 7 } as unknown as CrashOptions
    expect(() => createRelay({ outbox, transport, ...wrong })).toThrow(name)
    expect(() => createPublisher({ transport, source: '/test', ...wrong })).toThrow(name)
  })
})
