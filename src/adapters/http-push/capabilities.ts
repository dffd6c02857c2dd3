// What HTTP push promises.
import type { TransportCapabilities } from '../../core/contracts/transport.ts'

/** The largest message by default: attributes, headers and body together, 1 MiB. */
export const DEFAULT_MAX_PAYLOAD_BYTES = 1_048_576

/**
 * What `httpPushTransport` promises. There is no place where a message could lie, so nothing survives a restart; an accepted send means more
 * than with a broker: a receiver has handled the message. Order per key holds for the messages of one sender.
 */
export const httpPushCapabilities: TransportCapabilities = Object.freeze({
  modes: Object.freeze(['queue', 'topic'] as const),
  order: 'key',
  delivery: 'at-least-once',
  persistent: false,
  durableSubscriptions: false,
  acknowledged: 'handled',
  competingConsumers: true,
  dedupeWindowMs: 0,
  redeliveryCount: 'emulated',
  delay: 'none',
  maxDelayMs: 0,
  extend: false,
  nack: 'block',
  priority: false,
  replay: false,
  temporary: false,
  deadLetters: 'emulated',
  unroutable: 'detected',
  waiting: 'leased',
  maxPayloadBytes: DEFAULT_MAX_PAYLOAD_BYTES,
  latency: 'milliseconds',
  scaleUnit: 'URL',
  protocols: Object.freeze(['HTTP/1.1', 'CloudEvents 1.0', 'Standard Webhooks']),
})
