// The wire against programs that know nothing of us: Python's pika, both clients of Node bare, and the SDK of the CloudEvents project read what we wrote
// and write what we read.
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { connect } from 'amqplib'
import { CloudEvent, HTTP } from 'cloudevents'
import { queue, topic as topicOf } from 'fairlead'
import { createPublisher, decodeMessage } from 'fairlead/messaging'
import { Connection } from 'rabbitmq-client'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import type { Delivery, MessageTransport } from '../../../src/core/contracts/transport.ts'
import type { ChannelAddress } from '../../../src/core/message.ts'
import { server } from '../../services/servers.ts'
import { clients } from './clients.ts'
import { type Bench, benchOf, collect } from './own.ts'

const at = server('rabbitmq')
if (at === undefined) throw new Error('RabbitMQ is not up: test/services/up rabbitmq')
const url = `amqp://guest:guest@${at.host}:${at.port}/%2f`

interface Foreign {
  readonly properties: Readonly<Record<string, unknown>> & { readonly headers?: Readonly<Record<string, unknown>> }
  readonly body: string
}

const pika = (verb: 'put' | 'take', request: object): Promise<readonly Foreign[]> =>
  new Promise((resolve, reject) => {
    const script = fileURLToPath(new URL('foreign.py', import.meta.url))
    const child = execFile('/usr/bin/python3', [script, verb, url], (error, stdout, stderr) => {
      if (error === null) resolve(JSON.parse(stdout) as Foreign[])
      else reject(new Error(`pika: ${stderr}`, { cause: error }))
    })
    child.stdin?.end(JSON.stringify(request))
  })

const types = { 'order.placed': z.object({ orderId: z.string(), note: z.string() }) }
const data = { orderId: 'o-1', note: 'grüße €' }
const message = {
  type: 'order.placed',
  data,
  key: 'o-1',
  subject: 'orders/o-1',
  correlationId: 'c-1',
  headers: { tenant: 'acme', 'x-odd': 'ä' },
} as const
const base64 = (value: string | object): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64')

/** The attributes of the event, as the binding of CloudEvents to AMQP names them. */
const eventOf = ({ properties, body }: Foreign): CloudEvent<unknown> => {
  const attributes: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(properties.headers ?? {}))
    if (name.startsWith('cloudEvents:')) attributes[name.slice('cloudEvents:'.length)] = value
  return new CloudEvent({
    ...attributes,
    datacontenttype: properties['content_type'] as string,
    data: JSON.parse(Buffer.from(body, 'base64').toString()),
  })
}

