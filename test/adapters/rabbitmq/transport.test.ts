// What the transport makes of a broker's answers, and when: sends, verdicts, credit and losses, over a driver that is scripted.
import { describe, expect, it } from 'vitest'
import { amqpNacked } from '../../../src/adapters/rabbitmq/classify-amqp.ts'
import { type RabbitmqTransportOptions, rabbitmqTransport } from '../../../src/adapters/rabbitmq/index.ts'
import { createContext } from '../../../src/core/context.ts'
import type { Delivery } from '../../../src/core/contracts/transport.ts'
import { deadlineIn } from '../../../src/core/deadline.ts'
import type { Envelope } from '../../../src/core/message.ts'
import { createError } from '../../../src/errors/index.ts'
import { fakeClock } from '../../../src/testing/index.ts'
import { type Consumer, lost, publisherOf, scriptedDriver } from './scripted.ts'

const queue = { kind: 'queue', name: 'q' } as const
const topic = { kind: 'topic', name: 't' } as const

const envelope = (id: string, more: Partial<Envelope> = {}): Envelope => ({
  id,
  attributes: { specversion: '1.0', type: 'test', source: '/test' },
  headers: {},
  body: Buffer.from(id),
  ...more,
})

const turns = async (): Promise<void> => {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
}

const make = (options: RabbitmqTransportOptions = {}) => {
  const clock = fakeClock()
  const driver = scriptedDriver()
  const transport = rabbitmqTransport(driver, { clock, random: () => 0.5, ...options })
  const call = (ms = 1_000) =>
    createContext({ service: 's', operation: 'o', deadline: deadlineIn(ms, clock), idempotent: true })
  const failures = async (work: Promise<readonly unknown[]>) =>
    (await work).map((each) => {
      const { status, error } = each as { status: string; error?: { code: string; effect: string } }
      return status === 'failed' ? `${error?.code} ${error?.effect}` : status
    })
  return { clock, driver, transport, call, failures }
}

