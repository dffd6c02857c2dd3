// Readers and writers that share nothing with ours: kcat (librdkafka), the broker's own console tools (Java) and the `cloudevents` package read what we wrote, and write what we read.
import { execFile, spawn } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import * as platformatic from '@platformatic/kafka'
import { CloudEvent, Kafka as CloudEventsKafka, type KafkaMessage } from 'cloudevents'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { Delivery, MessageTransport } from '../../../src/core/contracts/transport.ts'
import type { ChannelAddress, Envelope } from '../../../src/core/message.ts'
import { kafkaHome } from '../../services/kafka-instance.ts'
import { server } from '../../services/servers.ts'
import { CLIENTS, driverOf, transportOf } from './kafka-lab.ts'
import { collect, ids, PATIENCE, sendAll, topicNamed } from './kit.ts'

const run = promisify(execFile)

/** Runs a program with text on its standard input. */
const feed = (program: string, args: readonly string[], input: string): Promise<void> =>
  new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['pipe', 'ignore', 'pipe'] })
    let said = ''
    child.stderr.on('data', (chunk) => {
      said += String(chunk)
    })
    child.once('error', reject)
    child.once('exit', (code) => (code === 0 ? resolve() : reject(new Error(`${program}: ${said}`))))
    child.stdin.end(input)
  })

const address = server('kafka')
const broker = `${address?.host}:${address?.port}`

const order: Envelope = {
  id: 'a-1',
  key: 'customer 7 ü',
  attributes: {
    specversion: '1.0',
    type: 'order.placed',
    source: '/shop/ä',
    time: '2026-01-02T03:04:05.678Z',
    datacontenttype: 'application/json',
    typeversion: '2',
    traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  },
  headers: { tenant: 'blue' },
  body: Buffer.from('{"sku":"Ä-1","quantity":2}'),
}

