// What the RabbitMQ transport guarantees beyond the suite, in trouble: nothing accepted is lost over a crash, what came back is told of the right message,
// no message is dropped for having come back too often, a killer message takes no other along, and all is restored.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Delivery, MessageTransport, Receiver } from '../../../src/core/contracts/transport.ts'
import type { ChannelAddress, Envelope } from '../../../src/core/message.ts'
import { type RabbitmqInstance, startRabbitmq } from '../../services/rabbitmq-instance.ts'
import { proxyTo } from '../../services/toxiproxy.ts'
import { clients } from './clients.ts'
import { type Bench, benchOf, collect, context, envelope, ids, persist, sendAll } from './own.ts'

describe.each(clients)('the RabbitMQ transport in trouble, over $name', (client) => {
  let instance: RabbitmqInstance
  let bench: Bench
  beforeAll(async () => {
    instance = await startRabbitmq()
  }, 300_000)
  beforeEach(() => {
    bench = benchOf(client)
  })
  afterEach(() => bench.end())
  afterAll(() => instance.remove())

  const made = async (by: MessageTransport): Promise<ChannelAddress> => {
    const channel = bench.name()
    await by.prepare([channel], 'create')
    return channel
  }
  const numbered = (from: number, count: number): readonly Envelope[] =>
    Array.from({ length: count }, (_, n) => envelope(String(from + n)))
  const deadOf = async (by: MessageTransport, channel: ChannelAddress): Promise<readonly string[]> => {
    const dead: string[] = []
    for await (const letter of by.deadLetters?.list(channel, { limit: 1_000 }) ?? []) dead.push(letter.envelope.id)
    return dead
  }
  /** Takes and acknowledges until nothing is left. */
  const drained = async (
    by: MessageTransport,
    channel: ChannelAddress,
    least: ReadonlySet<string>,
  ): Promise<Set<string>> => {
    const seen = new Set<string>()
    const { receiver } = await collect(by, { channel }, 100_000, (delivery) => {
      seen.add(delivery.envelope.id)
      delivery.settle('ack').catch(() => undefined)
    })
    await expect.poll(() => [...least].filter((id) => !seen.has(id)), { timeout: 60_000 }).toEqual([])
    await receiver.close()
    return seen
  }

  it('loses nothing it accepted over kill -9, and says unknown of what was under way', async () => {
    const transport = bench.transport(instance)
    const channel = await made(transport)
    await instance.remember()
    const accepted = new Set<string>()
    const unknown: string[] = []
    let stop = false
    let sent = 0
    const stream = async (): Promise<void> => {
      while (!stop) {
        const batch = numbered(sent, 50)
        sent += 50
        const verdicts = await transport.send(channel, batch, context(20_000))
        for (const [index, verdict] of verdicts.entries()) {
          const { id } = batch[index] as Envelope
          if (verdict.status === 'accepted') accepted.add(id)
          else if (verdict.status === 'failed') {
            expect(verdict.error).toMatchObject({ effect: expect.stringMatching(/^(none|unknown)$/) })
            if ((verdict.error as { effect: string }).effect === 'unknown') unknown.push(id)
          }
        }
      }
    }
    const streams = Array.from({ length: 4 }, stream)
    await expect.poll(() => accepted.size, { timeout: 20_000 }).toBeGreaterThan(500)
    await instance.restart('kill')
    const before = accepted.size
    await expect.poll(() => accepted.size, { timeout: 60_000 }).toBeGreaterThan(before + 200)
    stop = true
    await Promise.all(streams)
    expect(unknown.length).toBeGreaterThan(0)
    await drained(bench.transport(instance), channel, accepted)
  }, 300_000)

  it('tells of the right message what came back, among a thousand under way', async () => {
    const transport = bench.transport(instance)
    const channel = await made(transport)
    const nowhere = bench.name()
    const sends = Array.from({ length: 1_000 }, (_, n) => {
      const lost = n % 7 === 3
      return transport.send(lost ? nowhere : channel, [envelope(String(n))], context()).then(([verdict]) => {
        if (lost) expect(verdict).toMatchObject({ status: 'failed', error: { code: 'UNROUTABLE', effect: 'none' } })
        else expect(verdict).toEqual({ status: 'accepted' })
        return lost
      })
    })
    const lost = (await Promise.all(sends)).filter(Boolean).length
    // The same id to both at once: what is returned is one of them.
    const twins = await Promise.all(
      Array.from({ length: 200 }, async (_, n) => {
        const to = n % 2 === 0 ? channel : nowhere
        return (await transport.send(to, [envelope('twin')], context()))[0]?.status
      }),
    )
    expect(twins.map((status, n) => (status === 'accepted') === (n % 2 === 0))).not.toContain(false)
    const count = 1_000 - lost + 100
    await expect.poll(async () => (await transport.inspect?.({ channel }))?.waiting).toBe(count)
  })

  it('drops nothing that came back too often: it is in the dead-letter place', async () => {
    const transport = bench.transport(instance, { deliveryLimit: 2 })
    const channel = await made(transport)
    await sendAll(transport, channel, [envelope('often')])
    // Taken by connections that end, one after the other: nobody gives a verdict.
    let rounds = 0
    await expect
      .poll(
        async () => {
          rounds++
          const victim = bench.driver(instance)
          const raw = await victim.channel()
          await raw.get(channel.name)
          await raw.close()
          await victim.close()
          return deadOf(transport, channel)
        },
        { timeout: 20_000 },
      )
      .toEqual(['often'])
    expect(rounds).toBeGreaterThanOrEqual(3)
    expect(await transport.deadLetters?.redrive(channel, 'all')).toBe(1)
    const { got } = await collect(transport, { channel }, 1)
    await expect.poll(() => ids(got)).toEqual(['often'])
    expect(got[0]?.redeliveries).toBe(0)
    await got[0]?.settle('ack')
  })

  it.each(['dead', 'retry'] as const)('lets go of nothing that could not be put elsewhere: %s', async (verdict) => {
    const transport = bench.transport(instance)
    const channel = await made(transport)
    const { receiver, got } = await collect(transport, { channel }, 1)
    await sendAll(transport, channel, [envelope('kept')])
    await expect.poll(() => got.length).toBe(1)
    const options = verdict === 'retry' ? { delayMs: 1_000 } : {}
    if (verdict === 'retry') {
      // So that the place where it waits is known, and thought to be there.
      await got[0]?.settle(verdict, options)
      receiver.request(1)
      await expect.poll(() => got.length, { timeout: 10_000 }).toBe(2)
    }
    const admin = await bench.driver(instance).channel()
    const queues = (await instance.control('list_queues', 'name')).split('\n').map((name) => name.trim())
    const elsewhere = queues.filter((name) => name.startsWith(`${channel.name}.`))
    expect(elsewhere.length).toBeGreaterThan(0)
    for (const queue of elsewhere) await admin.deleteQueue(queue)
    await expect(got.at(-1)?.settle(verdict, options)).rejects.toMatchObject({ code: 'UNROUTABLE' })
    await receiver.close()
    await transport.prepare([channel], 'create')
    const again = await collect(transport, { channel }, 5)
    await expect.poll(() => ids(again.got), { timeout: 10_000 }).toEqual(['kept'])
    await again.got[0]?.settle('ack')
  })

  describe('a message that kills whoever takes it', () => {
    const LIMIT = 4
    const CREDIT = 20
    const OVER = { done: 59, waiting: 0, dead: ['killer'] }
    const over = async (by: MessageTransport, channel: ChannelAddress, done: ReadonlySet<string>): Promise<object> => ({
      done: done.size,
      waiting: (await by.inspect?.({ channel }))?.waiting,
      dead: await deadOf(by, channel),
    })
    // Each message is worked on for a while; the killer ends the connection in the middle of that.
    const work = async (
      by: MessageTransport,
      channel: ChannelAddress,
      done: Set<string>,
      kill: () => Promise<void>,
    ): Promise<Receiver> => {
      const { receiver } = await collect(by, { channel }, CREDIT, async (delivery) => {
        await new Promise((resolve) => setTimeout(resolve, 20))
        const { id } = delivery.envelope
        if (id === 'killer') {
          await kill()
        } else {
          // Whether the broker has read an acknowledgement when the connection ends is not known: that it was worked on is.
          done.add(id)
          await delivery.settle('ack').catch(() => undefined)
        }
        receiver.request(1)
      })
      return receiver
    }
    const prepared = async (): Promise<readonly [MessageTransport, ChannelAddress]> => {
      const transport = bench.transport(instance, { deliveryLimit: LIMIT })
      const channel = await made(transport)
      await sendAll(
        transport,
        channel,
        Array.from({ length: 60 }, (_, n) => envelope(n === 30 ? 'killer' : `innocent ${n}`)),
      )
      return [transport, channel]
    }

    it('goes to the dead letters, and no other does: each time another process', async () => {
      const [transport, channel] = await prepared()
      const done = new Set<string>()
      for (let processes = 0; processes < 20; processes++) {
        const proxy = await proxyTo(instance)
        let die = (): void => {}
        const dead = new Promise<void>((resolve) => {
          die = resolve
        })
        const victim = bench.transport(proxy, { deliveryLimit: LIMIT })
        await work(victim, channel, done, async () => {
          await proxy.refuse()
          die()
        })
        const finished = expect
          .poll(() => over(transport, channel, done), { timeout: 60_000, interval: 200 })
          .toEqual(OVER)
        finished.catch(() => undefined)
        const ended = await Promise.race([dead.then(() => false), finished.then(() => true)])
        await proxy.refuse()
        await victim.close()
        await proxy.remove()
        if (ended) break
      }
      expect(await over(transport, channel, done)).toEqual(OVER)
    }, 300_000)

    it('goes to the dead letters, and no other does: each time the same process, connected again', async () => {
      const [transport, channel] = await prepared()
      const done = new Set<string>()
      const proxy = await proxyTo(instance)
      try {
        await work(bench.transport(proxy, { deliveryLimit: LIMIT }), channel, done, async () => {
          await proxy.refuse()
          await proxy.mend()
        })
        await expect.poll(() => over(transport, channel, done), { timeout: 60_000, interval: 200 }).toEqual(OVER)
      } finally {
        await proxy.remove()
      }
    }, 300_000)
  })

  it('restores subscriptions of every kind after the connection was lost', async () => {
    const proxy = await proxyTo(instance)
    try {
      const transport = bench.transport(proxy)
      const queue = await made(transport)
      const topic = bench.name('topic')
      await transport.prepare([{ ...topic, group: 'g' }], 'create')
      const ack = (delivery: Delivery): void => void delivery.settle('ack').catch(() => undefined)
      const places = [{ channel: queue }, { channel: topic, group: 'g' }, { channel: topic }]
      const collected = await Promise.all(places.map((place) => collect(transport, place, 1_000, ack)))
      const other = bench.transport(instance)
      const everyone = async (id: string): Promise<void> => {
        await persist(other, queue, envelope(id))
        await persist(other, topic, envelope(id))
      }
      await everyone('before')
      for (const { got } of collected) await expect.poll(() => ids(got)).toContain('before')
      await proxy.refuse()
      await proxy.mend()
      await expect
        .poll(
          async () => {
            await everyone(`probe ${Math.random()}`)
            return collected.map(({ got }) => ids(got).some((id) => id.startsWith('probe')))
          },
          { timeout: 20_000, interval: 100 },
        )
        .toEqual([true, true, true])
      await everyone('after')
      for (const { got } of collected) await expect.poll(() => ids(got), { timeout: 15_000 }).toContain('after')
    } finally {
      await proxy.remove()
    }
  }, 300_000)

  it('makes its places again at a broker that was reset', async () => {
    const transport = bench.transport(instance)
    const channel = await made(transport)
    const topic = bench.name('topic')
    await transport.prepare([{ ...topic, group: 'g' }], 'create')
    await sendAll(transport, channel, [envelope('before')])
    await instance.reset()
    const places = [channel, { ...topic, group: 'g' }]
    await expect
      .poll(
        () =>
          transport.prepare(places, 'create').then(
            () => 'made',
            (error: { code: string }) => error.code,
          ),
        {
          timeout: 20_000,
          interval: 200,
        },
      )
      .toBe('made')
    await persist(transport, channel, envelope('after'))
    await persist(transport, topic, envelope('after'))
    for (const from of [{ channel }, { channel: topic, group: 'g' }]) {
      const { got, receiver } = await collect(transport, from, 10)
      await expect.poll(() => ids(got)).toEqual(['after'])
      await receiver.close()
    }
  }, 300_000)
})