describe('a send', () => {
  it('is accepted once it is confirmed, in whatever order confirms come', async () => {
    const { driver, transport, call, failures } = make()
    const work = failures(transport.send(queue, [envelope('a'), envelope('b')], call().context))
    await turns()
    const { published } = publisherOf(driver)
    expect(published.map(({ exchange, routingKey, mandatory }) => ({ exchange, routingKey, mandatory }))).toEqual([
      { exchange: '', routingKey: 'q', mandatory: true },
      { exchange: '', routingKey: 'q', mandatory: true },
    ])
    published[1]?.confirm()
    published[0]?.confirm()
    expect(await work).toEqual(['accepted', 'accepted'])
  })

  it('is unroutable where the broker returned it, although it is confirmed, and no other is', async () => {
    const { driver, transport, call, failures } = make()
    // Twice the same id: each return is for one of them, the first that has none.
    const work = failures(transport.send(queue, [envelope('a'), envelope('b'), envelope('b')], call().context))
    await turns()
    const channel = publisherOf(driver)
    channel.giveBack({ messageId: 'b', routingKey: 'q' })
    for (const each of channel.published) each.confirm()
    expect(await work).toEqual(['accepted', 'UNROUTABLE none', 'accepted'])
  })

  it('is refused by a nack, and unknown where the channel ends first', async () => {
    const { driver, transport, call, failures } = make()
    const work = failures(transport.send(queue, [envelope('a'), envelope('b')], call().context))
    await turns()
    const channel = publisherOf(driver)
    channel.published[0]?.confirm(createError({ code: 'UNAVAILABLE', effect: 'none' }))
    channel.break()
    expect(await work).toEqual(['UNAVAILABLE none', 'CONNECTION_LOST unknown'])
  })

  it('is unknown where one of the queues of a topic refused it: others may have it', async () => {
    const { driver, transport, call, failures } = make()
    const work = failures(transport.send({ kind: 'topic', name: 't' }, [envelope('a')], call().context))
    await turns()
    publisherOf(driver).published[0]?.confirm(amqpNacked())
    expect(await work).toEqual(['UNAVAILABLE unknown'])
  })

  it('in order writes the next of a key when the one before is confirmed, and refuses those behind a failed one', async () => {
    const { driver, transport, call, failures } = make({ order: 'channel' })
    const keyed = (id: string, key?: string) => envelope(id, key === undefined ? {} : { key })
    const large = envelope('large', { key: 'l', body: Buffer.alloc(20_000_000) })
    const all = [keyed('a1', 'a'), keyed('a2', 'a'), keyed('a3', 'a'), keyed('b1', 'b'), large, keyed('l2', 'l')]
    const work = transport.send(queue, [...all, keyed('a4', 'a'), keyed('free'), keyed('free2')], call().context)
    const results = failures(work)
    await turns()
    const { published } = publisherOf(driver)
    const written = () => published.map(({ properties: { messageId } }) => messageId)
    expect(written()).toEqual(['a1', 'b1', 'free', 'free2'])
    for (const each of [...published]) each.confirm()
    await turns()
    expect(written().slice(4)).toEqual(['a2'])
    published[4]?.confirm(amqpNacked())
    await turns()
    expect(written()).toHaveLength(5)
    expect(await results).toEqual([
      'accepted',
      'UNAVAILABLE none',
      'TOO_EARLY none',
      'accepted',
      'PAYLOAD_TOO_LARGE none',
      'TOO_EARLY none',
      'TOO_EARLY none',
      'accepted',
      'accepted',
    ])
    const [, , third] = await work
    expect(third).toMatchObject({ error: { transient: true, details: { ahead: 'a2' } } })
  })

  it('fails without an effect where there is no connection', async () => {
    const { driver, transport, call, failures } = make()
    driver.refuse = createError({ code: 'CONNECTION_REFUSED' })
    expect(await failures(transport.send(queue, [envelope('a')], call().context))).toEqual(['CONNECTION_REFUSED none'])
    driver.refuse = undefined
    const work = failures(transport.send(queue, [envelope('a')], call().context))
    await turns()
    publisherOf(driver).published[0]?.confirm()
    expect(await work).toEqual(['accepted'])
  })

  it('ends with its deadline: unknown for what was written, and the channel in doubt is left', async () => {
    const { driver, transport, call, failures, clock } = make()
    const work = failures(transport.send(queue, [envelope('a')], call(500).context))
    await turns()
    const silent = publisherOf(driver)
    await clock.advance(500)
    expect(await work).toEqual(['DEADLINE_EXCEEDED unknown'])
    expect(silent.closed).toBe(true)
    const next = failures(transport.send(queue, [envelope('a')], call().context))
    await turns()
    expect(publisherOf(driver)).not.toBe(silent)
    publisherOf(driver).published[0]?.confirm()
    expect(await next).toEqual(['accepted'])
  })

  it('waits while the broker blocks, and ends without an effect', async () => {
    const { driver, transport, call, failures, clock } = make()
    const first = failures(transport.send(queue, [envelope('a')], call().context))
    await turns()
    publisherOf(driver).published[0]?.confirm()
    await first
    driver.block(true)
    const work = failures(transport.send(queue, [envelope('b')], call(500).context))
    const later = failures(transport.send(queue, [envelope('c')], call(5_000).context))
    await turns()
    expect(publisherOf(driver).published).toHaveLength(1)
    await clock.advance(500)
    expect(await work).toEqual(['DEADLINE_EXCEEDED none'])
    driver.block(false)
    expect(publisherOf(driver).published.map(({ properties }) => properties.messageId)).toEqual(['a', 'c'])
    publisherOf(driver).published[1]?.confirm()
    expect(await later).toEqual(['accepted'])
  })

  it('to a topic looks whether that is there, once, and again when its channel was lost', async () => {
    const { driver, transport, call, failures } = make()
    driver.known = new Set(['t'])
    expect(await failures(transport.send({ kind: 'topic', name: 'no' }, [envelope('a')], call().context))).toEqual([
      'CHANNEL_NOT_FOUND none',
    ])
    for (const id of ['a', 'b']) {
      const work = failures(transport.send(topic, [envelope(id)], call().context))
      await turns()
      expect(publisherOf(driver).published.at(-1)).toMatchObject({ exchange: 't', routingKey: '', mandatory: false })
      publisherOf(driver).published.at(-1)?.confirm()
      expect(await work).toEqual(['accepted'])
    }
    const looks = () => driver.channels.flatMap(({ said }) => said).filter((each) => each === 'check t').length
    expect(looks()).toBe(1)
    driver.known.delete('t')
    publisherOf(driver).break(createError({ code: 'CHANNEL_NOT_FOUND' }))
    expect(await failures(transport.send(topic, [envelope('c')], call().context))).toEqual(['CHANNEL_NOT_FOUND none'])
    expect(looks()).toBe(2)
  })

  it('for later goes to a queue that lets it wait, made once', async () => {
    const { driver, transport, call, failures, clock } = make()
    const notBefore = clock.wallNow() + 60_000
    const work = failures(
      transport.send(queue, [envelope('a', { notBefore }), envelope('b', { notBefore })], call().context),
    )
    await turns()
    const { published } = publisherOf(driver)
    expect(published.map(({ routingKey }) => routingKey)).toEqual(['q.wait.49152', 'q.wait.49152'])
    // It comes back before its time: the instant goes along.
    expect(published[0]?.properties.headers).toMatchObject({ 'x-fairlead-due': String(notBefore) })
    for (const each of published) each.confirm()
    expect(await work).toEqual(['accepted', 'accepted'])
    expect(driver.channels.flatMap(({ said }) => said).filter((each) => each.startsWith('declare'))).toEqual([
      'declare q.wait.49152',
    ])
  })

  it('is answered when the transport is closed', async () => {
    const { driver, transport, call, failures, clock } = make()
    const work = failures(transport.send(queue, [envelope('a')], call(60_000).context))
    await turns()
    expect(publisherOf(driver).published).toHaveLength(1)
    const closing = transport.close()
    await clock.advance(4_000)
    expect(await work).toEqual(['SHUTDOWN unknown'])
    await closing
    expect(await failures(transport.send(queue, [envelope('a')], call().context))).toEqual(['SHUTDOWN none'])
  })
})