describe.each(CLIENTS)('others on the same wire as ours, by %s', (client) => {
  let transport: MessageTransport
  const made = async (partitions = 3): Promise<ChannelAddress> => {
    const channel = topicNamed('foreign')
    const one = transportOf(client, [broker], { partitions })
    await one.prepare([channel], 'create')
    await one.close()
    return channel
  }
  /** The first messages of a topic, as we read them. */
  const read = async (channel: ChannelAddress, count: number): Promise<readonly Delivery[]> => {
    const { got, receiver } = await collect(transport, { channel, from: 'earliest' }, count, 'ack')
    await expect.poll(() => got.length, PATIENCE).toBe(count)
    await receiver.close()
    return got
  }
  const tool = join(kafkaHome(), 'tool')

  beforeAll(() => {
    if (address === undefined) throw new Error('Kafka is not up')
    transport = transportOf(client, [broker])
  })
  afterEach(async () => {
    await transport.close()
    transport = transportOf(client, [broker])
  })
  afterAll(() => transport.close())

  it('kcat reads what we wrote', async () => {
    const channel = await made()
    await sendAll(transport, channel, [order])
    const { stdout } = await run('kcat', ['-b', broker, '-t', channel.name, '-C', '-e', '-q', '-f', '%k|%h|%s'])
    const [key, headers = '', body] = stdout.split('|')
    expect(key).toBe(order.key)
    expect(body).toBe(order.body.toString())
    expect(Object.fromEntries(headers.split(',').map((each) => each.split(/=(.*)/s)))).toMatchObject({
      ce_id: 'a-1',
      ce_specversion: '1.0',
      ce_type: 'order.placed',
      ce_source: '/shop/ä',
      ce_time: '2026-01-02T03:04:05.678Z',
      ce_typeversion: '2',
      ce_traceparent: order.attributes['traceparent'],
      ce_partitionkey: order.key,
      'content-type': 'application/json',
      'x-message-tenant': 'blue',
    })
    expect(headers).not.toContain('ce_datacontenttype')
  })

  it('the console consumer of the broker reads what we wrote', async () => {
    const channel = await made()
    await sendAll(transport, channel, [order])
    const options = ['print.key=true', 'print.headers=true', 'key.separator=|', 'headers.separator=;']
    const { stdout } = await run(tool, [
      'org.apache.kafka.tools.consumer.ConsoleConsumer',
      ...['--bootstrap-server', broker, '--topic', channel.name, '--from-beginning', '--max-messages', '1'],
      ...['--timeout-ms', '20000', ...options.flatMap((each) => ['--formatter-property', each])],
    ])
    const line = stdout.split('\n').find((each) => each.includes('|')) ?? ''
    expect(line).toContain('ce_id:a-1')
    expect(line).toContain('ce_type:order.placed')
    expect(line).toContain('x-message-tenant:blue')
    expect(line.endsWith(`|${order.key}|${order.body}`)).toBe(true)
  })

  it('the cloudevents package reads what we wrote', async () => {
    const channel = await made(1)
    await sendAll(transport, channel, [order])
    const driver = driverOf(client, [broker])
    const records: KafkaMessage<unknown>[] = []
    const reader = await driver.read([{ topic: channel.name, partition: 0, offset: 0 }], {
      onRecords: (_, some) => {
        for (const { key, value, headers } of some)
          records.push({
            key: Buffer.from(key ?? []),
            value: Buffer.from(value ?? []),
            headers: { ...headers },
            body: value,
          })
      },
      onEnded: () => undefined,
    })
    await expect.poll(() => records.length, PATIENCE).toBe(1)
    await reader.close()
    await driver.close()
    expect(CloudEventsKafka.isEvent(records[0] as never)).toBe(true)
    expect(CloudEventsKafka.toEvent(records[0] as never)).toMatchObject({
      id: 'a-1',
      type: 'order.placed',
      source: '/shop/ä',
      time: '2026-01-02T03:04:05.678Z',
      typeversion: '2',
    })
  })

  it('we read what the cloudevents package wrote, in both modes', async () => {
    const channel = await made(1)
    const event = new CloudEvent({
      id: 'c-1',
      type: 'order.placed',
      source: '/elsewhere',
      time: '2026-01-02T03:04:05.678Z',
      subject: 'orders/7',
      datacontenttype: 'application/json',
      partitionkey: 'customer 9',
      data: { sku: 'B-2' },
    })
    const producer = new platformatic.Producer({
      clientId: 'foreign',
      bootstrapBrokers: [broker],
      serializers: platformatic.stringSerializers,
    })
    for (const message of [
      CloudEventsKafka.binary(event),
      CloudEventsKafka.structured(event),
    ] as KafkaMessage<unknown>[])
      await producer.send({
        messages: [
          {
            topic: channel.name,
            key: String(message.key),
            value: typeof message.value === 'string' ? message.value : JSON.stringify(message.value),
            headers: message.headers as Record<string, string>,
          },
        ],
        acks: -1,
      })
    await producer.close()
    const got = await read(channel, 2)
    for (const { envelope } of got) {
      expect(envelope).toMatchObject({
        id: 'c-1',
        key: 'customer 9',
        attributes: {
          type: 'order.placed',
          source: '/elsewhere',
          subject: 'orders/7',
          time: '2026-01-02T03:04:05.678Z',
        },
      })
      expect(JSON.parse(Buffer.from(envelope.body).toString())).toEqual({ sku: 'B-2' })
    }
  })

  it('we read what kcat wrote: an event, and bytes that are none', async () => {
    const channel = await made(1)
    const write = ['-b', broker, '-t', channel.name, '-P', '-k', 'k1']
    const headers = [
      'ce_specversion=1.0',
      'ce_id=k-1',
      'ce_type=order.placed',
      'ce_source=/kcat',
      'content-type=text/plain',
    ]
    await feed('kcat', [...write, ...headers.flatMap((each) => ['-H', each]), '-H', 'tenant=red'], 'hello')
    await feed('kcat', write, 'just bytes')
    const [event, bytes] = await read(channel, 2)
    expect(event?.envelope).toMatchObject({
      id: 'k-1',
      key: 'k1',
      attributes: { type: 'order.placed', source: '/kcat', datacontenttype: 'text/plain' },
      headers: { tenant: 'red' },
    })
    expect(Buffer.from(event?.envelope.body ?? []).toString()).toBe('hello')
    // What is no event is handed out all the same, by the name of its place, for the consumer to refuse.
    expect(bytes?.envelope.id).toBe(`${channel.name}/0/1`)
    expect(Buffer.from(bytes?.envelope.body ?? []).toString()).toBe('just bytes')
  })

  it('the Java producer and ours send a key to the same partition', async () => {
    const keys = Array.from(
      { length: 120 },
      (_, index) => `${'key ü'.slice(0, index % 6)}${'x'.repeat(index % 11)}${index}`,
    )
    const theirs = await made(7)
    const lines = keys
      .map((key) => `ce_specversion:1.0,ce_id:${key.length},ce_type:t,ce_source:/java|${key}|v\n`)
      .join('')
    const options = ['parse.key=true', 'parse.headers=true', 'key.separator=|', 'headers.delimiter=|']
    await feed(
      tool,
      [
        'org.apache.kafka.tools.ConsoleProducer',
        ...['--bootstrap-server', broker, '--topic', theirs.name],
        ...options.flatMap((each) => ['--reader-property', each]),
      ],
      lines,
    )
    const ours = await made(7)
    await sendAll(
      transport,
      ours,
      keys.map((key) => ({ ...order, id: key, key })),
    )
    const lanes = async (channel: ChannelAddress) =>
      Object.fromEntries((await read(channel, keys.length)).map(({ envelope, lane }) => [envelope.key, lane]))
    const java = await lanes(theirs)
    expect(await lanes(ours)).toEqual(java)
    expect(new Set(Object.values(java)).size).toBe(7)
  })
})

describe.each(CLIENTS)('a group of members of several libraries, ours by %s', (client) => {
  it('members of other libraries may be in the same group', async () => {
    const channel = topicNamed('mixed')
    const transport = transportOf(client, [broker], { partitions: 4 })
    await transport.prepare([channel], 'create')
    const group = `${channel.name}.mixed`
    const { got } = await collect(transport, { channel, group: 'mixed', from: 'earliest' }, 1_000, 'ack')
    const child = spawn('kcat', [
      ...['-b', broker, '-G', group, channel.name, '-q', '-u', '-f', '%s\\n'],
      ...['-X', 'partition.assignment.strategy=roundrobin', '-X', 'session.timeout.ms=6000'],
    ])
    let said = ''
    child.stdout.on('data', (chunk) => {
      said += String(chunk)
    })
    try {
      let count = 0
      await expect
        .poll(async () => {
          await sendAll(transport, channel, [
            { ...order, id: `${count}`, key: `${count}`, body: Buffer.from(`${count++}`) },
          ])
          return said !== ''
        }, PATIENCE)
        .toBe(true)
      await expect
        .poll(() => new Set([...ids(got), ...said.split('\n').filter((line) => line !== '')]).size, PATIENCE)
        .toBe(count)
    } finally {
      child.kill('SIGTERM')
      await transport.close()
    }
  }, 300_000)
})
