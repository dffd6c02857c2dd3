// A lab of the transport suite on a Kafka broker of its own, which is killed, stopped, cut off and silenced; and the drivers under test.
import * as platformatic from '@platformatic/kafka'
import {
  confluentDriver,
  type KafkaDriver,
  type KafkaTransportOptions,
  kafkaJsDriver,
  kafkaTransport,
  platformaticKafkaDriver,
} from 'fairlead/kafka'
import type { TransportLab } from 'fairlead/testing'
import { Kafka, type KafkaConfig, logLevel } from 'kafkajs'
import type { MessageTransport } from '../../../src/core/contracts/transport.ts'
import { confluentKafka } from '../../services/confluent.ts'
import { freePort } from '../../services/free-port.ts'
import { type KafkaInstance, type KafkaInstanceOptions, startKafka } from '../../services/kafka-instance.ts'
import { server } from '../../services/servers.ts'
import { proxyTo, type ToxicProxy } from '../../services/toxiproxy.ts'

/** The clients that are tested. */
export type Client = 'kafkajs' | '@platformatic/kafka' | '@confluentinc/kafka-javascript'

/** Those that are always at hand. */
export const CLIENTS: readonly Client[] = ['kafkajs', '@platformatic/kafka']

/** Name and password, where a listener wants them. */
export interface Credentials {
  readonly username: string
  readonly password: string
}

/** Short enough for a broker that goes away in a test, long enough for a slow machine. */
export const SESSION: { sessionTimeoutMs: number; heartbeatMs: number; rebalanceTimeoutMs: number } = {
  sessionTimeoutMs: 6_000,
  heartbeatMs: 500,
  rebalanceTimeoutMs: 20_000,
}

/** A driver by way of one of the clients. */
export const driverOf = (
  client: Client,
  brokers: readonly string[],
  sasl?: Credentials | undefined,
  session: typeof SESSION = SESSION,
): KafkaDriver => {
  if (client === 'kafkajs') {
    const config: KafkaConfig = {
      clientId: 'lab',
      brokers: [...brokers],
      logLevel: logLevel.NOTHING,
      connectionTimeout: 2_000,
      requestTimeout: 5_000,
      retry: { retries: 3, initialRetryTime: 100, maxRetryTime: 1_000 },
      ...(sasl === undefined ? {} : { sasl: { mechanism: 'plain', ...sasl } }),
    }
    return kafkaJsDriver(new Kafka(config), session)
  }
  if (client === '@confluentinc/kafka-javascript') {
    const kafkaJS = {
      clientId: 'lab',
      brokers: [...brokers],
      connectionTimeout: 2_000,
      requestTimeout: 5_000,
      ...(sasl === undefined ? {} : { sasl: { mechanism: 'plain', ...sasl } }),
    }
    return confluentDriver(confluentKafka({ kafkaJS }), { ...session, answerWithinMs: 8_000, deliverWithinMs: 5_000 })
  }
  const connection: platformatic.AdminOptions = {
    clientId: 'lab',
    bootstrapBrokers: [...brokers],
    connectTimeout: 2_000,
    ...(sasl === undefined ? {} : { sasl: { mechanism: 'PLAIN', ...sasl } }),
  }
  return platformaticKafkaDriver(platformatic, connection, { ...session, answerWithinMs: 5_000 })
}

/** A transport by way of one of the clients. */
export const transportOf = (
  client: Client,
  brokers: readonly string[],
  options: KafkaTransportOptions = {},
): MessageTransport => kafkaTransport(driverOf(client, brokers), { requestTimeoutMs: 10_000, ...options })

/** A broker behind a proxy. */
export interface ProxiedKafka {
  readonly instance: KafkaInstance
  /** What tells clients to come through the proxy. */
  readonly proxy: ToxicProxy
  readonly brokers: readonly string[]
  remove(): Promise<void>
}

/** Starts a broker with a listener of which clients are told the address of a proxy. */
export const proxiedKafka = async (options: KafkaInstanceOptions = {}): Promise<ProxiedKafka> => {
  if (server('toxiproxy') === undefined) throw new Error('Toxiproxy is not up')
  const port = await freePort()
  const proxy = await proxyTo({ host: '127.0.0.1', port })
  const instance = await startKafka({ ...options, listeners: [{ name: 'PROXIED', port, advertised: proxy }] })
  return {
    instance,
    proxy,
    brokers: [`127.0.0.1:${proxy.port}`],
    async remove() {
      await proxy.remove()
      await instance.remove()
    },
  }
}

/** Bytes vanish both ways, and connections seem open. Answers how to end that. */
export const freeze = async (proxy: ToxicProxy): Promise<() => Promise<void>> => {
  await proxy.toxic('timeout', { timeout: 0 }, 'upstream')
  await proxy.toxic('timeout', { timeout: 0 }, 'downstream')
  return () => proxy.mend()
}

/** A lab of the transport suite. */
export const kafkaLab = async (
  client: Client,
  // The suite makes some two hundred channels: a killed broker looks through each of their partitions before it answers.
  options: KafkaTransportOptions = { partitions: 3 },
): Promise<TransportLab> => {
  const { instance, proxy, brokers, remove } = await proxiedKafka()
  return {
    heavy: 1_000,
    delayMs: 3_000,
    patienceMs: 90_000,
    open: () => transportOf(client, brokers, options),
    async restart() {
      await instance.kill()
      await instance.start()
    },
    async stop() {
      await instance.stop()
      return () => instance.start()
    },
    async cut() {
      await proxy.refuse()
      await proxy.mend()
    },
    freeze: () => freeze(proxy),
    close: remove,
  }
}
