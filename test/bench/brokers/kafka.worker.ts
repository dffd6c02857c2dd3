// One way to a topic of Kafka, in a process of its own. All the same safety: acks=all, an idempotent producer, offsets committed only of what was handled.
import * as platformatic from '@platformatic/kafka'
import { kafkaJsDriver, kafkaTransport, platformaticKafkaDriver } from 'fairlead/kafka'
import kafkajs from 'kafkajs'
import { overTransport } from './fairlead.ts'
import { nestWay } from './nest.ts'
import { attributesOf, KAFKA_PREFETCH, type Order, PARTITIONS, serve, type Way } from './serving.ts'

const [, , name = '', broker = '', role = '', topic = ''] = process.argv
const first = role === 'first'
const { Kafka, logLevel } = kafkajs
const config = { clientId: 'bench', brokers: [broker], logLevel: logLevel.NOTHING }
const kafka = new Kafka(config)
const admin = kafka.admin()
await admin.connect()
const made: { readonly [Name in 'bootstrapBrokers' | 'clientId']: Name extends 'clientId' ? string : string[] } = {
  clientId: 'bench',
  bootstrapBrokers: [broker],
}

const makeTopic = async (): Promise<void> => {
  if (first) await admin.createTopics({ topics: [{ topic, numPartitions: PARTITIONS, replicationFactor: 1 }] })
}

// What the broker has of the topic, and what the group has committed of it.
const leftOf = (groupId: string) => async (): Promise<number> => {
  const ends = await admin.fetchTopicOffsets(topic)
  const [committed] = await admin.fetchOffsets({ groupId, topics: [topic] })
  return ends.reduce((sum, { partition, high }) => {
    const { offset = '-1' } = committed?.partitions.find((each) => each.partition === partition) ?? {}
    return sum + Number(high) - Math.max(0, Number(offset))
  }, 0)
}

// What ours writes of an order: the attributes of a CloudEvent as headers.
function asEvent(order: Order): Record<string, string> {
  const headers: Record<string, string> = { 'content-type': 'application/json' }
  const attributes = attributesOf(order)
  for (const each of Object.keys(attributes)) headers[`ce_${each}`] = attributes[each] as string
  return headers
}

type Headers = (order: Order) => Record<string, string>

// Batches as the client fetches them, each committed once it is handled.
async function kafkaJs(headers?: Headers): Promise<Way> {
  await makeTopic()
  const producer = kafka.producer({ idempotent: true })
  await producer.connect()
  return {
    async publish(orders) {
      await producer.send({
        topic,
        acks: -1,
        messages: orders.map((order) => ({
          key: order.key,
          value: JSON.stringify(order),
          ...(headers === undefined ? {} : { headers: headers(order) }),
        })),
      })
    },
    async take(handle) {
      const consumer = kafka.consumer({ groupId: topic })
      await consumer.connect()
      await consumer.subscribe({ topic, fromBeginning: true })
      await consumer.run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        partitionsConsumedConcurrently: PARTITIONS,
        async eachBatch({ batch: { messages, partition }, heartbeat, resolveOffset }) {
          let last: string | undefined
          for (const { value, offset } of messages) {
            await handle(JSON.parse((value as Buffer).toString()) as Order)
            resolveOffset(offset)
            last = offset
          }
          if (last === undefined) return
          await consumer.commitOffsets([{ topic, partition, offset: String(BigInt(last) + 1n) }])
          await heartbeat()
        },
      })
      return () => consumer.disconnect()
    },
    left: leftOf(topic),
  }
}

// One send at a time: an idempotent producer of this client knows its next sequence only from the answer, and the broker refuses the second of two at once.
// Its stream, message by message; one commit at a time, of all that was handled meanwhile.
async function platformaticKafka(headers?: Headers): Promise<Way> {
  await makeTopic()
  const { Consumer, Producer, ProduceAcks, jsonDeserializer, jsonSerializer, stringDeserializer, stringSerializer } =
    platformatic
  const producer = new Producer({
    ...made,
    idempotent: true,
    acks: ProduceAcks.ALL,
    serializers: {
      key: stringSerializer,
      value: jsonSerializer<Order>,
      headerKey: stringSerializer,
      headerValue: stringSerializer,
    },
  })
  let last: Promise<unknown> = Promise.resolve()
  return {
    async publish(orders) {
      const sending = last.then(() =>
        producer.send({
          messages: orders.map((order) => ({
            topic,
            key: order.key,
            value: order,
            ...(headers === undefined ? {} : { headers: headers(order) }),
          })),
        }),
      )
      last = sending.catch(() => undefined)
      await sending
    },
    async take(handle) {
      const consumer = new Consumer({
        ...made,
        groupId: topic,
        deserializers: {
          key: stringDeserializer,
          value: jsonDeserializer<Order>,
          headerKey: stringDeserializer,
          headerValue: stringDeserializer,
        },
      })
      const stream = await consumer.consume({
        topics: [topic],
        autocommit: false,
        mode: 'committed',
        fallbackMode: 'earliest',
        maxWaitTime: 200,
      })
      const handled = new Map<number, bigint>()
      let committing: Promise<void> | undefined
      const commit = async (): Promise<void> => {
        while (handled.size > 0) {
          const offsets = [...handled].map(([partition, offset]) => ({ topic, partition, offset, leaderEpoch: -1 }))
          handled.clear()
          await consumer.commit({ offsets })
        }
        committing = undefined
      }
      const taking = (async () => {
        for await (const { value, partition, offset } of stream) {
          await handle(value as Order)
          handled.set(partition, offset + 1n)
          committing ??= commit()
        }
      })()
      return async () => {
        await stream.close()
        await taking
        await committing
        await consumer.close(true)
      }
    },
    left: leftOf(topic),
  }
}

// Events of Nest, each handled before the next of its partition; kafkajs commits what was handled at the end of a batch. Lists by `emitBatch`.
async function nest(): Promise<Way> {
  await makeTopic()
  const client = { ...config, clientId: 'bench-nest' }
  return await nestWay({
    pattern: topic,
    server: ({ Transport }) => ({
      transport: Transport.KAFKA,
      options: {
        client,
        postfixId: '',
        consumer: { groupId: topic },
        subscribe: { fromBeginning: true },
        run: { partitionsConsumedConcurrently: PARTITIONS },
      },
    }),
    client: ({ Transport }) => ({
      transport: Transport.KAFKA,
      options: { client, producerOnlyMode: true, producer: { idempotent: true }, send: { acks: -1 } },
    }),
    publish: (sender, orders, settled) =>
      settled(sender.emitBatch(topic, { messages: orders.map((order) => ({ key: order.key, value: order })) })),
    left: leftOf(topic),
  })
}

const ours = (driver: Parameters<typeof kafkaTransport>[0]): Promise<Way> =>
  overTransport(
    kafkaTransport(driver, { partitions: PARTITIONS }),
    topic,
    first,
    KAFKA_PREFETCH,
    leftOf(`${topic}.queue`),
  )

const candidates: Readonly<Record<string, () => Promise<Way>>> = {
  kafkajs: kafkaJs,
  'kafkajs, event': () => kafkaJs(asEvent),
  '@platformatic/kafka': platformaticKafka,
  '@platformatic/kafka, event': () => platformaticKafka(asEvent),
  'fairlead, kafkajs': () => ours(kafkaJsDriver(kafka)),
  'fairlead, @platformatic/kafka': () => ours(platformaticKafkaDriver(platformatic, made)),
  Nest: nest,
}

const way = await candidates[name]?.()
if (way === undefined) throw new Error(`no candidate ${name}`)
serve(way)
