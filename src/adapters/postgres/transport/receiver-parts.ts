// What a receiver is given by its transport.
import type { Clock, Random } from '../../../core/clock.ts'
import type { Delivery } from '../../../core/contracts/transport.ts'
import type { ChannelAddress } from '../../../core/message.ts'
import type { FairleadError } from '../../../errors/index.ts'
import type { PgDelivery } from './delivery.ts'
import type { MessageStore, Said } from './store.ts'
import type { Watch } from './watch.ts'

/** What a receiver is made of. */
export interface ReceiverParts {
  readonly name: string
  readonly clock: Clock
  readonly random: Random
  readonly store: MessageStore
  readonly watch: Watch
  readonly address: ChannelAddress
  readonly place: number
  readonly channelId: number
  /** Its name at the database. */
  readonly holder: string
  readonly leaseMs: number
  readonly durableSettles: boolean
  readonly sink: (delivery: Delivery) => void
  readonly errorOf: (error: unknown) => FairleadError
  /** Claimed messages, for the cleaning of tables. */
  readonly onClaimed: (count: number) => void
  /** Called once when it is over, however it came about. */
  readonly onClosed: () => Promise<void>
}

/** A verdict on its way to the database. */
export interface Told {
  readonly delivery: PgDelivery
  /** Absent for an acknowledgement. */
  readonly said?: Said | undefined
  /** An earlier try may have been heard. */
  unsure: FairleadError | undefined
  resolve(): void
  reject(error: unknown): void
}

/** A claim of more only holds up others at the same place. */
export const MOST_AT_ONCE = 1_000
// So few are taken in one go.
const FEW = 100

/** How many to claim: half of much, so that the database looks for the next ones while the last ones are handled. */
export function atOnce(credit: number): number {
  return Math.min(credit > FEW ? Math.ceil(credit / 2) : credit, MOST_AT_ONCE)
}
