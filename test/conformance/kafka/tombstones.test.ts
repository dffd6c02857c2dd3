// Compacted topics: a message without data is what ends its key, on the real broker and by each client.
import { createConsumer, createPublisher, topic } from 'fairlead/messaging'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import type { KafkaDriver, KafkaRecord } from '../../../src/adapters/kafka/driver.ts'
import type { MessageTransport } from '../../../src/core/contracts/transport.ts'
import { type KafkaInstance, startKafka } from '../../services/kafka-instance.ts'
import { CLIENTS, driverOf, transportOf } from './kafka-lab.ts'
import { collect, context, ids, PATIENCE, topicNamed } from './kit.ts'

let kafka: KafkaInstance
const open: { close(): Promise<void> }[] = []
const opened = <T extends { close(): Promise<void> }>(one: T): T => {
  open.push(one)
  return one
}

beforeAll(async () => {
  kafka = await startKafka()
})
afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each.close()
})
afterAll(() => kafka.remove())

/** All that is in a topic of one partition, as the broker has it. */
const read = async (driver: KafkaDriver, name: string, count: number): Promise<readonly KafkaRecord[]> => {
  const found: KafkaRecord[] = []
  opened(
    await driver.read([{ topic: name, partition: 0, offset: 0 }], {
      onRecords: (_, records) => void found.push(...records),
      onEnded: () => undefined,
    }),
  )
  await expect.poll(() => found.length, PATIENCE).toBe(count)
  return found
}

describe.each(CLIENTS)('the end of a key, by %s', (client) => {
  const transport = (): MessageTransport =>
    opened(transportOf(client, [kafka.brokers], { partitions: 1, topicConfig: { 'cleanup.policy': 'compact' } }))

  it('is a message without data', async () => {
    const { name } = topicNamed('prices')
    const Prices = topic(name, { set: z.object({ cents: z.number() }), gone: z.undefined() })
    const one = transport()
    await one.prepare([{ kind: 'topic', name, group: 'g' }], 'create')
    const publisher = createPublisher({ transport: one, source: '/prices' })
    await publisher.publish(Prices, { type: 'set', key: 'tea', data: { cents: 300 } })
    await publisher.publish(Prices, { type: 'gone', key: 'tea', data: undefined })
    const records = await read(opened(driverOf(client, [kafka.brokers])), name, 2)
    expect(records.map(({ key, value }) => [String(key), value === null])).toEqual([
      ['tea', false],
      ['tea', true],
    ])
    const replica = new Map<string, number>()
    const seen: unknown[] = []
    const consumer = createConsumer({
      transport: transport(),
      channel: Prices,
      group: 'g',
      handlers: {
        set: ({ key = '', data }) => void replica.set(key, data.cents),
        gone: ({ key = '', data }) => {
          seen.push([replica.get(key), data])
          replica.delete(key)
        },
      },
    })
    opened(consumer)
    await consumer.start()
    await expect.poll(() => seen, PATIENCE).toEqual([[300, undefined]])
    expect(replica.size).toBe(0)
  }, 300_000)

  it('is one again after it was given up and put back', async () => {
    const channel = topicNamed('back')
    const one = transport()
    await one.prepare([{ ...channel, group: 'g' }], 'create')
    const gone = {
      id: 'gone',
      key: 'tea',
      attributes: { specversion: '1.0', type: 'gone', source: '/prices' },
      headers: {},
      body: new Uint8Array(0),
    }
    const { got } = await collect(one, { channel, group: 'g' }, 10)
    const sent = await one.send(channel, [gone], context())
    expect(sent).toEqual([{ status: 'accepted' }])
    await expect.poll(() => ids(got), PATIENCE).toEqual(['gone'])
    await got[0]?.settle('dead', { reason: 'later' })
    expect(await one.deadLetters?.redrive({ ...channel, group: 'g' }, 'all')).toBe(1)
    await expect.poll(() => ids(got), PATIENCE).toEqual(['gone', 'gone'])
    expect(got[1]?.envelope).toMatchObject({ key: 'tea', attributes: gone.attributes })
    expect(got[1]?.envelope.body).toHaveLength(0)
    const driver = opened(driverOf(client, [kafka.brokers]))
    expect((await read(driver, `${channel.name}.g.retry`, 1)).map(({ value }) => value)).toEqual([null])
  }, 300_000)
})
