// Every way in which a real Kafka fails us, and what is said of it: code, and what the broker did. Nothing may be unclassified.
import { randomUUID } from 'node:crypto'
import * as platformatic from '@platformatic/kafka'
import { kafkaTransport } from 'fairlead/kafka'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { MessageTransport } from '../../../src/core/contracts/transport.ts'
import { freePort } from '../../services/free-port.ts'
import { type KafkaInstance, startKafka } from '../../services/kafka-instance.ts'
import { type Client, driverOf, freeze, type ProxiedKafka, proxiedKafka, transportOf } from './kafka-lab.ts'
import {
  adminAt,
  collect,
  context,
  envelope,
  errorOf,
  failureOf,
  ids,
  PATIENCE,
  pause,
  sendAll,
  sendUntilAccepted,
  topicNamed,
} from './kit.ts'

/** The matrix, for one client. */
export const describeFaults = (client: Client): void => {
  describe(`faults of a real broker, by ${client}`, () => brokerFaults(client))
  describe(`a broker that asks who one is, by ${client}`, () => securityFaults(client))
}

const brokerFaults = (client: Client): void => {
  let kafka: ProxiedKafka
  const open: MessageTransport[] = []
  const transport = (brokers: readonly string[] = kafka.brokers, options = {}): MessageTransport => {
    const made = transportOf(client, brokers, { requestTimeoutMs: 5_000, ...options })
    open.push(made)
    return made
  }
  const made = async (purpose: string, topicConfig: Record<string, string> = {}) => {
    const channel = topicNamed(purpose)
    await transport(kafka.brokers, { partitions: 1, topicConfig }).prepare([{ ...channel, group: 'g' }], 'create')
    return channel
  }

  beforeAll(async () => {
    kafka = await proxiedKafka()
  })
  afterEach(async () => {
    await Promise.all(open.splice(0).map((each) => each.close()))
  })
  afterAll(() => kafka.remove())

  it('nobody listens', async () => {
    const lost = transport([`127.0.0.1:${await freePort()}`], { requestTimeoutMs: 20_000 })
    const refused = { code: 'CONNECTION_REFUSED', effect: 'none', retryable: true }
    const channel = topicNamed('nobody')
    expect(errorOf((await lost.send(channel, [envelope('1')], context()))[0])).toMatchObject(refused)
    expect(await failureOf(lost.prepare([channel], 'create'))).toMatchObject(refused)
    expect(await failureOf(lost.receive({ channel, group: 'g' }, () => undefined))).toMatchObject(refused)
  })

  it('a topic that is not there', async () => {
    const one = transport()
    const channel = topicNamed('missing')
    const gone = { code: 'UNROUTABLE', effect: 'none', retryable: false }
    expect(errorOf((await one.send(channel, [envelope('1')], context()))[0])).toMatchObject(gone)
    expect(await failureOf(one.receive({ channel, group: 'g' }, () => undefined))).toMatchObject({
      code: 'CHANNEL_NOT_FOUND',
      effect: 'none',
    })
  })

  it('a topic that was deleted meanwhile', async () => {
    const channel = await made('deleted')
    const one = transport()
    await sendAll(one, channel, [envelope('1')])
    const admin = adminAt(kafka.brokers)
    await admin.deleteTopics({ topics: [channel.name] })
    await admin.close()
    let error: unknown
    await expect
      .poll(async () => {
        const [verdict] = await one.send(channel, [envelope('2')], context())
        error = verdict?.status === 'failed' ? verdict.error : undefined
        return (error as { code?: string } | undefined)?.code
      }, PATIENCE)
      .toBe('UNROUTABLE')
    expect(error).toMatchObject({ effect: 'none' })
  })

  it('a partition that is not there', async () => {
    const channel = await made('partition')
    const driver = driverOf(client, kafka.brokers)
    const producer = await driver.producer()
    const record = { topic: channel.name, key: null, value: Buffer.from('x'), headers: {} }
    const [lost] = await producer.produce([{ ...record, partition: 9 }])
    expect(lost).toMatchObject({ code: 'UNROUTABLE', effect: 'none' })
    await producer.close()
    await driver.close()
  })

  it('a record that is too large for us, and one that is too large for the topic', async () => {
    const channel = await made('large', { 'max.message.bytes': '20000' })
    const large = { code: 'PAYLOAD_TOO_LARGE', effect: 'none' }
    const one = transport()
    const own = await one.send(channel, [envelope('1', { body: Buffer.alloc(2_000_000) }), envelope('2')], context())
    expect(errorOf(own[0])).toMatchObject(large)
    expect(own[1]).toEqual({ status: 'accepted' })
    const theirs = await one.send(channel, [envelope('3', { body: Buffer.alloc(100_000, 'x') })], context())
    expect(errorOf(theirs[0])).toMatchObject(large)
    await sendAll(one, channel, [envelope('4')])
    const { got } = await collect(transport(), { channel, group: 'g' }, 10)
    await expect.poll(() => ids(got), PATIENCE).toEqual(['2', '4'])
  })

  it('a name that Kafka does not take', async () => {
    const channel = topicNamed('names')
    const one = transport()
    const wrong = { code: 'INVALID_OPTIONS', effect: 'none' }
    await expect(one.prepare([{ kind: 'topic', name: 'no spaces, please' }], 'create')).rejects.toMatchObject(wrong)
    await one.prepare([channel], 'create')
    const empty = transport(kafka.brokers, { groupId: () => '' })
    expect(await failureOf(empty.receive({ channel, group: 'g' }, () => undefined))).toMatchObject({
      code: 'BAD_REQUEST',
      effect: 'none',
    })
  })

  it('a group whose place is no longer kept: it goes on with the first that is', async () => {
    const channel = await made('expired')
    const one = transport()
    await sendAll(one, channel, [envelope('1'), envelope('2'), envelope('3')])
    const admin = adminAt(kafka.brokers)
    await admin.deleteRecords({ topics: [{ name: channel.name, partitions: [{ partition: 0, offset: 2n }] }] })
    const { got } = await collect(transport(), { channel, group: 'g' }, 10)
    await expect.poll(() => ids(got), PATIENCE).toEqual(['3'])
    // And one that is overtaken while it reads.
    const driver = driverOf(client, kafka.brokers)
    let ended: unknown
    const seen: number[] = []
    const reader = await driver.read([{ topic: channel.name, partition: 0, offset: 0 }], {
      onRecords: (_, records) => seen.push(...records.map(({ offset }) => offset)),
      onEnded: (error) => {
        ended = error
      },
    })
    await expect.poll(() => ended !== undefined || seen.length > 0, PATIENCE).toBe(true)
    // kafkajs goes on by itself from the first that there is.
    if (ended === undefined) expect(seen).toEqual([2])
    else expect(ended).toMatchObject({ code: 'POSITION_EXPIRED', effect: 'none' })
    await reader.close()
    await driver.close()
    await admin.close()
  })

  it('a quota: all is taken, only later', async () => {
    const channel = await made('quota')
    const admin = adminAt(kafka.brokers)
    const limit = (remove: boolean) =>
      admin.alterClientQuotas({
        entries: [
          {
            entities: [{ entityType: 'client-id', entityName: 'lab' }],
            ops: [{ key: 'producer_byte_rate', value: 50_000, remove }],
          },
        ],
      })
    await limit(false)
    try {
      const one = transport()
      for (let round = 0; round < 4; round++)
        await sendAll(
          one,
          channel,
          Array.from({ length: 5 }, (_, index) => envelope(`${round}/${index}`, { body: Buffer.alloc(10_000, 'x') })),
        )
    } finally {
      await limit(true)
      await admin.close()
    }
  })

  it('bytes that vanish: unknown, and mended by itself', async () => {
    const channel = await made('frozen')
    const one = transport()
    const { got } = await collect(transport(), { channel, group: 'g' }, 1_000, 'ack')
    await sendAll(one, channel, [envelope('before')])
    await expect.poll(() => ids(got), PATIENCE).toContain('before')
    const thaw = await freeze(kafka.proxy)
    const [verdict] = await one.send(channel, [envelope('during')], context(3_000))
    expect(errorOf(verdict)).toMatchObject({ effect: 'unknown', transient: true })
    const fresh = transport()
    expect(await failureOf(fresh.prepare([channel], 'check'))).toMatchObject({ transient: true })
    await thaw()
    await sendUntilAccepted(one, channel, 'after')
    await expect.poll(() => ids(got), PATIENCE).toContain('after')
  })

  it('connections that are cut: mended by itself', async () => {
    const channel = await made('cut')
    const one = transport()
    const { got } = await collect(transport(), { channel, group: 'g' }, 1_000, 'ack')
    await sendAll(one, channel, [envelope('before')])
    const sends = Array.from({ length: 20 }, (_, index) => one.send(channel, [envelope(`${index}`)], context(20_000)))
    await kafka.proxy.refuse()
    await kafka.proxy.mend()
    const accepted: string[] = ['before']
    for (const [index, verdicts] of (await Promise.all(sends)).entries())
      if (verdicts[0]?.status === 'accepted') accepted.push(`${index}`)
      else expect(errorOf(verdicts[0])).toMatchObject({ transient: true })
    await sendUntilAccepted(one, channel, 'after')
    await expect.poll(() => [...accepted, 'after'].filter((id) => !ids(got).includes(id)), PATIENCE).toEqual([])
  })

  it('a producer that was fenced: unknown, and another one goes on', async () => {
    const channel = await made('fenced')
    const one = transport()
    await sendAll(one, channel, [envelope('1')])
    const admin = adminAt(kafka.brokers)
    const broker = [...(await admin.metadata({ topics: [channel.name] })).brokers.values()][0]
    const connection = await admin.connections.get(broker as platformatic.Broker)
    const state = await admin.connections.get(broker as platformatic.Broker)
    expect(state).toBe(connection)
    // Ids are given in turn: ours is one of the last before this one.
    const { producerId } = await platformatic.initProducerIdV4.api.async(connection, null, 1_000, -1n, -1)
    for (let back = 1n; back <= 6n && producerId >= back; back++)
      await platformatic.produceV9.api
        .async(
          connection,
          -1,
          5_000,
          [
            {
              topic: channel.name,
              partition: 0,
              key: Buffer.from('x'),
              value: Buffer.from('stranger'),
              headers: new Map(),
            },
          ],
          { producerId: producerId - back, producerEpoch: 5, sequences: new platformatic.NumericMap() },
        )
        .catch(() => undefined)
    const [verdict] = await one.send(channel, [envelope('2')], context())
    expect(errorOf(verdict)).toMatchObject({ effect: 'unknown', transient: true })
    await sendAll(one, channel, [envelope('3')])
    await admin.close()
  })

  describe('when the broker goes', () => {
    afterEach(() => kafka.instance.start().catch(() => undefined), 60_000)

    it.each(['stop', 'kill'] as const)(
      'by a %s: what was accepted is there, and the same transports go on',
      async (way) => {
        const channel = await made(way)
        const one = transport()
        const { got } = await collect(transport(), { channel, group: 'g' }, 10_000, 'ack')
        const accepted: string[] = []
        let count = 0
        let sending = true
        const sender = (async () => {
          while (sending) {
            const id = `${count++}`
            const [verdict] = await one.send(channel, [envelope(id, { key: 'k' })], context(4_000))
            if (verdict?.status === 'accepted') accepted.push(id)
            else {
              expect(errorOf(verdict)).toMatchObject({ transient: true })
              await pause(100)
            }
          }
        })()
        await expect.poll(() => accepted.length, PATIENCE).toBeGreaterThan(20)
        await kafka.instance[way]()
        await pause(1_000)
        const [down] = await one.send(channel, [envelope('down')], context(3_000))
        expect(errorOf(down)).toMatchObject({ transient: true })
        await kafka.instance.start()
        const before = accepted.length
        await expect.poll(() => accepted.length, PATIENCE).toBeGreaterThan(before + 10)
        sending = false
        await sender
        await expect.poll(() => accepted.filter((id) => !ids(got).includes(id)), PATIENCE).toEqual([])
        const first = [...new Set(ids(got))].filter((id) => accepted.includes(id)).map(Number)
        expect(first).toEqual([...first].sort((a, b) => a - b))
      },
      300_000,
    )
  })
}

