// The Kafka transport by way of kafkajs against the suite of the contract, on a broker that is stopped, killed, cut off and silenced.
import { testTransport } from 'fairlead/testing'
import { afterAll, describe, test } from 'vitest'
import { kafkaLab } from './kafka-lab.ts'

await testTransport('Kafka, by kafkajs', () => kafkaLab('kafkajs'), {
  describe,
  test,
  skip: test.skip,
  timeoutMs: 120_000,
  afterAll,
})
