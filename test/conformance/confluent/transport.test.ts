// The Kafka transport by way of @confluentinc/kafka-javascript against the suite of the contract, on a broker that is stopped, killed, cut off and silenced.
import { testTransport } from 'fairlead/testing'
import { afterAll, describe, test } from 'vitest'
import { kafkaLab } from '../kafka/kafka-lab.ts'

await testTransport('Kafka, by @confluentinc/kafka-javascript', () => kafkaLab('@confluentinc/kafka-javascript'), {
  describe,
  test,
  skip: test.skip,
  timeoutMs: 120_000,
  afterAll,
})
