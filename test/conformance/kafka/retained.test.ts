// Since when a topic still has all its messages, on the real broker: a beginning that is deleted, a partition with nothing left, and what nobody can say.
import type { KafkaTransport, KafkaTransportOptions } from 'fairlead/kafka'
import { Kafka, logLevel } from 'kafkajs'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { ChannelAddress } from '../../../src/core/message.ts'
import { server } from '../../services/servers.ts'
import { CLIENTS, transportOf } from './kafka-lab.ts'
import { adminAt, collect, envelope, ids, PATIENCE, sendAll, topicNamed } from './kit.ts'

const address = server('kafka')
if (address === undefined) throw new Error('kafka is not up')
const brokers = [`${address.host}:${address.port}`]
const open: KafkaTransport[] = []
const producer = new Kafka({ brokers, logLevel: logLevel.NOTHING }).producer()
const HOUR_MS = 3_600_000
const MINUTE_MS = 60_000

beforeAll(() => producer.connect())
afterEach(async () => {
  await Promise.all(open.splice(0).map((each) => each.close()))
})
afterAll(() => producer.disconnect())

/** Records of these times. */
const write = async (topic: string, partition: number, times: readonly number[]): Promise<void> => {
  await producer.send({
    topic,
    messages: times.map((time) => ({ partition, value: String(time), timestamp: String(time) })),
  })
}

/** As retention does, or an operator: all before an offset. */
const cutTo = async (name: string, partition: number, offset: number): Promise<void> => {
  const admin = adminAt(brokers)
  try {
    await admin.deleteRecords({ topics: [{ name, partitions: [{ partition, offset: BigInt(offset) }] }] })
  } finally {
    await admin.close()
  }
}

describe.each(CLIENTS)('since when all is kept, by %s', (client) => {
  const transport = (topicConfig: Record<string, string> = {}, partitions = 1): KafkaTransport => {
    const options: KafkaTransportOptions = { partitions, topicConfig }
    const made = transportOf(client, brokers, options) as KafkaTransport
    open.push(made)
    return made
  }

  it('is after the first record that is there, where a beginning is gone; else for ever', async () => {
    const one = transport({ 'retention.ms': String(1_000 * HOUR_MS) }, 3)
    const channel = topicNamed('kept')
    const since = (): Promise<number | undefined> => one.retainedSince(channel)
    expect(await since()).toBeUndefined()
    await one.prepare([channel], 'create')
    expect(await since()).toBe(-Infinity)
    const now = Date.now()
    const ago = (hours: number): number => now - hours * HOUR_MS
    await write(channel.name, 0, [ago(100), ago(50), ago(10)])
    await write(channel.name, 1, [ago(80), ago(20)])
    await write(channel.name, 2, [ago(200)])
    expect(await since()).toBe(-Infinity)
    const isJustAfter = async (time: number): Promise<void> => {
      const said = (await since()) as number
      // What was deleted may have been of the same millisecond.
      expect(said).toBeGreaterThan(time)
      expect(said).toBeLessThan(time + MINUTE_MS)
    }
    await cutTo(channel.name, 0, 1)
    await isJustAfter(ago(50))
    await cutTo(channel.name, 1, 1)
    await isJustAfter(ago(20))
    // Nothing is left of it: what was there was older than all that is kept.
    await cutTo(channel.name, 2, 1)
    await isJustAfter(ago(20))
  }, 300_000)

  it('is the retention of a partition with nothing left; nobody can say where its size decides', async () => {
    for (const [config, expected] of [
      [{ 'retention.ms': String(HOUR_MS) }, HOUR_MS],
      [{ 'retention.ms': String(HOUR_MS), 'retention.bytes': '1000000' }, undefined],
      [{ 'retention.ms': '-1' }, undefined],
    ] as const) {
      const one = transport(config)
      const channel = topicNamed('empty')
      await one.prepare([channel], 'create')
      await write(channel.name, 0, [Date.now()])
      await cutTo(channel.name, 0, 1)
      const since = await one.retainedSince(channel)
      if (expected === undefined) expect(since).toBeUndefined()
      else expect(Math.abs(Date.now() - expected - (since as number))).toBeLessThan(MINUTE_MS)
    }
  }, 300_000)

  it('nobody can say of a topic that is compacted; a queue has no replay', async () => {
    const channel = topicNamed('compact')
    for (const policy of ['compact', 'compact,delete']) {
      const one = transport({ 'cleanup.policy': policy })
      const of = { ...channel, name: `${channel.name}-${policy.length}` }
      await one.prepare([of], 'create')
      expect(await one.retainedSince(of)).toBeUndefined()
    }
    const queue: ChannelAddress = { kind: 'queue', name: topicNamed('queue').name }
    const plain = transport()
    await plain.prepare([queue], 'create')
    expect(await plain.retainedSince(queue)).toBeUndefined()
  }, 300_000)

  it('a group that begins there misses nothing that was sent since', async () => {
    const one = transport()
    const channel = topicNamed('begins')
    await one.prepare([channel], 'create')
    await sendAll(one, channel, [envelope('gone'), envelope('first')])
    await cutTo(channel.name, 0, 1)
    const time = (await one.retainedSince(channel)) as number
    expect(time).toBeGreaterThan(0)
    await expect.poll(() => Date.now(), PATIENCE).toBeGreaterThan(time)
    await sendAll(one, channel, [envelope('second'), envelope('third')])
    const { got } = await collect(one, { channel, group: 'g', from: { time } }, 10)
    await expect.poll(() => ids(got).slice(-2), PATIENCE).toEqual(['second', 'third'])
    expect(ids(got)).not.toContain('gone')
  }, 300_000)
})
