// What a receiver is made of, and what it keeps of a message that the broker has handed to it.
import type { Delivery } from '../../core/contracts/transport.ts'
import type { FairleadError } from '../../errors/index.ts'
import type { AmqpDriver, AmqpMessage } from './driver.ts'
import type { Settings } from './options.ts'
import type { Place } from './place.ts'
import type { Sender } from './sender.ts'
import type { Session, Slot } from './session.ts'
import type { Topology } from './topology.ts'

/** What a receiver is made of. */
export interface ReceiverParts {
  readonly driver: AmqpDriver
  readonly settings: Settings
  readonly sender: Sender
  readonly topology: Topology
  readonly place: Place
  readonly sink: (delivery: Delivery) => void
  readonly errorOf: (error: unknown) => FairleadError
  /** Called once when it is over, however it came about. */
  readonly onClosed: () => void
}

/** A message that the broker has handed to us. */
export interface Arrival {
  readonly message: AmqpMessage
  readonly slot: Slot
  readonly session: Session
  readonly at: number
  /** How often it was handed out before. */
  count: number
  /** Given back and kept here: not before this instant. */
  until: number
}
