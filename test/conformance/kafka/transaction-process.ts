// A process that consumes and publishes by transactions, and hangs where the first of them is to be committed: until it is killed.
import * as platformatic from '@platformatic/kafka'
import { kafkaJsDriver, kafkaTransactions, kafkaTransport, platformaticKafkaDriver } from 'fairlead/kafka'
import { createConsumer, topic } from 'fairlead/messaging'
import { Kafka, logLevel, type Producer } from 'kafkajs'
import { z } from 'zod'

const { client, brokers, from, to } = JSON.parse(process.env['SAID'] as string) as Record<string, string>

const hang = (): Promise<never> => {
  process.send?.('written')
  return new Promise(() => {})
}

const kafkaJs = (): ReturnType<typeof kafkaJsDriver> => {
  const kafka = new Kafka({ brokers: [brokers as string], logLevel: logLevel.NOTHING })
  const { producer } = kafka
  kafka.producer = (config): Producer => {
    const made = producer.call(kafka, config)
    const { transaction } = made
    made.transaction = async () => ({ ...(await transaction()), commit: hang })
    return made
  }
  return kafkaJsDriver(kafka, { sessionTimeoutMs: 6_000 })
}

const driver =
  client === 'kafkajs'
    ? kafkaJs()
    : platformaticKafkaDriver(
        {
          ...platformatic,
          endTxnV3: { ...platformatic.endTxnV3, api: { ...platformatic.endTxnV3.api, async: hang } },
        } as unknown as typeof platformatic,
        { clientId: 'killed', bootstrapBrokers: [brokers as string] },
        { sessionTimeoutMs: 6_000 },
      )
const transport = kafkaTransport(driver)
const transactions = kafkaTransactions(transport, { source: '/billing' })
const count = z.object({ n: z.number() })
const Orders = topic(from as string, { placed: count })
const Invoices = topic(to as string, { made: count })
const consumer = createConsumer({
  transport,
  channel: Orders,
  group: 'g',
  inbox: transactions,
  handlers: {
    placed: async ({ data }, { tx }) => {
      await transactions.publish(tx, Invoices, { type: 'made', key: 'k', data })
    },
  },
})
await consumer.start()
process.send?.('ready')
