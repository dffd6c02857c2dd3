// How messages travel between the services: by HTTP push, or through a broker of yours. `npm run demo -- --transport rabbitmq=amqp://guest:guest@127.0.0.1`.
import type { RequestListener } from 'node:http'
import type { MessageTransport } from 'fairlead/core'
import { httpPushTransport } from 'fairlead/http-push'
import { kafkaJsDriver, kafkaTransport } from 'fairlead/kafka'
import { rabbitmqClientDriver, rabbitmqTransport } from 'fairlead/rabbitmq'
import { Kafka, logLevel } from 'kafkajs'
import { Connection } from 'rabbitmq-client'
import { paced } from './service.ts'

/** A broker that runs somewhere. */
export interface Broker {
  readonly kind: 'rabbitmq' | 'kafka'
  /** A URL, or `host:port` of Kafka. */
  readonly at: string
  /** Before the names of channels: another demo on the same broker has its own. */
  readonly prefix: string
}

/** What a service sends and receives by. */
export interface Carrier {
  readonly transport: MessageTransport
  /** What the port of the service answers with. */
  readonly listener: RequestListener
  close(): Promise<void>
}

const USUALLY: Readonly<Record<Broker['kind'], string>> = {
  rabbitmq: 'amqp://guest:guest@127.0.0.1',
  kafka: '127.0.0.1:9092',
}

/** Reads `kafka`, or `kafka=127.0.0.1:9092`. */
export function readBroker(option: string): Broker {
  const [kind = '', at] = option.split(/=(.*)/)
  if (!Object.hasOwn(USUALLY, kind)) throw new Error(`--transport: give one of ${Object.keys(USUALLY).join(', ')}`)
  const known = kind as Broker['kind']
  return { kind: known, at: at ?? USUALLY[known], prefix: `order-flow-${process.pid}-` }
}

/** The one line that changes. With HTTP push whoever sends has to know who listens where; a broker knows. */
export function openCarrier(
  broker: Broker | undefined,
  subscribers?: Readonly<Record<string, Readonly<Record<string, string>>>>,
): Carrier {
  if (broker === undefined) {
    // Who only sends keeps no dead letters: its outbox does.
    const push = httpPushTransport(subscribers === undefined ? {} : { subscribers, deadLetters: false })
    return { transport: push, listener: push.node(), close: () => push.close() }
  }
  const nothing: RequestListener = (_, response) => void response.writeHead(404).end()
  if (broker.kind === 'kafka') {
    const kafka = kafkaTransport(kafkaJsDriver(kafkaOf(broker)), { partitions: 2 })
    return { transport: named(kafka, broker.prefix), listener: nothing, close: () => kafka.close() }
  }
  const connection = connect(broker)
  // One shipment after another: orders of a customer keep their order.
  const rabbitmq = rabbitmqTransport(rabbitmqClientDriver(connection), { order: 'channel' })
  return {
    transport: named(rabbitmq, broker.prefix),
    listener: nothing,
    async close() {
      await rabbitmq.close()
      await connection.close()
    },
  }
}

/** Leaves nothing of this demo on the broker. */
export async function dropChannels(broker: Broker): Promise<void> {
  if (broker.kind === 'kafka') {
    const admin = kafkaOf(broker).admin()
    await admin.connect()
    const topics = (await admin.listTopics()).filter((name) => name.startsWith(broker.prefix))
    await admin.deleteTopics({ topics })
    return admin.disconnect()
  }
  const connection = connect(broker)
  const topic = `${broker.prefix}order-events`
  for (const group of ['warehouse', 'notification'])
    for (const queue of [`${topic}.${group}`, `${topic}.${group}.dead`]) await connection.queueDelete(queue)
  await connection.exchangeDelete({ exchange: topic })
  await connection.close()
}

function kafkaOf({ at }: Broker): Kafka {
  return new Kafka({ brokers: [at], clientId: 'order-flow', logLevel: logLevel.NOTHING })
}

function connect({ at }: Broker): Connection {
  const connection = new Connection({ url: at, retryLow: paced(100), retryHigh: paced(1_000) })
  connection.on('error', () => undefined) // it connects again by itself
  return connection
}

// What belongs to this demo is told by its name.
function named(transport: MessageTransport, prefix: string): MessageTransport {
  const at = <C extends { readonly name: string }>(channel: C): C => ({ ...channel, name: prefix + channel.name })
  return {
    ...transport,
    prepare: (channels, mode) => transport.prepare(channels.map(at), mode),
    send: (channel, ...rest) => transport.send(at(channel), ...rest),
    receive: (from, sink) => transport.receive({ ...from, channel: at(from.channel) }, sink),
  }
}
