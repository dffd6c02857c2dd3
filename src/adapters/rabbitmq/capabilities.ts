// What the RabbitMQ transport promises, as data. Two options change the promises; each variant is proven by the suite.
import type { TransportCapabilities } from '../../core/contracts/transport.ts'

/** The longest delay: what a wait queue can be given as its TTL, and a timer can wait for. */
export const MAX_DELAY_MS: number = 2 ** 31 - 1

/** The promises of a RabbitMQ transport with default options: quorum queues, no order. */
export const rabbitmqCapabilities: TransportCapabilities = Object.freeze({
  modes: Object.freeze(['queue', 'topic'] as const),
  order: 'none',
  delivery: 'at-least-once',
  persistent: true,
  durableSubscriptions: true,
  // Quorum queues confirm once a majority of their members has the message on disk.
  acknowledged: 'disk',
  competingConsumers: true,
  dedupeWindowMs: 0,
  redeliveryCount: 'broker',
  delay: 'emulated',
  maxDelayMs: MAX_DELAY_MS,
  extend: false,
  nack: 'requeue',
  priority: false,
  replay: false,
  temporary: true,
  deadLetters: 'native',
  unroutable: 'detected',
  waiting: 'counted',
  maxPayloadBytes: 16_777_216,
  latency: 'milliseconds',
  scaleUnit: 'queue',
  protocols: Object.freeze(['AMQP 0-9-1']),
})

/** With `order: 'channel'`: single active consumers, and what is given back waits at the receiver. */
export const orderedRabbitmqCapabilities: TransportCapabilities = Object.freeze({
  ...rabbitmqCapabilities,
  order: 'channel',
  redeliveryCount: 'emulated',
  nack: 'block',
  // The active receiver has more than it was asked for: nobody else could have it meanwhile.
  waiting: 'leased',
})

/** With `priorities`: classic queues, which have no counts. */
export const priorityRabbitmqCapabilities: TransportCapabilities = Object.freeze({
  ...rabbitmqCapabilities,
  priority: true,
  redeliveryCount: 'emulated',
  // The broker does not say how many wait of each priority.
  waiting: 'leased',
})