describe('a receiver', () => {
  const receiving = async (options: RabbitmqTransportOptions = {}) => {
    const made = make(options)
    const got: Delivery[] = []
    const receiver = await made.transport.receive({ channel: queue }, (delivery) => void got.push(delivery))
    const channel = () =>
      made.driver.channels.findLast(({ confirms, closed, said }) => !confirms && !closed && said.includes('check q')) ??
      made.driver.channels[0]!
    const consumers = (): readonly Consumer[] => [
      ...made.driver.channels.flatMap((each) => [...each.consumers.values()]),
    ]
    const said = () => made.driver.channels.flatMap((each) => each.said)
    return { ...made, got, receiver, channel, consumers, said }
  }

  it('takes one message at first, then as many as were asked for', async () => {
    const { receiver, consumers, got } = await receiving()
    await turns()
    expect(consumers()).toEqual([])
    for (let times = 0; times < 10; times++) receiver.request(1)
    await turns()
    expect(consumers().map(({ limit }) => limit)).toEqual([1])
    consumers()[0]?.deliver({})
    expect(got).toHaveLength(1)
    await turns()
    expect(consumers().map(({ limit }) => limit)).toEqual([1, 9])
  })

  it('goes on with one at a time where the first one came back', async () => {
    const { receiver, consumers, got, clock } = await receiving()
    receiver.request(10)
    await turns()
    consumers()[0]?.deliver({ properties: { headers: { 'x-delivery-count': 2 } } })
    await turns()
    expect(got[0]?.redeliveries).toBe(2)
    expect(consumers().map(({ limit }) => limit)).toEqual([1])
    // Dealt with: the next one comes, and no more. It lives on with that for a second: two.
    await got[0]?.settle('ack')
    await turns()
    expect(consumers().map(({ limit }) => limit)).toEqual([1])
    consumers()[0]?.deliver({ properties: { headers: { 'x-delivery-count': 1 } } })
    await clock.advance(1_000)
    await turns()
    expect(consumers().map(({ limit }) => limit)).toEqual([1, 1])
    // One that is new: all that came back is dealt with.
    consumers()[1]?.deliver({})
    await turns()
    expect(consumers().map(({ limit }) => limit)).toEqual([1, 1, 7])
  })

  it('gives back what nobody asks for, after a while', async () => {
    const { receiver, consumers, got, said, clock } = await receiving()
    receiver.request(1)
    await turns()
    const [consumer] = consumers()
    consumer?.deliver({})
    await turns()
    await got[0]?.settle('ack')
    consumer?.deliver({})
    expect(got).toHaveLength(1)
    await clock.advance(249)
    expect(said()).not.toContain('nack 2')
    await clock.advance(1)
    await turns()
    expect(said().slice(-2)).toEqual(['cancel', 'nack 2'])
    // Asked for in time it is handed out.
    receiver.request(1)
    await turns()
    consumers()[0]?.deliver({})
    expect(got).toHaveLength(2)
  })

  it('says that the right is lost with its channel, and begins anew with what was asked for', async () => {
    const { receiver, consumers, got, channel, clock, driver } = await receiving()
    receiver.request(2)
    await turns()
    consumers()[0]?.deliver({})
    let told = 0
    got[0]?.onLost(() => told++)
    driver.refuse = lost()
    channel().break()
    expect(told).toBe(1)
    await expect(got[0]?.settle('ack')).rejects.toMatchObject({ code: 'LEASE_LOST' })
    const before = driver.channels.length
    await clock.advance(5_000)
    expect(driver.channels).toHaveLength(before)
    driver.refuse = undefined
    await clock.advance(2_000)
    await turns()
    expect(driver.channels.length).toBeGreaterThan(before)
    const [, again] = consumers()
    again?.deliver({})
    expect(got).toHaveLength(2)
  })

  it('ends where its queue is gone', async () => {
    const { receiver, channel, driver, clock } = await receiving()
    receiver.request(1)
    await turns()
    driver.known = new Set()
    channel().break()
    await clock.advance(5_000)
    await expect(receiver.ended).rejects.toMatchObject({ code: 'CHANNEL_NOT_FOUND' })
  })

  it('puts what was given up among the dead letters before it acknowledges', async () => {
    const { receiver, consumers, got, said, driver } = await receiving()
    receiver.request(1)
    await turns()
    consumers()[0]?.deliver({ properties: { messageId: 'm', headers: { 'x-delivery-count': 1, own: 'kept' } } })
    let settled = false
    const work = got[0]?.settle('dead', { reason: 'bad' }).then(() => {
      settled = true
    })
    await turns()
    const [dead] = publisherOf(driver).published
    expect(dead).toMatchObject({ exchange: '', routingKey: 'q.dead', mandatory: true })
    expect(dead?.properties.headers).toMatchObject({ 'x-fairlead-dead-reason': 'bad', own: 'kept' })
    expect(said()).not.toContain('ack 1')
    expect(settled).toBe(false)
    dead?.confirm()
    await work
    expect(said()).toContain('ack 1')
  })

  it('keeps the message where the dead letter could not be written', async () => {
    const { receiver, consumers, got, said, driver } = await receiving()
    receiver.request(1)
    await turns()
    consumers()[0]?.deliver({})
    const work = expect(got[0]?.settle('dead')).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    await turns()
    publisherOf(driver).published[0]?.confirm(createError({ code: 'UNAVAILABLE', effect: 'none' }))
    await work
    expect(said()).not.toContain('ack 1')
    // It is held still, and may be settled again.
    await got[0]?.settle('ack')
    expect(said()).toContain('ack 1')
  })

  it('counts on over a wait: what the queue counted and what was counted before', async () => {
    const { receiver, consumers, got, driver } = await receiving()
    receiver.request(1)
    await turns()
    consumers()[0]?.deliver({ properties: { headers: { 'x-delivery-count': 2, 'x-fairlead-redeliveries': '3' } } })
    expect(got[0]?.redeliveries).toBe(5)
    const work = got[0]?.settle('retry', { delayMs: 1_000 })
    await turns()
    const [waits] = publisherOf(driver).published
    expect(waits).toMatchObject({ routingKey: 'q.wait.1024' })
    expect(waits?.properties.headers).toEqual({ 'x-fairlead-redeliveries': '6' })
    waits?.confirm()
    await work
  })

  it('lets wait again what came before its time, and hands out nothing', async () => {
    const { receiver, consumers, got, driver, said, clock } = await receiving()
    receiver.request(1)
    await turns()
    const due = clock.wallNow() + 2_000
    consumers()[0]?.deliver({ properties: { headers: { 'x-fairlead-due': String(due) } } })
    await turns()
    expect(got).toHaveLength(0)
    expect(publisherOf(driver).published[0]?.routingKey).toBe('q.wait.2048')
    publisherOf(driver).published[0]?.confirm()
    await turns()
    expect(said()).toContain('ack 1')
  })

  it.each(['cancel', 'consume', 'prefetch'] as const)(
    'leaves a channel on which a %s is never answered',
    async (request) => {
      const { receiver, consumers, got, channel, clock, driver, said } = await receiving({ answerTimeoutMs: 3_000 })
      receiver.request(1)
      await turns()
      const silent = channel()
      consumers()[0]?.deliver({})
      silent.silence(request)
      let told = 0
      got[0]?.onLost(() => told++)
      let verdict: Promise<unknown> | undefined
      // Given back while nobody asks for more: the consumer is ended first. Given more credit: there is another one.
      if (request === 'cancel') verdict = got[0]?.settle('retry')
      else if (request === 'consume') receiver.request(1)
      else verdict = got[0]?.settle('ack')
      const ending = verdict && expect(verdict).rejects.toMatchObject({ code: 'LEASE_LOST' })
      await turns()
      // A broker that is short of memory reads nothing, and says so.
      driver.block(true)
      await clock.advance(6_000)
      driver.block(false)
      expect(told).toBe(0)
      await clock.advance(2_999)
      expect(told).toBe(0)
      await clock.advance(1)
      await turns()
      expect(told).toBe(1)
      await ending
      expect(silent.closed).toBe(true)
      expect(said()).not.toContain('nack 1')
      receiver.request(1)
      await clock.advance(2_000)
      await turns()
      consumers().at(-1)?.deliver({})
      expect(got).toHaveLength(2)
    },
  )

  it('acknowledges after a cancel that is never answered on no channel, and says so', async () => {
    const { receiver, consumers, got, channel, clock, said } = await receiving({ answerTimeoutMs: 2_000 })
    receiver.request(2)
    await turns()
    consumers()[0]?.deliver({})
    await turns()
    consumers()[1]?.deliver({})
    channel().silence('cancel')
    const [first, second] = got.map((delivery, at) => delivery.settle(at === 0 ? 'retry' : 'ack'))
    const ends = Promise.all([first, second].map((each) => expect(each).rejects.toMatchObject({ code: 'LEASE_LOST' })))
    await turns()
    expect(said()).not.toContain('ack 2')
    await clock.advance(2_000)
    await ends
  })

  it('tells acknowledgements that were given before it ends on its own', async () => {
    const { driver, clock, transport } = make()
    const got: Delivery[] = []
    let acked: Promise<void> | undefined
    const receiver = await transport.receive({ channel: queue }, (delivery) => {
      got.push(delivery)
      if (got.length === 1) return
      acked = got[0]?.settle('ack')
      acked?.catch(() => {})
      throw new Error('a fault of the sink')
    })
    receiver.request(2)
    await turns()
    const [channel] = driver.channels.filter(({ consumers }) => consumers.size > 0)
    channel?.consumers.values().next().value?.deliver({})
    await turns()
    ;[...(channel?.consumers.values() ?? [])].at(-1)?.deliver({})
    await turns()
    await clock.advance(0)
    await expect(receiver.ended).rejects.toMatchObject({ message: expect.stringContaining('a fault of the sink') })
    await expect(acked).resolves.toBeUndefined()
    expect(channel?.said).toContain('ack 1')
    expect(channel?.closed).toBe(true)
  })

  it('in order keeps what is given back in its place, and the others behind it', async () => {
    const { receiver, consumers, got, said, clock } = await receiving({ order: 'channel' })
    receiver.request(2)
    await turns()
    expect(consumers().map(({ limit }) => limit)).toEqual([200])
    for (const body of ['a', 'b', 'c']) consumers()[0]?.deliver({ body: Buffer.from(body) })
    expect(got).toHaveLength(2)
    await got[1]?.settle('retry')
    await got[0]?.settle('retry', { delayMs: 100 })
    receiver.request(3)
    await clock.advance(99)
    expect(got).toHaveLength(2)
    await clock.advance(1)
    await turns()
    expect(got.slice(2).map(({ envelope: { body }, redeliveries }) => `${Buffer.from(body)} ${redeliveries}`)).toEqual([
      'a 1',
      'b 1',
      'c 0',
    ])
    expect(said().some((each) => each.startsWith('nack'))).toBe(false)
  })
})

it('refuses options that make no sense', () => {
  const driver = scriptedDriver()
  for (const options of [
    { order: 'key' },
    { priorities: 0 },
    { priorities: 300 },
    { priorities: 3, order: 'channel' },
    { deliveryLimit: -1 },
    { lease: 1 },
  ])
    expect(() => rabbitmqTransport(driver, options as never)).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTIONS' }),
    )
  expect(rabbitmqTransport(driver, { order: 'channel' }).capabilities).toMatchObject({
    order: 'channel',
    nack: 'block',
  })
  expect(rabbitmqTransport(driver, { priorities: 5 }).capabilities).toMatchObject({ priority: true, waiting: 'leased' })
})
