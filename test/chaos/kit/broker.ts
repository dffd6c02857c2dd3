// A broker between relays and consumers of a chaos run: a server of its own behind a proxy, and how a process of the run reaches it.
import { kafkaJsDriver, kafkaTransport } from 'fairlead/kafka'
import { rabbitmqClientDriver, rabbitmqTransport } from 'fairlead/rabbitmq'
import { Kafka, logLevel } from 'kafkajs'
import { Connection } from 'rabbitmq-client'
import type { ChannelPlace, MessageTransport } from '../../../src/core/contracts/transport.ts'
import { freePort } from '../../services/free-port.ts'
import { startKafka } from '../../services/kafka-instance.ts'
import { startRabbitmq } from '../../services/rabbitmq-instance.ts'
import { type ServerAddress, server } from '../../services/servers.ts'
import { proxyTo, type ToxicProxy } from '../../services/toxiproxy.ts'
import type { BrokerName, BrokerWay } from './words.ts'

/** The broker of a run. */
export interface BrokerGround {
  /** Before it; none where no Toxiproxy is up. */
  readonly proxy: ToxicProxy | undefined
  readonly way: BrokerWay
  /** `hard`: kill -9. */
  restart(hard: boolean): Promise<void>
  /** Messages that nobody has acknowledged yet. */
  waiting(): Promise<number>
  remove(): Promise<void>
}

/** What is half-open is given up sooner than a lease. */
const ANSWER_MS = 2_000

/** A transport for one process. The client is its own, and ends with it. */
export function openBroker({ kind, at }: BrokerWay): MessageTransport {
  if (kind === 'rabbitmq') {
    const connection = new Connection({
      url: `amqp://guest:guest@${at.host}:${at.port}`,
      retryLow: 100,
      retryHigh: 500,
      heartbeat: 2,
      connectionTimeout: ANSWER_MS,
    })
    connection.on('error', () => undefined)
    // The history is judged by order: one consumer works at a time.
    return rabbitmqTransport(rabbitmqClientDriver(connection), { order: 'channel', answerTimeoutMs: ANSWER_MS })
  }
  return kafka(at, 3)
}

function kafka({ host, port }: ServerAddress, partitions: number): ReturnType<typeof kafkaTransport> {
  const client = new Kafka({
    clientId: 'chaos',
    brokers: [`${host}:${port}`],
    logLevel: logLevel.NOTHING,
    connectionTimeout: ANSWER_MS,
    requestTimeout: 2 * ANSWER_MS,
    retry: { retries: 2, initialRetryTime: 100, maxRetryTime: 500 },
  })
  const driver = kafkaJsDriver(client, { sessionTimeoutMs: 6_000, heartbeatMs: 500, rebalanceTimeoutMs: 10_000 })
  return kafkaTransport(driver, { partitions, requestTimeoutMs: 2 * ANSWER_MS })
}

/** Starts it, and makes the places, so that nothing is published before a group is there. */
export async function startBroker(name: BrokerName, places: readonly ChannelPlace[]): Promise<BrokerGround> {
  return name === 'rabbitmq' ? rabbitmqGround(places) : kafkaGround(places)
}

async function rabbitmqGround(places: readonly ChannelPlace[]): Promise<BrokerGround> {
  const instance = await startRabbitmq()
  const transport = openBroker({ kind: 'rabbitmq', at: instance })
  await transport.prepare(places, 'create')
  const proxy = server('toxiproxy') === undefined ? undefined : await proxyTo(instance)
  return {
    proxy,
    way: { kind: 'rabbitmq', at: addressOf(proxy ?? instance) },
    restart: (hard) => instance.restart(hard ? 'kill' : 'fast'),
    async waiting() {
      let waiting = 0
      for (const { group, ...channel } of places)
        waiting += (await transport.inspect?.({ channel, group }))?.waiting ?? 0
      return waiting
    },
    async remove() {
      await transport.close()
      await proxy?.remove()
      await instance.remove()
    },
  }
}

async function kafkaGround(places: readonly ChannelPlace[]): Promise<BrokerGround> {
  const port = await freePort()
  const proxy = server('toxiproxy') === undefined ? undefined : await proxyTo({ host: '127.0.0.1', port })
  const instance = await startKafka({ listeners: [{ name: 'PROXIED', port, advertised: proxy }] })
  const transport = kafka(instance, 3)
  await transport.prepare(places, 'create')
  return {
    proxy,
    way: { kind: 'kafka', at: addressOf(proxy ?? { host: '127.0.0.1', port }) },
    async restart(hard) {
      await (hard ? instance.kill() : instance.stop())
      await instance.start()
    },
    async waiting() {
      let waiting = 0
      for (const place of places) waiting += (await transport.lag(place)).total
      return waiting
    },
    async remove() {
      await transport.close()
      await proxy?.remove()
      await instance.remove()
    },
  }
}

function addressOf({ host, port }: ServerAddress): ServerAddress {
  return { host, port }
}
