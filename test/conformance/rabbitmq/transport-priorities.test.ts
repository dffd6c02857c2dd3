// The RabbitMQ transport with priority queues, against the suite of the contract, on a broker that is killed, cut off and silenced.
import { testTransport } from 'fairlead/testing'
import { afterAll, describe, test } from 'vitest'
import { troubledLab } from './rabbitmq-lab.ts'

await testTransport('RabbitMQ (priorities)', () => troubledLab('amqplib', { priorities: 10 }, false), {
  describe,
  test,
  skip: test.skip,
  timeoutMs: 120_000,
  afterAll,
})
