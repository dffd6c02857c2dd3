import { createRequire } from 'node:module'
import { KafkaJSConnectionError, KafkaJSError, KafkaJSNumberOfRetriesExceeded } from 'kafkajs'
import { describe, expect, it } from 'vitest'
import { brokerError, classifyKafka, isFatalForProducer } from '../../../src/adapters/kafka/classify-kafka.ts'

const { createErrorFromCode } = createRequire(import.meta.url)('kafkajs/src/protocol/error.js') as {
  createErrorFromCode(code: number): Error & { readonly type: string }
}
const exceeded = (cause: Error): Error => new KafkaJSNumberOfRetriesExceeded(cause, { retryCount: 3, retryTime: 100 })

describe('what went wrong with Kafka', () => {
  it.each([
    [3, 'UNROUTABLE', 'none'],
    [6, 'UNAVAILABLE', 'none'],
    [7, 'TIMED_OUT', 'unknown'],
    [10, 'PAYLOAD_TOO_LARGE', 'none'],
    [14, 'UNAVAILABLE', 'none'],
    [15, 'UNAVAILABLE', 'none'],
    [16, 'UNAVAILABLE', 'none'],
    [19, 'UNAVAILABLE', 'none'],
    [20, 'UNAVAILABLE', 'unknown'],
    [22, 'LEASE_LOST', 'none'],
    [25, 'LEASE_LOST', 'none'],
    [27, 'LEASE_LOST', 'none'],
    [29, 'FORBIDDEN', 'none'],
    [45, 'CONNECTION_LOST', 'unknown'],
    [56, 'UNAVAILABLE', 'unknown'],
    [58, 'UNAUTHENTICATED', 'none'],
    [59, 'CONNECTION_LOST', 'unknown'],
  ] as const)('error %i of the broker, by kafkajs', (code, ours, effect) => {
    const error = createErrorFromCode(code)
    expect(classifyKafka(error)).toMatchObject({ code: ours, effect, details: { kafka: error.type } })
    expect(classifyKafka(exceeded(error))).toMatchObject({ code: ours, effect })
  })

  it('knows all that kafkajs knows', () => {
    for (let code = 0; code <= 82; code++) {
      const error = createErrorFromCode(code)
      expect(classifyKafka(error).code, error.type).not.toBe('CALL_FAILED')
    }
  })

  it('reads the words where a client has nothing else', () => {
    expect(classifyKafka(new KafkaJSError(createErrorFromCode(16)))).toMatchObject({ code: 'UNAVAILABLE' })
    const refused = new KafkaJSConnectionError('Connection error: connect ECONNREFUSED 127.0.0.1:9')
    expect(classifyKafka(refused)).toMatchObject({ code: 'CONNECTION_REFUSED', effect: 'none' })
    expect(classifyKafka(new KafkaJSConnectionError('Closed connection'))).toMatchObject({
      code: 'CONNECTION_LOST',
      effect: 'unknown',
    })
    expect(classifyKafka(new KafkaJSConnectionError('Closed connection'), { phase: 'connect' })).toMatchObject({
      effect: 'none',
    })
  })

  it('says when a producer must not go on', () => {
    for (const name of [
      'OUT_OF_ORDER_SEQUENCE_NUMBER',
      'PRODUCER_FENCED',
      'REQUEST_TIMED_OUT',
      'UNKNOWN_TOPIC_OR_PARTITION',
    ])
      expect(isFatalForProducer(brokerError(name)), name).toBe(true)
    for (const name of ['NOT_ENOUGH_REPLICAS', 'MESSAGE_TOO_LARGE', 'TOPIC_AUTHORIZATION_FAILED'])
      expect(isFatalForProducer(brokerError(name)), name).toBe(false)
  })
})
