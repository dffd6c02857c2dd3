// A member whose attempt to join is lost: the broker never hears of it, keeps the old generation, and takes heartbeats as before.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { MessageTransport } from '../../../src/core/contracts/transport.ts'
import { freePort } from '../../services/free-port.ts'
import { type KafkaInstance, startKafka } from '../../services/kafka-instance.ts'
import { CLIENTS, transportOf } from './kafka-lab.ts'
import { collect, envelope, ids, PATIENCE, sendAll, topicNamed } from './kit.ts'
import { JOIN_GROUP, METADATA, type Sieve, sieveTo } from './sieve.ts'

let sieve: Sieve
let kafka: KafkaInstance
const open: MessageTransport[] = []

beforeAll(async () => {
  const port = await freePort()
  sieve = await sieveTo({ host: '127.0.0.1', port })
  kafka = await startKafka({ listeners: [{ name: 'SIEVED', port, advertised: sieve }] })
})
afterEach(async () => {
  await Promise.all(open.splice(0).map((each) => each.close()))
})
afterAll(async () => {
  await sieve.remove()
  await kafka.remove()
})

const keyed = (from: number, count: number) =>
  Array.from({ length: count }, (_, index) => envelope(`${from + index}`, { key: `k${index}` }))

describe.each(CLIENTS)('an attempt to join that is lost, by %s', (client) => {
  const transport = (...brokers: readonly string[]): MessageTransport => {
    const made = transportOf(client, brokers, { partitions: 3 })
    open.push(made)
    return made
  }

  it('is made again, as all questions are that only ask', async () => {
    const one = transport(`127.0.0.1:${sieve.port}`)
    const channel = topicNamed('first')
    const before = sieve.lost
    sieve.lose(METADATA)
    await one.prepare([{ ...channel, group: 'g' }], 'create')
    expect(sieve.lost).toBe(before + 1)
    sieve.lose(JOIN_GROUP)
    const { got } = await collect(one, { channel, group: 'g' }, 10)
    expect(sieve.lost).toBe(before + 2)
    await sendAll(one, channel, [envelope('1')])
    await expect.poll(() => ids(got), PATIENCE).toEqual(['1'])
  }, 300_000)

  it('is made again: what waits for an assignment goes on', async () => {
    const channel = topicNamed('rejoin')
    const sender = transport(kafka.brokers)
    await sender.prepare([{ ...channel, group: 'g' }], 'create')
    const one = await collect(transport(`127.0.0.1:${sieve.port}`), { channel, group: 'g' }, 1_000)
    await sendAll(sender, channel, keyed(0, 30))
    await expect.poll(() => one.got.length, PATIENCE).toBe(30)
    expect(new Set(one.got.map(({ lane }) => lane)).size).toBe(3)
    // It is at work on all three, and gives one up when that is done, by a rebalance that it begins itself.
    const two = await collect(transport(kafka.brokers), { channel, group: 'g' }, 1_000)
    const before = sieve.lost
    sieve.lose(JOIN_GROUP)
    await Promise.all(one.got.map((delivery) => delivery.settle('ack')))
    await expect.poll(() => sieve.lost, PATIENCE).toBe(before + 1)
    await sendAll(sender, channel, keyed(30, 30))
    await expect.poll(() => new Set([...ids(one.got), ...ids(two.got)]).size, PATIENCE).toBe(60)
  }, 300_000)
})
