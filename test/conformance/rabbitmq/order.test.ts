// The order of a channel (`order: 'channel'`) on a real server, with both clients: verdicts of every kind while later messages are out, and a cut in between.
import { queue } from 'fairlead'
import { createConsumer, createPublisher } from 'fairlead/messaging'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import type { Delivery, MessageTransport, SettleVerdict } from '../../../src/core/contracts/transport.ts'
import type { ChannelAddress } from '../../../src/core/message.ts'
import type { FairleadError } from '../../../src/errors/index.ts'
import { seededRandom } from '../../../src/testing/seeded-random.ts'
import { server } from '../../services/servers.ts'
import { proxyTo, type ToxicProxy } from '../../services/toxiproxy.ts'
import { clients } from './clients.ts'
import { type Bench, benchOf, collect, context, envelope, sendAll } from './own.ts'

const at = server('rabbitmq')
if (at === undefined) throw new Error('RabbitMQ is not up: test/services/up rabbitmq')
const COUNT = 150

describe.each(clients)('the order of a channel, over $name', (client) => {
  let bench: Bench
  let proxy: ToxicProxy
  let channel: ChannelAddress
  beforeEach(async () => {
    bench = benchOf(client)
    proxy = await proxyTo(at)
    channel = bench.name()
    await ordered(bench).prepare([channel], 'create')
  })
  afterEach(async () => {
    const admin = await bench.driver(at).channel()
    await admin.deleteQueue(channel.name)
    await admin.deleteQueue(`${channel.name}.dead`)
    await bench.end()
    await proxy.remove()
  })
  const ordered = (of: Bench, entrance = at as { host: string; port: number }): MessageTransport =>
    of.transport(entrance, { order: 'channel', prefetch: 20 })

  it.each([1, 2, 3])(
    'hands out none before an earlier one that waits, whatever becomes of those out (seed %i)',
    async (seed) => {
      const random = seededRandom(seed)
      // By number: who holds it, or what was said of it.
      const held = new Map<number, number>()
      const said = new Map<number, SettleVerdict>()
      const finished = new Set<number>()
      const wrong: string[] = []
      const work = async (delivery: Delivery, who: number): Promise<void> => {
        const number = Number(delivery.envelope.id)
        for (let before = 0; before < number; before++)
          if (!said.has(before) && held.get(before) !== who) wrong.push(`${number} before ${before}, at ${who}`)
        held.set(number, who)
        delivery.onLost(() => void (held.get(number) === who && held.delete(number)))
        await new Promise((resolve) => setTimeout(resolve, Math.floor(random() * 12)))
        const dice = random()
        const verdict = dice < 0.35 ? 'retry' : dice < 0.9 ? 'ack' : 'dead'
        if (verdict !== 'retry') said.set(number, verdict)
        held.delete(number)
        await delivery.settle(verdict, dice < 0.1 ? { delayMs: 60 } : {}).then(
          () => verdict !== 'retry' && finished.add(number),
          // The right was lost: it comes again, or the broker knew already.
          () => undefined,
        )
      }
      for (const who of [0, 1, 2]) {
        const { receiver } = await collect(ordered(bench, proxy), { channel }, 7, (delivery) => {
          void work(delivery, who).then(() => receiver.request(1))
        })
      }
      const all = Array.from({ length: COUNT }, (_, number) => envelope(String(number)))
      const sender = ordered(bench)
      await sendAll(sender, channel, all.slice(0, COUNT / 2))
      await expect.poll(() => finished.size, { timeout: 20_000 }).toBeGreaterThan(COUNT / 4)
      await proxy.refuse()
      await proxy.mend()
      await sendAll(sender, channel, all.slice(COUNT / 2))
      await expect.poll(() => said.size, { timeout: 30_000 }).toBe(COUNT)
      expect(wrong).toEqual([])
    },
    300_000,
  )

  it('holds where the broker refuses one in the middle of a send: a queue that may hold few', async () => {
    const few = bench.name()
    const admin = await bench.driver(at).channel()
    await admin.declareQueue(few.name, {
      durable: true,
      exclusive: false,
      autoDelete: false,
      arguments: {
        // Each single message is looked at; a quorum queue lets some more in before it refuses.
        'x-queue-type': 'classic',
        'x-single-active-consumer': true,
        'x-max-length': 2,
        'x-overflow': 'reject-publish',
      },
    })
    const seen = new Set<string>()
    const { receiver } = await collect(
      bench.transport(at, { order: 'channel', prefetch: 2 }),
      { channel: few },
      2,
      (delivery) => {
        seen.add(delivery.envelope.id)
        setTimeout(() => {
          delivery.settle('ack').then(
            () => receiver.request(1),
            () => undefined,
          )
        }, 5)
      },
    )
    const sender = ordered(bench)
    const refusals = new Set<string>()
    // As a relay does it: what failed is sent again, in its order.
    let left = Array.from({ length: 200 }, (_, number) => envelope(String(number), { key: 'one' }))
    while (left.length > 0) {
      const verdicts = await sender.send(few, left, context(20_000))
      for (const each of verdicts) if (each.status === 'failed') refusals.add((each.error as FairleadError).code)
      const first = verdicts.findIndex(({ status }) => status === 'failed')
      // Behind one that failed nothing was taken.
      if (first >= 0) for (const { status } of verdicts.slice(first)) expect(status).toBe('failed')
      left = first < 0 ? [] : left.slice(first)
    }
    expect([...refusals].sort()).toEqual(['TOO_EARLY', 'UNAVAILABLE'])
    await expect.poll(() => seen.size, { timeout: 20_000 }).toBe(200)
    expect([...seen].map(Number)).toEqual(Array.from({ length: 200 }, (_, number) => number))
    await admin.deleteQueue(few.name)
  }, 300_000)

  it.each(['block-key', 'park-key'] as const)(
    'a consumer handles in order what fails now and then: %s',
    async (onFailure) => {
      const Numbers = queue(channel.name, { number: z.object({ n: z.number() }) })
      const random = seededRandom(7)
      const handled: number[] = []
      const consumer = createConsumer({
        transport: ordered(bench),
        channel: Numbers,
        onFailure,
        concurrency: 8,
        retries: { immediate: 0, delayedMs: [20, 40] },
        handlers: {
          number: async ({ data: { n } }) => {
            await new Promise((resolve) => setTimeout(resolve, Math.floor(random() * 5)))
            if (random() < 0.2) throw new Error(`not yet ${n}`)
            handled.push(n)
          },
        },
      })
      await consumer.start()
      try {
        const publisher = createPublisher({ transport: ordered(bench), source: '/test' })
        for (let n = 0; n < 60; n++) await publisher.publish(Numbers, { type: 'number', data: { n }, key: 'one' })
        await expect.poll(() => handled.length, { timeout: 30_000 }).toBeGreaterThanOrEqual(60)
        expect(handled).toEqual(Array.from({ length: 60 }, (_, n) => n))
      } finally {
        await consumer.close()
      }
    },
    300_000,
  )
})