describe.each(clients)('foreign programs and our wire, over $name', (client) => {
  let bench: Bench
  let transport: MessageTransport
  let channel: ChannelAddress
  beforeEach(async () => {
    bench = benchOf(client)
    transport = bench.transport(at)
    channel = bench.name()
    await transport.prepare([channel], 'create')
  })
  afterEach(async () => {
    const admin = await bench.driver(at).channel()
    await admin.deleteQueue(channel.name)
    await admin.deleteQueue(`${channel.name}.dead`)
    await bench.end()
  })
  const publish = async (): Promise<void> => {
    await createPublisher({ transport, source: '/shop' }).publish(queue(channel.name, types), message)
  }
  const one = async (): Promise<Delivery> => {
    const { receiver, got } = await collect(transport, { channel }, 1)
    await expect.poll(() => got.length, { timeout: 10_000 }).toBe(1)
    const delivery = got[0] as Delivery
    await delivery.settle('ack')
    await receiver.close()
    return delivery
  }
  const decoded = async (): Promise<object> => decodeMessage(queue(channel.name, types), (await one()).envelope)

  it('pika reads what we write, and the SDK finds an event in it', async () => {
    await publish()
    const [taken] = await pika('take', { queue: channel.name, count: 1 })
    expect(taken?.properties).toMatchObject({
      content_type: 'application/json',
      delivery_mode: 2,
      type: 'order.placed',
    })
    expect(taken?.properties.headers).toMatchObject({ 'x-message-tenant': 'acme', 'x-message-x-odd': 'ä' })
    const event = eventOf(taken as Foreign)
    expect(event.validate()).toBe(true)
    expect(event).toMatchObject({
      specversion: '1.0',
      source: '/shop',
      type: 'order.placed',
      subject: 'orders/o-1',
      partitionkey: 'o-1',
      correlationid: 'c-1',
      data,
    })
    expect(event.id).toBe(taken?.properties['message_id'])
  })

  it('bare clients of Node read what we write', async () => {
    await publish()
    const bare = await connect(url)
    const amqp = await bare.createChannel()
    const raw = await amqp.get(channel.name, {})
    expect(raw === false ? undefined : JSON.parse(raw.content.toString())).toEqual(data)
    expect(raw).toMatchObject({ properties: { headers: { 'cloudEvents:type': 'order.placed' } } })
    await bare.close()
    const other = new Connection(url)
    const got = await other.basicGet({ queue: channel.name })
    expect(JSON.parse(String(got?.body))).toEqual(data)
    expect(got).toMatchObject({ headers: { 'cloudEvents:type': 'order.placed' }, durable: true })
    await other.close()
  })

  it('we read what pika writes: binary, by either prefix; structured by the SDK; by its properties alone', async () => {
    const headers = {
      specversion: '1.0',
      id: 'e-1',
      source: '/py',
      type: 'order.placed',
      subject: 's',
      partitionkey: 'k',
    }
    const prefixed = (prefix: string): object =>
      Object.fromEntries(Object.entries(headers).map(([name, value]) => [prefix + name, value]))
    const event = new CloudEvent({
      id: 'e-2',
      source: '/py',
      type: 'order.placed',
      partitionkey: 'k',
      subject: 's',
      data,
    })
    const structured = HTTP.structured(event)
    const json = { content_type: 'application/json' }
    await pika('put', {
      exchange: '',
      routingKey: channel.name,
      messages: [
        { properties: { ...json, headers: prefixed('cloudEvents:') }, body: base64(data) },
        {
          properties: { ...json, headers: { ...prefixed('cloudEvents_'), 'x-message-Tenant': 'acme' } },
          body: base64(data),
        },
        { properties: { content_type: structured.headers['content-type'] }, body: base64(String(structured.body)) },
        {
          properties: { ...json, type: 'order.placed', message_id: 'm-4', app_id: '/py', headers: { n: 7 } },
          body: base64(data),
        },
      ],
    })
    expect(await decoded()).toMatchObject({ id: 'e-1', source: '/py', subject: 's', key: 'k', data })
    expect(await decoded()).toMatchObject({ id: 'e-1', key: 'k', headers: { tenant: 'acme' }, data })
    expect(await decoded()).toMatchObject({ id: 'e-2', source: '/py', subject: 's', key: 'k', data })
    expect(await decoded()).toMatchObject({ id: 'm-4', source: '/py', data })
  })

  it('hands out also what is no event, so that it can be given up', async () => {
    await pika('put', { exchange: '', routingKey: channel.name, messages: [{ body: base64('\0 not an event') }] })
    const { receiver, got } = await collect(transport, { channel }, 1)
    await expect.poll(() => got.length, { timeout: 10_000 }).toBe(1)
    const { envelope } = got[0] as Delivery
    expect(Buffer.from(envelope.body).toString()).toBe('\0 not an event')
    expect(() => decodeMessage(queue(channel.name, types), envelope)).toThrow(
      expect.objectContaining({ code: 'MESSAGE_UNDECODABLE' }),
    )
    await got[0]?.settle('dead', { reason: 'no event' })
    await receiver.close()
    const dead: string[] = []
    for await (const letter of transport.deadLetters?.list(channel, { limit: 10 }) ?? []) dead.push(letter.reason)
    expect(dead).toEqual(['no event'])
    const [taken] = await pika('take', { queue: `${channel.name}.dead`, count: 1 })
    expect(Buffer.from(taken?.body ?? '', 'base64').toString()).toBe('\0 not an event')
  })

  it('others bind queues of their own to our topics, and publish to them', async () => {
    const topic = bench.name('topic')
    await transport.prepare([{ ...topic, group: 'ours' }], 'create')
    const bare = await connect(url)
    const amqp = await bare.createConfirmChannel()
    const { queue: theirs } = await amqp.assertQueue('', { durable: false })
    await amqp.bindQueue(theirs, topic.name, '#')
    const sent = await createPublisher({ transport, source: '/shop' }).publish(topicOf(topic.name, types), message)
    expect(sent).toBeDefined()
    const [taken] = await pika('take', { queue: theirs, count: 1 })
    expect(eventOf(taken as Foreign)).toMatchObject({ type: 'order.placed', data })
    const headers = { 'cloudEvents:id': 'e-9', 'cloudEvents:source': '/js', 'cloudEvents:type': 'order.placed' }
    amqp.publish(topic.name, 'any', Buffer.from(JSON.stringify(data)), { headers, contentType: 'application/json' })
    await amqp.waitForConfirms()
    const { receiver, got } = await collect(transport, { channel: topic, group: 'ours' }, 2)
    await expect.poll(() => got.length, { timeout: 10_000 }).toBe(2)
    expect(got[1]?.envelope).toMatchObject({ id: 'e-9', attributes: { source: '/js', type: 'order.placed' } })
    for (const each of got) await each.settle('ack')
    await receiver.close()
    for (const each of [theirs, `${topic.name}.ours`, `${topic.name}.ours.dead`]) await amqp.deleteQueue(each)
    await amqp.deleteExchange(topic.name)
    await bare.close()
  })
})