const securityFaults = (client: Client): void => {
  let instance: KafkaInstance
  let port: number
  const password = randomUUID()
  beforeAll(async () => {
    port = await freePort()
    const users = `user_admin="${password}" user_app="${password}"`
    instance = await startKafka({
      listeners: [{ name: 'SECURE', port, protocol: 'SASL_PLAINTEXT' }],
      settings: {
        'listener.name.secure.sasl.enabled.mechanisms': 'PLAIN',
        'listener.name.secure.plain.sasl.jaas.config': `org.apache.kafka.common.security.plain.PlainLoginModule required ${users};`,
        'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
        'super.users': 'User:ANONYMOUS;User:admin',
      },
    })
  }, 300_000)
  afterAll(() => instance.remove())

  const as = (username: string, secret: string = password): MessageTransport =>
    kafkaTransport(driverOf(client, [`127.0.0.1:${port}`], { username, password: secret }), { requestTimeoutMs: 8_000 })

  it('a wrong password', async () => {
    const stranger = as('app', 'wrong')
    const channel = topicNamed('secret')
    const unknown = { code: 'UNAUTHENTICATED', effect: 'none', retryable: false }
    expect(errorOf((await stranger.send(channel, [envelope('1')], context(10_000)))[0])).toMatchObject(unknown)
    expect(await failureOf(stranger.prepare([channel], 'create'))).toMatchObject(unknown)
    expect(await failureOf(stranger.receive({ channel, group: 'g' }, () => undefined))).toMatchObject(unknown)
    await stranger.close()
  })

  it('what a user may not do', async () => {
    const admin = adminAt([instance.brokers])
    const boss = as('admin')
    const channel = topicNamed('private')
    await boss.prepare([{ ...channel, group: 'g' }], 'create')
    await sendAll(boss, channel, [envelope('1')])
    const app = as('app')
    const forbidden = { code: 'FORBIDDEN', effect: 'none', retryable: false }
    expect(await failureOf(app.prepare([topicNamed('mine')], 'create'))).toMatchObject(forbidden)
    const allow = (resourceType: 2 | 3, resourceName: string, operation: 3 | 4 | 8) =>
      admin.createAcls({
        creations: [
          {
            resourceType,
            resourceName,
            resourcePatternType: 3,
            principal: 'User:app',
            host: '*',
            operation,
            permissionType: 3,
          },
        ] as never,
      })
    // 8: Describe. It is seen, and neither written to nor read.
    await allow(2, channel.name, 8)
    const seen = () =>
      app.retainedSince?.(channel).then(
        () => true,
        () => false,
      )
    await expect.poll(seen, PATIENCE).toBe(true)
    expect(errorOf((await app.send(channel, [envelope('2')], context(10_000)))[0])).toMatchObject(forbidden)
    expect(await failureOf(app.receive({ channel, group: 'g' }, () => undefined))).toMatchObject(forbidden)
    // Nor is it told how it is kept: it does without.
    expect(await app.retainedSince?.(channel)).toBeUndefined()
    // kafkajs cannot tell a group that must not be seen from one that has no coordinator now.
    await allow(3, `${channel.name}.g`, 8)
    const dropped = () => failureOf(Promise.resolve(app.dropGroup?.({ ...channel, group: 'g' })))
    await expect.poll(async () => (await dropped()).code, PATIENCE).toBe('FORBIDDEN')
    expect(await failureOf(Promise.resolve(app.dropGroup?.({ ...channel, group: 'g' })))).toMatchObject(forbidden)
    await boss.prepare([{ ...channel, group: 'g' }], 'check')
    await app.close()
    await boss.close()
    await admin.close()
  })
}
