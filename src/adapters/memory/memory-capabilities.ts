// What the memory transport promises, as data.
import { LONGEST_TIMER_MS } from '../../core/clock.ts'
import type { TransportCapabilities } from '../../core/contracts/transport.ts'

/** The promises of a memory transport with default options. Those that options change are changed in the transport's own `capabilities`. */
export const memoryCapabilities: TransportCapabilities = Object.freeze({
  modes: Object.freeze(['queue', 'topic'] as const),
  order: 'key',
  delivery: 'at-least-once',
  persistent: false,
  durableSubscriptions: true,
  acknowledged: 'memory',
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
  unroutable: 'impossible',
  waiting: 'counted',
  maxPayloadBytes: 1_048_576,
  latency: 'microseconds',
  scaleUnit: 'process',
  protocols: Object.freeze([]),
})
