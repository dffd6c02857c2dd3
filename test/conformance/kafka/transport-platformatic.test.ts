// The same by way of @platformatic/kafka.
import { testTransport } from 'fairlead/testing'
import { afterAll, describe, test } from 'vitest'
import { kafkaLab } from './kafka-lab.ts'

await testTransport('Kafka, by @platformatic/kafka', () => kafkaLab('@platformatic/kafka'), {
  describe,
  test,
  skip: test.skip,
  timeoutMs: 120_000,
  afterAll,
})
