// What the transport asks of a client of AMQP, on a real server with both clients: answers, confirms, returns, ends, and bytes as they came.
import { randomUUID } from 'node:crypto'
import { fakeClock } from 'fairlead/testing'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { AmqpChannel, AmqpDriver, AmqpMessage, AmqpReturned } from '../../../src/adapters/rabbitmq/driver.ts'
import { amqplibDriver } from '../../../src/adapters/rabbitmq/drivers/amqplib.ts'
import type { AmqplibConnection } from '../../../src/adapters/rabbitmq/drivers/amqplib-types.ts'
import { server } from '../../services/servers.ts'
import { proxyTo } from '../../services/toxiproxy.ts'
import { clientNamed, clients, type Entrance, type Opened } from './clients.ts'

const at = server('rabbitmq')
if (at === undefined) throw new Error('RabbitMQ is not up: test/services/up rabbitmq')

const failureOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (error: unknown) => error,
  )
const transientQueue = { durable: false, exclusive: true, autoDelete: false, arguments: {} }

describe.each(clients)('the driver for $name', ({ open }) => {
  const opened: Opened[] = []
  const driverAt = (entrance: Entrance): AmqpDriver => {
    const made = open(entrance)
    opened.push(made)
    return made.driver
  }
  let driver: AmqpDriver
  let channel: AmqpChannel
  beforeEach(async () => {
    driver = driverAt(at)
    channel = await driver.channel({ confirms: true })
  })
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((each) => each.end()))
  })

  const queue = async (args: Record<string, string | number | boolean> = {}): Promise<string> => {
    const made = await channel.declareQueue(`driver-${randomUUID()}`, { ...transientQueue, arguments: args })
    return made.name
  }
  const publish = (on: AmqpChannel, routingKey: string, body: string, mandatory = true, exchange = ''): Promise<void> =>
    new Promise((resolve, reject) => {
      on.publish(exchange, routingKey, { messageId: body }, Buffer.from(body), mandatory, (error) =>
        error === undefined ? resolve() : reject(error),
      )
    })

  it('hands out bytes and properties as they were written', async () => {
    const name = await queue()
    const properties = {
      contentType: 'application/json',
      contentEncoding: 'gzip',
      headers: { text: 'ä€😀', whole: 7, yes: true, 'cloudEvents:id': 'x' },
      persistent: true,
      priority: 3,
      correlationId: 'c',
      replyTo: 'r',
      messageId: 'm',
      timestamp: 1_700_000_000,
      type: 't',
      appId: 'a',
    }
    const bodies = ['{"a":1}', '', '\0\xff', 'x'.repeat(400_000)].map((text) => Buffer.from(text, 'latin1'))
    for (const body of bodies)
      await new Promise<void>((resolve, reject) =>
        channel.publish('', name, properties, body, true, (error) => (error === undefined ? resolve() : reject(error))),
      )
    for (const body of bodies) {
      const message = (await channel.get(name)) as AmqpMessage
      expect(message).toMatchObject({ redelivered: false, exchange: '', routingKey: name, properties })
      expect(message.body).toBeInstanceOf(Uint8Array)
      expect(Buffer.compare(message.body, body)).toBe(0)
      channel.ack(message.deliveryTag)
    }
    expect(await channel.get(name)).toBeUndefined()
    await new Promise<void>((resolve) => channel.publish('', name, {}, new Uint8Array(), true, () => resolve()))
    const bare = (await channel.get(name)) as AmqpMessage
    expect(bare.properties.persistent).not.toBe(true)
    expect(bare.properties.messageId).toBeUndefined()
    expect(bare.properties.contentType).toBeUndefined()
  })

  it('confirms each once, later, and after its return', async () => {
    const name = await queue()
    const events: string[] = []
    channel.onReturn(({ messageId, replyCode, routingKey }: AmqpReturned) =>
      events.push(`returned ${messageId} ${replyCode} ${routingKey === name}`),
    )
    await new Promise<void>((resolve) => {
      let left = 100
      for (let n = 0; n < 100; n++) {
        let within = true
        const to = n % 10 === 3 ? 'nowhere' : name
        channel.publish('', to, { messageId: String(n) }, Buffer.from('x'), true, (error) => {
          expect(within).toBe(false)
          expect(error).toBeUndefined()
          events.push(`confirmed ${n}`)
          if (--left === 0) resolve()
        })
        within = false
      }
    })
    for (let n = 0; n < 100; n++) {
      expect(events.filter((event) => event === `confirmed ${n}`)).toHaveLength(1)
      const returned = events.indexOf(`returned ${n} 312 false`)
      if (n % 10 === 3) expect(returned).toBeGreaterThanOrEqual(0)
      expect(returned).toBeLessThan(events.indexOf(`confirmed ${n}`))
    }
    expect((await channel.checkQueue(name)).messages).toBe(90)
  })

  it('tells a nack from what is unknown', async () => {
    const name = await queue({ 'x-max-length': 1, 'x-overflow': 'reject-publish' })
    await publish(channel, name, 'first')
    // The limit of a classic queue is looked at after the message that exceeds it.
    let error: unknown
    for (let tries = 0; error === undefined && tries < 20; tries++)
      error = await failureOf(publish(channel, name, 'more'))
    expect(error).toMatchObject({ code: 'UNAVAILABLE', effect: 'none' })
    await channel.prefetch(1)
  })

  it('says what was refused, ends the channel, and goes on with another', async () => {
    const name = await queue()
    const cases: readonly (readonly [(on: AmqpChannel) => Promise<unknown>, string])[] = [
      [(on) => on.checkQueue('driver-nowhere'), 'CHANNEL_NOT_FOUND'],
      [(on) => on.checkExchange('driver-nowhere'), 'CHANNEL_NOT_FOUND'],
      [(on) => on.bindQueue(name, 'driver-nowhere', ''), 'CHANNEL_NOT_FOUND'],
      [
        (on) =>
          on.consume(
            'driver-nowhere',
            'c',
            () => undefined,
            () => undefined,
          ),
        'CHANNEL_NOT_FOUND',
      ],
      [(on) => on.declareQueue(name, { ...transientQueue, arguments: { 'x-max-length': 9 } }), 'INCOMPATIBLE'],
      [(on) => on.declareQueue('amq.refused', transientQueue), 'FORBIDDEN'],
    ]
    for (const [work, code] of cases) {
      const other = await driver.channel()
      const ends: Error[] = []
      other.onClosed((error) => ends.push(error))
      expect(await failureOf(work(other))).toMatchObject({ code, effect: 'none' })
      await expect.poll(() => ends).toHaveLength(1)
      expect(ends[0]).toMatchObject({ code })
      // Late, nothing hangs and nothing throws.
      other.ack(1)
      other.nack(1, true)
      expect(await failureOf(other.checkQueue(name))).toMatchObject({ effect: 'none' })
      const late: Error[] = []
      other.onClosed((error) => late.push(error))
      await expect.poll(() => late).toHaveLength(1)
      await other.close()
    }
    const elsewhere = await driverAt(at).channel()
    expect(await failureOf(elsewhere.checkQueue(name))).toMatchObject({ code: 'CONFLICT', effect: 'none' })
    await publish(channel, name, 'still here')
  })

  it('answers what was unconfirmed as unknown when the channel ends', async () => {
    const name = await queue()
    const results = await Promise.allSettled([
      publish(channel, name, '1'),
      publish(channel, '', '2', true, 'driver-nowhere'),
      publish(channel, name, '3'),
    ])
    const [, second, third] = results as PromiseRejectedResult[]
    expect(second).toMatchObject({ status: 'rejected', reason: { code: 'CHANNEL_NOT_FOUND' } })
    expect(third).toMatchObject({ status: 'rejected', reason: { effect: 'unknown' } })
    const late = await failureOf(publish(channel, name, '4'))
    expect(late).toMatchObject({ effect: expect.stringMatching(/^(none|unknown)$/) })
  })

  it('tells its end also to who publishes again at once, whatever comes of it', async () => {
    const other = await driver.channel({ confirms: true })
    let told = false
    other.onClosed(() => {
      told = true
    })
    let left = 10_000
    const again = (): void => {
      if (told || left-- === 0) return
      other.publish('driver-nowhere', '', {}, Buffer.from('x'), true, again)
    }
    again()
    await expect.poll(() => told || left <= 0).toBe(true)
    expect(left).toBeGreaterThan(0)
    expect(told).toBe(true)
  })

  it('consumes within its prefetch, acknowledges one or all before, gives back and dead-letters', async () => {
    const dead = await queue()
    const name = await queue({ 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': dead })
    for (const body of ['0', '1', '2', '3', '4']) await publish(channel, name, body)
    const got: AmqpMessage[] = []
    const consumer = await driver.channel()
    await consumer.prefetch(3)
    await consumer.consume(
      name,
      'tag',
      (message) => got.push(message),
      () => undefined,
    )
    await expect.poll(() => got.length).toBe(3)
    consumer.ack((got[1] as AmqpMessage).deliveryTag, true)
    await expect.poll(() => got.length).toBe(5)
    consumer.nack((got[2] as AmqpMessage).deliveryTag, false)
    await expect.poll(async () => (await channel.checkQueue(dead)).messages).toBe(1)
    await consumer.cancel('tag')
    consumer.nack((got[4] as AmqpMessage).deliveryTag, true)
    await expect.poll(async () => (await channel.checkQueue(name)).messages).toBe(1)
    // What is unacknowledged goes back with the channel.
    await consumer.close()
    await expect.poll(async () => (await channel.checkQueue(name)).messages).toBe(2)
    const back = [(await channel.get(name)) as AmqpMessage, (await channel.get(name)) as AmqpMessage]
    expect(back.map(({ body, redelivered }) => `${Buffer.from(body)} ${redelivered}`)).toEqual(['3 true', '4 true'])
  })

  it('hears that the queue under a consumer was deleted', async () => {
    const name = await queue()
    let cancelled = 0
    await channel.consume(
      name,
      'tag',
      () => undefined,
      () => cancelled++,
    )
    await channel.deleteQueue(name)
    await expect.poll(() => cancelled).toBe(1)
    await channel.deleteQueue(name)
  })

  it('makes exchanges that feed queues', async () => {
    const exchange = `driver-${randomUUID()}`
    await channel.declareExchange(exchange, 'fanout', { durable: false, autoDelete: false, arguments: {} })
    const name = await queue()
    await channel.bindQueue(name, exchange, '')
    await publish(channel, 'any', 'hello', true, exchange)
    expect((await channel.checkQueue(name)).messages).toBe(1)
    await channel.checkExchange(exchange)
    await channel.deleteExchange(exchange)
    expect(await failureOf(channel.checkExchange(exchange))).toMatchObject({ code: 'CHANNEL_NOT_FOUND' })
  })

  it('says nothing of a channel that it closed itself', async () => {
    const other = await driver.channel()
    let told = 0
    other.onClosed(() => told++)
    await other.close()
    await other.close()
    other.onClosed(() => told++)
    await channel.prefetch(1)
    expect(told).toBe(0)
    expect(await failureOf(other.prefetch(1))).toMatchObject({ effect: expect.stringMatching(/^(none|unknown)$/) })
  })

  it('knows who may not come in, and where nobody is', async () => {
    const refusals: readonly (readonly [Entrance, readonly string[]])[] = [
      [{ ...at, password: 'wrong' }, ['UNAUTHENTICATED']],
      // amqplib keeps to itself what the broker says of a virtual host.
      [{ ...at, vhost: 'nowhere' }, ['NOT_FOUND', 'FORBIDDEN']],
      [{ ...at, port: 9 }, ['CONNECTION_REFUSED']],
    ]
    for (const [entrance, codes] of refusals) {
      const error = (await failureOf(driverAt(entrance).channel())) as { code: string }
      expect(error).toMatchObject({ effect: 'none' })
      expect(codes).toContain(error.code)
    }
  })

  it('goes on after its connection was lost, and tells what was under way', async () => {
    const proxy = await proxyTo(at)
    try {
      const through = driverAt(proxy)
      const one = await through.channel({ confirms: true })
      const name = (await one.declareQueue('', { ...transientQueue, exclusive: false, autoDelete: false })).name
      await publish(one, name, 'before')
      const ends: Error[] = []
      one.onClosed((error) => ends.push(error))
      // Swallowed, so that it is under way when the connection goes.
      await proxy.toxic('timeout', { timeout: 0 }, 'upstream')
      const under = failureOf(publish(one, name, 'under way'))
      const asked = failureOf(one.checkQueue(name))
      await proxy.refuse()
      expect(await under).toMatchObject({ code: 'CONNECTION_LOST', effect: 'unknown' })
      expect(await asked).toMatchObject({ code: 'CONNECTION_LOST' })
      await expect.poll(() => ends).toHaveLength(1)
      expect(ends[0]).toMatchObject({ code: 'CONNECTION_LOST' })
      await one.close()
      await proxy.mend()
      let again: AmqpChannel | undefined
      await expect
        .poll(
          async () => {
            again = await through.channel({ confirms: true }).catch(() => undefined)
            return again !== undefined
          },
          { timeout: 30_000 },
        )
        .toBe(true)
      await publish(again as AmqpChannel, name, 'after')
      await again?.deleteQueue(name)
    } finally {
      await proxy.remove()
    }
  })

  it('finds a connection that fell silent by its heartbeat, and closes in silence', async () => {
    const proxy = await proxyTo(at)
    try {
      const through = driverAt({ ...proxy, heartbeat: 1 })
      const one = await through.channel()
      const ends: Error[] = []
      one.onClosed((error) => ends.push(error))
      await proxy.toxic('timeout', { timeout: 0 }, 'upstream')
      await proxy.toxic('timeout', { timeout: 0 }, 'downstream')
      await expect.poll(() => ends.length, { timeout: 30_000 }).toBe(1)
      expect(ends[0]).toMatchObject({ code: 'CONNECTION_LOST' })
      await proxy.mend()
      await expect
        .poll(
          () =>
            through.channel().then(
              () => true,
              () => false,
            ),
          { timeout: 30_000 },
        )
        .toBe(true)
      const two = await through.channel()
      await proxy.toxic('timeout', { timeout: 0 }, 'downstream')
      const asked = failureOf(two.prefetch(1))
      await through.close()
      expect(await asked).toMatchObject({ effect: expect.stringMatching(/^(none|unknown)$/) })
    } finally {
      await proxy.remove()
    }
  })

  it('is closed for good', async () => {
    await driver.close()
    await driver.close()
    expect(await failureOf(driver.channel())).toMatchObject({ code: 'SHUTDOWN', effect: 'none' })
    await channel.close()
  })
})

