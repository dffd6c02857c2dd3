// Sending by way of a kafkajs that never answers.
import { kafkaJsDriver } from 'fairlead/kafka'
import { fakeClock } from 'fairlead/testing'
import { expect, it } from 'vitest'
import type { KafkaJsClient, KafkaJsProducer } from '../../../../src/adapters/kafka/drivers/kafkajs-types.ts'
import { fakeKafkaJs } from './fake-kafkajs.ts'

const clientOf = (sendBatch: KafkaJsProducer['sendBatch']): KafkaJsClient => ({
  ...fakeKafkaJs(),
  producer: () => ({ connect: async () => {}, disconnect: async () => {}, sendBatch }) as unknown as KafkaJsProducer,
})
const record = (partition: number) => ({
  topic: 'orders',
  partition,
  key: null,
  value: Buffer.from('x'),
  headers: {},
})

it('a send that hangs is told as unknown, after a while', async () => {
  const clock = fakeClock()
  const driver = kafkaJsDriver(
    clientOf(() => new Promise(() => {})),
    { clock, deliverWithinMs: 20_000 },
  )
  const producer = await driver.producer()
  const answers = producer.produce([record(0), record(1)])
  await clock.advance(20_000)
  const lost = { code: 'TIMED_OUT', effect: 'unknown', transient: true }
  expect(await answers).toMatchObject([lost, lost])
})

it('and what stands behind one that hangs is not sent', async () => {
  const clock = fakeClock()
  let calls = 0
  const refused = Object.assign(new Error('too large'), { type: 'MESSAGE_TOO_LARGE' })
  const driver = kafkaJsDriver(
    clientOf(() => (++calls === 1 ? Promise.reject(refused) : new Promise(() => {}))),
    { clock },
  )
  const producer = await driver.producer()
  const answers = producer.produce([record(0), record(1)])
  await clock.advance(30_000)
  expect(await answers).toMatchObject([
    { code: 'TIMED_OUT', effect: 'unknown' },
    { code: 'UNAVAILABLE', effect: 'none' },
  ])
  expect(calls).toBe(2)
})
