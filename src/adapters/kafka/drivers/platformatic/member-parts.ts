// What a member of a group is made of.
import type { Clock } from '../../../../core/clock.ts'
import type { MemberEvents } from '../../driver.ts'
import type { Link } from './link.ts'
import type { PlatformaticKafka } from './types.ts'

/** How a member behaves. */
export interface MemberOptions {
  readonly sessionTimeoutMs: number
  readonly rebalanceTimeoutMs: number
  readonly heartbeatMs: number
  readonly retryMs: number
  /** How long the first attempts to join may take, all together. */
  readonly joinWithinMs: number
}

/** What a member is made of. */
export interface MemberParts {
  readonly kafka: Pick<
    PlatformaticKafka<never>,
    'joinGroupV6' | 'syncGroupV4' | 'heartbeatV4' | 'leaveGroupV4' | 'offsetCommitV8' | 'protocolErrorsCodesById'
  >
  /** For joining and heartbeats: a JoinGroup holds up all that comes behind it on its connection. */
  readonly membership: Link
  /** For commits, and to leave. */
  readonly commits: Link
  readonly clock: Clock
  readonly group: string
  readonly topics: readonly string[]
  readonly options: MemberOptions
  readonly events: MemberEvents
}
