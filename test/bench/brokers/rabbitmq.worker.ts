// One way to a quorum queue of RabbitMQ, in a process of its own. All the same safety: durable queue, persistent messages, confirms, acknowledgements after the handler.

import { setTimeout as wait } from 'node:timers/promises'
import { connect } from 'amqplib'
import { amqplibDriver, rabbitmqClientDriver, rabbitmqTransport } from 'fairlead/rabbitmq'
import { Connection } from 'rabbitmq-client'
import { overTransport } from './fairlead.ts'
import { nestWay } from './nest.ts'
import { attributesOf, CONCURRENCY, type Order, serve, type Way } from './serving.ts'

const [, , name = '', url = '', role = '', queue = ''] = process.argv
const first = role === 'first'
const QUORUM = { 'x-queue-type': 'quorum' } as const

// By a connection of its own: what is unacknowledged is ready again once its channel is closed.
const counting = await (await connect(url)).createChannel()
async function left(): Promise<number> {
  return (await counting.checkQueue(queue)).messageCount
}

type Properties = Readonly<Record<string, unknown>>

// What ours writes of an order: the attributes of a CloudEvent as headers.
function asEvent(order: Order): Properties {
  const headers: Record<string, string> = {}
  const attributes = attributesOf(order)
  for (const each of Object.keys(attributes)) headers[`cloudEvents:${each}`] = attributes[each] as string
  return { headers, messageId: attributes['id'], type: attributes['type'] }
}

// As its README has it: the publisher and the consumer of the package.
async function rabbitmqClient(more?: (order: Order) => Properties): Promise<Way> {
  const connection = new Connection(url)
  const queueOptions = { queue, durable: true, arguments: QUORUM }
  if (first) await connection.queueDeclare(queueOptions)
  const publisher = connection.createPublisher({
    confirm: true,
    onReturn: () => {
      throw new Error('returned')
    },
  })
  const envelope = { routingKey: queue, durable: true, mandatory: true }
  return {
    async publish(orders) {
      await Promise.all(
        orders.map((order) => publisher.send(more === undefined ? envelope : { ...envelope, ...more(order) }, order)),
      )
    },
    async take(handle) {
      const consumer = connection.createConsumer(
        { queue, queueOptions, qos: { prefetchCount: CONCURRENCY } },
        ({ body }) => handle(body as Order),
      )
      await new Promise((resolve) => consumer.on('ready', () => resolve(undefined)))
      return () => consumer.close()
    },
    left,
  }
}

async function amqplib(more?: (order: Order) => Properties): Promise<Way> {
  const connection = await connect(url)
  const confirms = await connection.createConfirmChannel()
  if (first) await confirms.assertQueue(queue, { durable: true, arguments: QUORUM })
  confirms.on('return', () => {
    throw new Error('returned')
  })
  const options = { persistent: true, mandatory: true, contentType: 'application/json' }
  return {
    async publish(orders) {
      await Promise.all(
        orders.map(
          (order) =>
            new Promise<void>((resolve, reject) => {
              const own = more === undefined ? options : { ...options, ...more(order) }
              confirms.sendToQueue(queue, Buffer.from(JSON.stringify(order)), own, (error) =>
                error ? reject(error) : resolve(),
              )
            }),
        ),
      )
    },
    async take(handle) {
      const channel = await connection.createChannel()
      await channel.prefetch(CONCURRENCY)
      let inHand = 0
      const { consumerTag } = await channel.consume(queue, async (message) => {
        if (message === null) return
        inHand++
        await handle(JSON.parse(message.content.toString()) as Order)
        channel.ack(message)
        inHand--
      })
      return async () => {
        await channel.cancel(consumerTag)
        while (inHand > 0) await wait(1)
        await channel.close()
      }
    },
    left,
  }
}

// Events of Nest: its channel confirms, `noAck: false` leaves the acknowledgement to the handler. It cannot tell that a message was routed nowhere.
const nest = (): Promise<Way> => {
  const options = {
    urls: [url],
    queue,
    queueOptions: { durable: true, arguments: QUORUM },
    persistent: true,
    prefetchCount: CONCURRENCY,
  }
  return nestWay({
    pattern: 'order.placed',
    server: ({ Transport }) => ({ transport: Transport.RMQ, options: { ...options, noAck: false } }),
    client: ({ Transport }) => ({ transport: Transport.RMQ, options }),
    publish: (client, orders, settled) =>
      Promise.all(orders.map((order) => settled(client.emit('order.placed', order)))),
    done: (context) => context.getChannelRef().ack(context.getMessage()),
    left,
  })
}

const candidates: Readonly<Record<string, () => Promise<Way>>> = {
  'rabbitmq-client': rabbitmqClient,
  'rabbitmq-client, event': () => rabbitmqClient(asEvent),
  amqplib,
  'amqplib, event': () => amqplib(asEvent),
  'fairlead, rabbitmq-client': () =>
    overTransport(rabbitmqTransport(rabbitmqClientDriver(new Connection(url))), queue, first, CONCURRENCY, left),
  'fairlead, amqplib': () =>
    overTransport(rabbitmqTransport(amqplibDriver(() => connect(url))), queue, first, CONCURRENCY, left),
  Nest: nest,
}

const made = await candidates[name]?.()
if (made === undefined) throw new Error(`no candidate ${name}`)
serve(made)
