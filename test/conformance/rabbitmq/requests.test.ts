// What requests meet on a real RabbitMQ besides the shared cases, with both clients: late replies, enough of many, a change of mind, and a connection that is lost
// while an answer is waited for.
import { queue, topic } from 'fairlead'
import {
  type Channel,
  createRequester,
  createResponder,
  type Requester,
  type RequesterOptions,
} from 'fairlead/messaging'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import type { MessageTransport } from '../../../src/core/contracts/transport.ts'
import { server } from '../../services/servers.ts'
import { proxyTo } from '../../services/toxiproxy.ts'
import { clients } from './clients.ts'
import { type Bench, benchOf } from './own.ts'

const at = server('rabbitmq')
if (at === undefined) throw new Error('RabbitMQ is not up: test/services/up rabbitmq')
const PATIENCE_MS = 20_000
const types = {
  'price.quote': { schema: z.object({ sku: z.string() }), reply: z.object({ sku: z.string(), by: z.string() }) },
}

/** A latch that a handler waits at. */
const latch = (): { readonly opened: Promise<void>; open(): void } => {
  let open = (): void => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open: () => open() }
}

describe.each(clients)('requests over RabbitMQ, by $name', (client) => {
  let bench: Bench
  let open: { close(): Promise<void> }[]
  const made: string[] = []
  beforeEach(() => {
    bench = benchOf(client)
    open = []
  })
  afterEach(async () => {
    for (const each of open.reverse()) await each.close()
    const admin = await bench.driver(at).channel()
    for (const name of made.splice(0)) await admin.deleteQueue(name)
    await bench.end()
  })
  const requester = (transport: MessageTransport, more: Partial<RequesterOptions> = {}): Requester => {
    const asking = createRequester({ transport, source: '/tests/asking', timeoutMs: PATIENCE_MS, ...more })
    open.push(asking)
    return asking
  }
  const work = () => {
    const { name } = bench.name()
    made.push(name, `${name}.dead`)
    return queue(name, types)
  }
  const respond = async (
    channel: Channel<typeof types>,
    by: string,
    handle: (sku: string) => Promise<void> | void = () => undefined,
  ): Promise<void> => {
    const grouped = channel.kind === 'topic'
    if (grouped) made.push(`${channel.name}.${by}`, `${channel.name}.${by}.dead`)
    const responder = createResponder({
      transport: bench.transport(at),
      channel,
      source: `/tests/${by}`,
      ...(grouped ? { group: by } : {}),
      handlers: {
        'price.quote': async ({ data: { sku } }) => {
          await handle(sku)
          return { sku, by }
        },
      },
    })
    open.push(responder)
    await responder.start()
  }

  it('a reply after the time of its request is counted as late, and is nobody else’s', async () => {
    const channel = work()
    await respond(channel, 'one')
    const proxy = await proxyTo(at)
    try {
      const asking = requester(bench.transport(proxy))
      await asking.request(channel, 'price.quote', { sku: 'warm' })
      // It is answered in time, and the answer is long on its way.
      await proxy.toxic('latency', { latency: 3_000 }, 'downstream')
      const slow = await asking.result(channel, 'price.quote', { sku: 'slow' }, { timeoutMs: 1_000 })
      expect(slow).toMatchObject({ ok: false, error: { code: 'DEADLINE_EXCEEDED', effect: 'unknown' } })
      expect(asking.stats()).toMatchObject({ pending: 0, received: 1, late: 0 })
      await expect.poll(() => asking.stats(), { timeout: 10_000 }).toMatchObject({ received: 1, late: 1 })
      await proxy.mend()
      expect(await asking.request(channel, 'price.quote', { sku: 'next' })).toEqual({ sku: 'next', by: 'one' })
    } finally {
      await proxy.remove()
    }
  })

  it('a request that is cancelled waits no more; its reply is late', async () => {
    const channel = work()
    const { opened, open: go } = latch()
    let begun = false
    await respond(channel, 'one', () => {
      begun = true
      return opened
    })
    const asking = requester(bench.transport(at))
    const controller = new AbortController()
    const answer = asking.result(channel, 'price.quote', { sku: 'a' }, { signal: controller.signal })
    await expect.poll(() => begun, { timeout: 10_000 }).toBe(true)
    controller.abort('changed my mind')
    expect(await answer).toMatchObject({ ok: false, error: { code: 'CANCELLED', cause: 'changed my mind' } })
    go()
    await expect.poll(() => asking.stats(), { timeout: 10_000 }).toMatchObject({ pending: 0, received: 0, late: 1 })
  })

  it('gathers from every group until it is enough; what comes after that is late', async () => {
    const channel = topic(bench.name('topic').name, types)
    const { opened, open: go } = latch()
    await respond(channel, 'one')
    await respond(channel, 'two')
    await respond(channel, 'three', () => opened)
    const asking = requester(bench.transport(at))
    const two = await asking.gather(channel, 'price.quote', { sku: 'a' }, { enough: (replies) => replies.length === 2 })
    expect(two.complete).toBe(true)
    expect(two.replies.map(({ data }) => data.by).sort()).toEqual(['one', 'two'])
    go()
    await expect.poll(() => asking.stats(), { timeout: 10_000 }).toMatchObject({ pending: 0, late: 1 })
    const all = await asking.gather(channel, 'price.quote', { sku: 'b' }, { enough: 3 })
    expect(all.replies.map(({ data }) => data.by).sort()).toEqual(['one', 'three', 'two'])
    const admin = await bench.driver(at).channel()
    await admin.deleteExchange(channel.name)
  })

  it('a requester whose connection was lost is answered at the same address, once it is back', async () => {
    const channel = work()
    const { opened, open: go } = latch()
    let begun = 0
    await respond(channel, 'one', (sku) => {
      if (sku !== 'held') return undefined
      begun++
      return opened
    })
    const proxy = await proxyTo(at)
    try {
      const asking = requester(bench.transport(proxy))
      await asking.request(channel, 'price.quote', { sku: 'warm' })
      const answer = asking.result(channel, 'price.quote', { sku: 'held' })
      await expect.poll(() => begun, { timeout: 10_000 }).toBe(1)
      await proxy.refuse()
      await proxy.mend()
      // Its place for replies stands again before the answer comes.
      await expect
        .poll(() => asking.result(channel, 'price.quote', { sku: 'probe' }, { timeoutMs: 1_000 }), { timeout: 15_000 })
        .toMatchObject({ ok: true })
      go()
      expect(await answer).toMatchObject({ ok: true, value: { sku: 'held', by: 'one' } })
      expect(begun).toBe(1)
    } finally {
      await proxy.remove()
    }
  }, 300_000)
})
