// What the Kafka transport promises, as data.
import type { TransportCapabilities } from '../../core/contracts/transport.ts'

/** The promises of a Kafka transport with default options. Those that options change are changed in the transport's own `capabilities`. */
export const kafkaCapabilities: TransportCapabilities = Object.freeze({
  modes: Object.freeze(['queue', 'topic'] as const),
  order: 'key',
  delivery: 'at-least-once',
  persistent: true,
  durableSubscriptions: true,
  acknowledged: 'replicated',
  competingConsumers: true,
  dedupeWindowMs: 0,
  redeliveryCount: 'emulated',
  delay: 'emulated',
  maxDelayMs: 900_000,
  extend: false,
  nack: 'either',
  priority: false,
  replay: true,
  temporary: true,
  deadLetters: 'native',
  unroutable: 'detected',
  waiting: 'leased',
  maxPayloadBytes: 1_000_000,
  latency: 'milliseconds',
  scaleUnit: 'partition',
  protocols: Object.freeze(['Kafka']),
})
