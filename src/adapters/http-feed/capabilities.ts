// What a feed promises, as data.
import type { TransportCapabilities } from '../../core/contracts/transport.ts'
import { MAX_PAYLOAD_BYTES } from './feed-options.ts'

/**
 * What a feed with a log in memory promises. With a log that is `persistent` the lines `persistent` and `acknowledged` are those of the log,
 * and with given `topics` a send to nowhere is `detected`.
 *
 * `competingConsumers`: one member of a group reads a topic at a time, and another takes over where it left off.
 * `redeliveryCount`: kept with the position of the group.
 */
export const httpFeedCapabilities: TransportCapabilities = Object.freeze({
  modes: Object.freeze(['topic'] as const),
  order: 'channel',
  delivery: 'at-least-once',
  persistent: false,
  durableSubscriptions: true,
  acknowledged: 'memory',
  competingConsumers: true,
  dedupeWindowMs: 0,
  redeliveryCount: 'emulated',
  delay: 'none',
  maxDelayMs: 0,
  extend: false,
  nack: 'block',
  priority: false,
  replay: true,
  temporary: false,
  deadLetters: 'none',
  unroutable: 'impossible',
  waiting: 'counted',
  maxPayloadBytes: MAX_PAYLOAD_BYTES,
  latency: 'milliseconds',
  scaleUnit: 'topic',
  protocols: Object.freeze(['HTTP', 'CloudEvents']),
})
