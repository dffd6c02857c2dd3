// The RabbitMQ transport with its defaults, over amqplib, against the suite of the contract, on a broker that is killed, stopped, cut off and silenced.
import { testTransport } from 'fairlead/testing'
import { afterAll, describe, test } from 'vitest'
import { troubledLab } from './rabbitmq-lab.ts'

await testTransport('RabbitMQ (amqplib)', () => troubledLab('amqplib'), {
  describe,
  test,
  skip: test.skip,
  timeoutMs: 120_000,
  afterAll,
})
