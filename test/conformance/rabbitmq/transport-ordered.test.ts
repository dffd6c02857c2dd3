// The RabbitMQ transport with the order of a channel, against the suite of the contract, on a broker that is killed, cut off and silenced.
import { testTransport } from 'fairlead/testing'
import { afterAll, describe, test } from 'vitest'
import { troubledLab } from './rabbitmq-lab.ts'

await testTransport('RabbitMQ (order: channel)', () => troubledLab('rabbitmq-client', { order: 'channel' }, false), {
  describe,
  test,
  skip: test.skip,
  timeoutMs: 120_000,
  afterAll,
})