describe('the driver for amqplib alone', () => {
  const { open } = clientNamed('amqplib')
  const opened: Opened[] = []
  const driverOf = (): AmqpDriver => {
    const made = open(at)
    opened.push(made)
    return made.driver
  }
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((each) => each.end()))
  })

  it('does not send what cannot be written, and the channel goes on', async () => {
    const channel = await driverOf().channel({ confirms: true })
    const { name } = await channel.declareQueue('', transientQueue)
    const confirm = (messageId: string): Promise<void> =>
      new Promise((resolve, reject) =>
        channel.publish('', name, { messageId }, Buffer.from('x'), true, (error) =>
          error === undefined ? resolve() : reject(error),
        ),
      )
    expect(await failureOf(confirm('x'.repeat(300)))).toMatchObject({ code: 'INVALID_REQUEST', effect: 'none' })
    await confirm('fine')
    expect((await channel.checkQueue(name)).messages).toBe(1)
  })
  it('gives up a connection that is accepted and stays silent, and closes it if it comes after all', async () => {
    const clock = fakeClock()
    let come: (connection: AmqplibConnection) => void = () => undefined
    let tries = 0
    const driver = amqplibDriver(
      () => {
        tries++
        return new Promise<AmqplibConnection>((resolve) => {
          come = resolve
        })
      },
      { connectWithinMs: 700, clock },
    )
    const both = [failureOf(driver.channel()), failureOf(driver.channel())]
    await clock.advance(699)
    await clock.advance(1)
    for (const error of await Promise.all(both))
      expect(error).toMatchObject({ code: 'CONNECT_TIMEOUT', effect: 'none' })
    expect(tries).toBe(1)
    let closed = 0
    const late = { on: () => undefined, close: async () => void closed++ } as unknown as AmqplibConnection
    come(late)
    await clock.advance(0)
    expect(closed).toBe(1)
    // So is one that comes after the driver was closed.
    const pending = failureOf(driver.channel())
    await clock.advance(0)
    await driver.close()
    come(late)
    await clock.advance(0)
    expect(await pending).toMatchObject({ code: 'SHUTDOWN', effect: 'none' })
    expect(closed).toBe(2)
  })
  it('shares one connection among all who ask at once', async () => {
    const driver = driverOf()
    const channels = await Promise.all(Array.from({ length: 5 }, () => driver.channel()))
    const { name } = await (channels[0] as AmqpChannel).declareQueue('', transientQueue)
    // Exclusive to the connection: another one would be refused.
    for (const each of channels) expect((await each.checkQueue(name)).name).toBe(name)
  })
  it('refuses options that make no sense', () => {
    expect(() => amqplibDriver(async () => undefined as never, { connectWithinMs: 0 })).toThrow(/connectWithinMs/)
    expect(() => amqplibDriver(async () => undefined as never, { wait: 1 } as never)).toThrow(/no such option/)
  })
})
