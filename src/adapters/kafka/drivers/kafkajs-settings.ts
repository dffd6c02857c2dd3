// What the parts of the kafkajs driver go by.
import type { Clock } from '../../../core/clock.ts'

/** What all memberships of a driver have alike. */
export interface MemberSettings {
  readonly clock: Clock
  readonly maxWaitMs: number
  readonly sessionTimeoutMs: number
  readonly heartbeatMs: number
  readonly rebalanceTimeoutMs: number
  /** How long an attempt to join may take: then it has failed. */
  readonly joinWithinMs: number
}

/** And what its producers do. */
export interface ProducerSettings {
  readonly clock: Clock
  /** How long kafkajs may take to write, with all that it tries by itself. */
  readonly deliverWithinMs: number
}
