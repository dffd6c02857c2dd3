// Every way in which a real RabbitMQ fails us, and what is said of it with either client: code, and what the broker did. Nothing may be unclassified.
import { createServer } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { MessageTransport } from '../../../src/core/contracts/transport.ts'
import type { ChannelAddress } from '../../../src/core/message.ts'
import { freePort } from '../../services/free-port.ts'
import { type RabbitmqInstance, startRabbitmq } from '../../services/rabbitmq-instance.ts'
import { proxyTo } from '../../services/toxiproxy.ts'
import { clients, type Entrance } from './clients.ts'
import {
  type Bench,
  benchOf,
  collect,
  context,
  envelope,
  failureOf,
  ids,
  persist,
  sendAll,
  sendFailure,
} from './own.ts'

const plain = { durable: true, exclusive: false, autoDelete: false, arguments: {} }
const LARGEST = 200_000

describe.each(clients)('faults of a real server, over $name', (client) => {
  let instance: RabbitmqInstance
  let bench: Bench
  beforeAll(async () => {
    instance = await startRabbitmq({
      config: ['consumer_timeout = 3000', `max_message_size = ${LARGEST}`],
      // How often the broker looks for deliveries that are held for too long; a minute by default.
      terms: { channel_tick_interval: '500' },
    })
    await instance.control('add_user', 'app', 'app')
  }, 300_000)
  beforeEach(() => {
    bench = benchOf(client)
  })
  afterEach(() => bench.end())
  afterAll(() => instance.remove())

  const made = async (by: MessageTransport, kind: 'queue' | 'topic' = 'queue'): Promise<ChannelAddress> => {
    const channel = bench.name(kind)
    await by.prepare([kind === 'topic' ? { ...channel, group: 'g' } : channel], 'create')
    return channel
  }

  /** All that a transport does is refused in the same words. */
  const refused = async (entrance: Entrance, codes: readonly string[]): Promise<void> => {
    const transport = bench.transport({ ...entrance, connectMs: 4_000 })
    const channel = bench.name()
    const failures = await Promise.all([
      sendFailure(transport.send(channel, [envelope('x')], context(20_000))),
      failureOf(transport.prepare([channel], 'create')),
      failureOf(transport.prepare([channel], 'check')),
      failureOf(transport.receive({ channel }, () => undefined)),
      failureOf(transport.receive({ channel, temporary: true }, () => undefined)),
    ])
    for (const failure of failures) {
      expect(failure).toMatchObject({ effect: 'none', transport: 'rabbitmq' })
      expect(codes).toContain(failure.code)
    }
  }

  describe('at the door', () => {
    it('who gives a wrong password', () => refused({ ...instance, password: 'wrong' }, ['UNAUTHENTICATED']))
    // amqplib keeps to itself what the broker says of a virtual host.
    it('a virtual host that is not there', () => refused({ ...instance, vhost: 'nowhere' }, ['NOT_FOUND', 'FORBIDDEN']))
    it('a virtual host that this user may not enter', () =>
      refused({ ...instance, user: 'app', password: 'app' }, ['FORBIDDEN']))
    it('nobody listens', async () => refused({ host: '127.0.0.1', port: await freePort() }, ['CONNECTION_REFUSED']))
    it('something that does not speak AMQP, and something that says nothing', async () => {
      // rabbitmq-client takes the first bytes for the size of a frame, and throws where nobody can catch it: that is told in the guide.
      const http = client.name === 'amqplib' ? ['HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n'] : []
      const sockets = new Set<import('node:net').Socket>()
      for (const says of [...http, undefined]) {
        const other = createServer((socket) => {
          sockets.add(socket)
          socket.on('error', () => undefined)
          if (says !== undefined) socket.write(says)
        })
        await new Promise<void>((ready) => other.listen(0, '127.0.0.1', ready))
        const { port } = other.address() as import('node:net').AddressInfo
        const transport = bench.transport({ host: '127.0.0.1', port })
        const failure = await sendFailure(transport.send(bench.name(), [envelope('x')], context(20_000)))
        expect(failure).toMatchObject({ effect: 'none' })
        for (const socket of sockets) socket.destroy()
        await new Promise((closed) => other.close(closed))
      }
    })
  })

  describe('rights', () => {
    const vhost = `rights-${client.name}`
    const allow = (configure: string, write: string, read: string): Promise<string> =>
      instance.control('set_permissions', '-p', vhost, 'app', configure, write, read)
    let app: Entrance
    let root: MessageTransport
    beforeAll(async () => {
      await instance.control('add_vhost', vhost)
      await instance.control('set_permissions', '-p', vhost, 'guest', '.*', '.*', '.*')
    })
    beforeEach(() => {
      app = { ...instance, vhost, user: 'app', password: 'app' }
      root = bench.transport({ ...instance, vhost })
    })

    it('may not make anything', async () => {
      await allow('^$', '.*', '.*')
      const transport = bench.transport(app)
      const channel = bench.name()
      expect(await failureOf(transport.prepare([channel], 'create'))).toMatchObject({
        code: 'FORBIDDEN',
        effect: 'none',
      })
      expect(await failureOf(transport.prepare([{ kind: 'topic', name: 't' }], 'create'))).toMatchObject({
        code: 'FORBIDDEN',
        effect: 'none',
      })
    })
    it('may not send; once it may, it can', async () => {
      const queue = await made(root)
      const topic = await made(root, 'topic')
      await allow('.*', '^$', '.*')
      const transport = bench.transport(app)
      for (const channel of [queue, topic]) {
        const failure = await sendFailure(transport.send(channel, [envelope('no')], context()))
        expect(failure).toMatchObject({ code: 'FORBIDDEN', effect: 'none' })
        const failures = await transport.send(channel, [envelope('1'), envelope('2'), envelope('3')], context())
        for (const each of failures) expect(each).toMatchObject({ status: 'failed' })
      }
      await allow('.*', '.*', '.*')
      await sendAll(transport, queue, [envelope('yes')])
      const { got } = await collect(root, { channel: queue }, 10)
      await expect.poll(() => ids(got)).toEqual(['yes'])
    })
    it('may not receive', async () => {
      const queue = await made(root)
      await allow('.*', '.*', '^$')
      const transport = bench.transport(app)
      // At the latest when something is asked for.
      const failure = await failureOf(
        transport
          .receive({ channel: queue }, () => undefined)
          .then((receiver) => {
            receiver.request(1)
            return receiver.ended
          }),
      )
      expect(failure).toMatchObject({ code: 'FORBIDDEN', effect: 'none' })
    })
  })

  describe('what it does not take', () => {
    it('a message for a queue or topic that is not there', async () => {
      const transport = bench.transport(instance)
      for (const channel of [bench.name(), bench.name('topic')]) {
        const failure = await sendFailure(transport.send(channel, [envelope('x')], context()))
        expect(['UNROUTABLE', 'CHANNEL_NOT_FOUND']).toContain(failure.code)
        expect(failure.effect).toBe('none')
        const check = await failureOf(transport.prepare([channel], 'check'))
        expect(check).toMatchObject({ code: 'CHANNEL_NOT_FOUND', effect: 'none' })
        expect(check.message).toContain(channel.name)
        const inspecting = transport.inspect?.({ channel, group: channel.kind === 'topic' ? 'g' : undefined })
        expect(await failureOf(inspecting as Promise<unknown>)).toMatchObject({ code: 'CHANNEL_NOT_FOUND' })
      }
    })
    it('too large for us, and for the broker alone', async () => {
      const ours = bench.transport(instance, { maxPayloadBytes: 1_000 })
      const channel = await made(ours)
      const large = envelope('large', { body: Buffer.alloc(LARGEST + 1) })
      expect(await sendFailure(ours.send(channel, [large], context()))).toMatchObject({
        code: 'PAYLOAD_TOO_LARGE',
        effect: 'none',
      })
      const theirs = bench.transport(instance)
      const failure = await sendFailure(theirs.send(channel, [large], context()))
      expect(failure).toMatchObject({ code: 'PAYLOAD_TOO_LARGE', effect: 'none' })
      await sendAll(theirs, channel, [envelope('fine')])
    })
    it('more than a queue may hold', async () => {
      const transport = bench.transport(instance)
      const channel = await made(transport)
      const definition = JSON.stringify({ 'max-length': 2, overflow: 'reject-publish' })
      await instance.control('set_policy', 'small', `^${channel.name}$`, definition, '--apply-to', 'queues')
      let failure: unknown
      for (let n = 0; failure === undefined && n < 50; n++) {
        const [verdict] = await transport.send(channel, [envelope(String(n))], context())
        if (verdict?.status === 'failed') failure = verdict.error
      }
      expect(failure).toMatchObject({ code: 'UNAVAILABLE', effect: 'none', retryable: true })
      const { got } = await collect(transport, { channel }, 10, (delivery) => {
        delivery.settle('ack').catch(() => undefined)
      })
      await persist(transport, channel, envelope('again'))
      await expect.poll(() => ids(got)).toContain('again')
      await instance.control('clear_policy', 'small')
    })
    it('a queue that is there and is another', async () => {
      const driver = bench.driver(instance)
      const other = await driver.channel()
      const channel = bench.name()
      await other.declareQueue(channel.name, plain)
      const failure = await failureOf(bench.transport(instance).prepare([channel], 'create'))
      expect(failure).toMatchObject({ code: 'INCOMPATIBLE', effect: 'none' })
      expect(failure.message).toContain(channel.name)
    })
    it('a queue that somebody else has for himself', async () => {
      const other = await bench.driver(instance).channel()
      const channel = bench.name()
      await other.declareQueue(channel.name, { ...plain, durable: false, exclusive: true })
      const transport = bench.transport(instance)
      const failures = [
        await failureOf(transport.prepare([channel], 'create')),
        await failureOf(transport.receive({ channel }, () => undefined)),
      ]
      for (const failure of failures) expect(failure).toMatchObject({ code: 'CONFLICT', effect: 'none' })
    })
  })

  describe('while it is consumed', () => {
    it('a queue that is deleted', async () => {
      const transport = bench.transport(instance)
      const channel = await made(transport)
      const { receiver, got } = await collect(transport, { channel }, 1)
      await sendAll(transport, channel, [envelope('held')])
      await expect.poll(() => got.length).toBe(1)
      await (await bench.driver(instance).channel()).deleteQueue(channel.name)
      expect(await failureOf(receiver.ended)).toMatchObject({ code: 'CHANNEL_NOT_FOUND', effect: 'none' })
      await got[0]?.settle('ack').catch((error: unknown) => expect(error).toMatchObject({ code: 'LEASE_LOST' }))
    })
    it('a message that is held for too long', async () => {
      const transport = bench.transport(instance)
      const channel = await made(transport)
      const { receiver, got } = await collect(transport, { channel }, 1)
      await sendAll(transport, channel, [envelope('slow')])
      await expect.poll(() => got.length).toBe(1)
      let lost = 0
      got[0]?.onLost(() => lost++)
      await expect.poll(() => lost, { timeout: 15_000 }).toBe(1)
      expect(await failureOf(got[0]?.settle('ack') as Promise<void>)).toMatchObject({ code: 'LEASE_LOST' })
      // The subscription goes on, or says why it does not.
      receiver.request(1)
      const end = await Promise.race([
        receiver.ended.then(
          () => undefined,
          (error: unknown) => error,
        ),
        expect.poll(() => got.length, { timeout: 15_000 }).toBe(2),
      ])
      if (end !== undefined && got.length < 2) expect(end).toMatchObject({ transient: true })
      else await got[1]?.settle('ack')
    })
    it('an operator who closes the connections', async () => {
      const transport = bench.transport(instance)
      const channel = await made(transport)
      const { got } = await collect(transport, { channel }, 10, (delivery) => {
        delivery.settle('ack').catch(() => undefined)
      })
      await sendAll(transport, channel, [envelope('before')])
      await expect.poll(() => ids(got)).toContain('before')
      await instance.control('close_all_connections', 'test')
      await persist(transport, channel, envelope('after'))
      await expect
        .poll(
          async () => {
            const { waiting } = (await transport.inspect?.({ channel }).catch(() => undefined)) ?? { waiting: -1 }
            return waiting === 0 || ids(got).includes('after')
          },
          { timeout: 15_000 },
        )
        .toBe(true)
    })
  })

  describe('alarms', () => {
    const alarms: readonly (readonly [string, readonly string[], readonly string[]])[] = [
      ['memory', ['set_vm_memory_high_watermark', '0.00001'], ['set_vm_memory_high_watermark', '0.4']],
      ['disk', ['set_disk_free_limit', '100000GB'], ['set_disk_free_limit', '50MB']],
    ]
    // The broker blocks a connection when it publishes: that message may still be taken, or not be answered. The transport says once it knows.
    const heldBack = async (by: MessageTransport, channel: ChannelAddress): Promise<void> => {
      // Looked at afterwards: what fails within a poll is only polled again.
      const errors: Error[] = []
      await expect
        .poll(async () => {
          const [first] = await by.send(channel, [envelope('first')], context(1_500))
          if (first?.status === 'failed') errors.push(first.error as Error)
          return errors.at(-1)?.message
        })
        .toMatch(/memory or disk alarm/)
      for (const error of errors) expect(error).toMatchObject({ code: 'DEADLINE_EXCEEDED' })
      // It was written; those that come once it is known are not.
      expect(errors[0]).toMatchObject({ effect: 'unknown' })
    }
    it.each(alarms)(
      'of %s hold sends back, and let them go on',
      async (_, on, off) => {
        const transport = bench.transport(instance)
        const channel = await made(transport)
        const reader = bench.transport(instance)
        const { got } = await collect(reader, { channel }, 1_000, (delivery) => {
          delivery.settle('ack').catch(() => undefined)
        })
        await sendAll(transport, channel, [envelope('before')])
        await instance.control(...on)
        try {
          await heldBack(transport, channel)
          const failure = await sendFailure(transport.send(channel, [envelope('held back')], context(1_000)))
          expect(failure.effect).toBe('none')
          expect(failure).toMatchObject({ transient: true })
          const waiting = transport.send(channel, [envelope('waited')], context(25_000))
          // Whoever only reads is not blocked.
          await expect.poll(() => ids(got)).toContain('before')
          await instance.control(...off)
          expect(await waiting).toEqual([{ status: 'accepted' }])
        } finally {
          await instance.control(...off)
        }
        await expect.poll(() => ids(got)).toContain('waited')
        expect(ids(got)).not.toContain('held back')
      },
      300_000,
    )
    it('close while blocked', async () => {
      const transport = bench.transport(instance)
      const channel = await made(transport)
      await instance.control('set_disk_free_limit', '100000GB')
      try {
        await heldBack(transport, channel)
        const waiting = transport.send(channel, [envelope('waits')], context(60_000))
        await transport.close()
        const failure = await sendFailure(waiting)
        expect(failure).toMatchObject({ code: 'SHUTDOWN' })
      } finally {
        await instance.control('set_disk_free_limit', '50MB')
      }
    })
  })

  describe('when the server goes', () => {
    afterEach(() => instance.start())

    it.each(['fast', 'kill'] as const)(
      'by %s: says so, refuses, and goes on after it',
      async (mode) => {
        const proxy = await proxyTo(instance)
        try {
          const transport = bench.transport(proxy)
          const channel = await made(transport)
          const { got } = await collect(transport, { channel }, 1)
          await sendAll(transport, channel, [envelope('held')])
          await expect.poll(() => got.length).toBe(1)
          let lost = 0
          got[0]?.onLost(() => lost++)
          // Its confirm is swallowed: it is under way when the server goes.
          await proxy.toxic('timeout', { timeout: 0 }, 'downstream')
          const underWay = transport.send(channel, [envelope('under way')], context(25_000))
          await expect
            .poll(
              async () => (await instance.control('list_queues', 'name', 'messages')).includes(`${channel.name}\t2`),
              {
                timeout: 15_000,
              },
            )
            .toBe(true)
          await instance.remember()
          await instance.stop(mode)
          await proxy.refuse()
          const failure = await sendFailure(underWay)
          expect(failure).toMatchObject({ code: 'CONNECTION_LOST', effect: 'unknown', transient: true })
          await expect.poll(() => lost).toBe(1)
          expect(await failureOf(got[0]?.settle('ack') as Promise<void>)).toMatchObject({ code: 'LEASE_LOST' })
          const refusal = await sendFailure(transport.send(channel, [envelope('no')], context(3_000)))
          expect(refusal.effect).toBe('none')
          expect(['CONNECTION_REFUSED', 'CONNECTION_LOST', 'CONNECT_TIMEOUT', 'DEADLINE_EXCEEDED']).toContain(
            refusal.code,
          )
          await instance.start()
          await proxy.mend()
          await persist(transport, channel, envelope('after'))
        } finally {
          await proxy.remove()
        }
      },
      300_000,
    )

    it('silently: a send ends with its deadline, unknown once it has left', async () => {
      const proxy = await proxyTo(instance)
      try {
        const transport = bench.transport({ ...proxy, heartbeat: 4 })
        const channel = await made(transport)
        await sendAll(transport, channel, [envelope('before')])
        await proxy.toxic('timeout', { timeout: 0 }, 'upstream')
        await proxy.toxic('timeout', { timeout: 0 }, 'downstream')
        const failure = await sendFailure(transport.send(channel, [envelope('silence')], context(500)))
        expect(failure).toMatchObject({ code: 'DEADLINE_EXCEEDED', effect: 'unknown' })
        const long = await sendFailure(transport.send(channel, [envelope('long')], context(20_000)))
        expect(long.effect).toMatch(/^(none|unknown)$/)
        await proxy.mend()
        await persist(transport, channel, envelope('after'))
      } finally {
        await proxy.remove()
      }
    }, 300_000)
  })
})
