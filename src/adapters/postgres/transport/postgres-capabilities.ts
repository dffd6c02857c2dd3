// What the PostgreSQL transport promises, as data.
import { LONGEST_TIMER_MS } from '../../../core/clock.ts'
import type { TransportCapabilities } from '../../../core/contracts/transport.ts'

/** The promises of a PostgreSQL transport with default options. Those that options change are changed in the transport's own `capabilities`. */
export const postgresCapabilities: TransportCapabilities = Object.freeze({
  modes: Object.freeze(['queue', 'topic'] as const),
  order: 'key',
  delivery: 'at-least-once',
  persistent: true,
  durableSubscriptions: true,
  acknowledged: 'disk',
  competingConsumers: true,
  dedupeWindowMs: 0,
  redeliveryCount: 'broker',
  delay: 'native',
  maxDelayMs: LONGEST_TIMER_MS,
  extend: true,
  nack: 'either',
  priority: true,
  replay: true,
  temporary: true,
  deadLetters: 'native',
  unroutable: 'detected',
  waiting: 'counted',
  maxPayloadBytes: 1_048_576,
  latency: 'milliseconds',
  scaleUnit: 'database',
  protocols: Object.freeze(['PostgreSQL']),
})
