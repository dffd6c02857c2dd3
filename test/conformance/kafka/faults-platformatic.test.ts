// Every way in which a real Kafka fails us, by way of @platformatic/kafka.
import * as platformatic from '@platformatic/kafka'
import { platformaticKafkaDriver } from 'fairlead/kafka'
import { expect, it } from 'vitest'
import { describeFaults } from './faults.ts'
import { proxiedKafka } from './kafka-lab.ts'
import { topicNamed } from './kit.ts'

describeFaults('@platformatic/kafka')

it('an answer that is lost: the next batch is not taken for the one before', async () => {
  const kafka = await proxiedKafka()
  const connection = { clientId: 'lost', bootstrapBrokers: [...kafka.brokers] }
  const driver = platformaticKafkaDriver(platformatic, connection, { answerWithinMs: 6_000, deliverWithinMs: 500 })
  const direct = platformaticKafkaDriver(platformatic, { ...connection, bootstrapBrokers: [kafka.instance.brokers] })
  const { name: topic } = topicNamed('answer')
  await direct.createTopics([{ topic, partitions: 1, replicationFactor: -1, config: {} }])
  const record = (text: string) => ({ topic, partition: 0, key: null, value: Buffer.from(text), headers: {} })
  const producer = await driver.producer()
  expect(await producer.produce([record('first')])).toEqual([undefined])
  // What we say arrives, and no answer comes back.
  await kafka.proxy.toxic('timeout', { timeout: 0 }, 'downstream')
  const [lost] = await producer.produce([record('second')])
  expect(lost).toMatchObject({ effect: 'unknown', transient: true })
  await kafka.proxy.mend()
  await expect.poll(async () => (await producer.produce([record('third')]))[0], { timeout: 60_000 }).toBeUndefined()
  const texts: string[] = []
  const reader = await direct.read([{ topic, partition: 0, offset: 0 }], {
    onRecords: (_, records) => texts.push(...records.map(({ value }) => Buffer.from(value ?? []).toString())),
    onEnded: () => undefined,
  })
  await expect.poll(() => texts, { timeout: 60_000 }).toContain('third')
  expect(texts).toContain('second')
  await reader.close()
  await producer.close()
  await Promise.all([driver.close(), direct.close()])
  await kafka.remove()
}, 300_000)
