// What a receiver is made of, and what it keeps of a message that the broker has handed to it.
import type { Delivery, SettleOptions, SettleVerdict } from '../../core/contracts/transport.ts'
import { wrongVerdict } from '../../core/settle.ts'
import { createError, type FairleadError } from '../../errors/index.ts'
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

/** It takes no room at the broker any more. */
export function free({ slot }: Arrival): void {
  if (slot.active) slot.used--
}

/** Why a verdict cannot be given, if it cannot. */
export function refusedVerdict(
  { name, capabilities: { maxDelayMs } }: Settings,
  channel: string,
  verdict: SettleVerdict,
  options: SettleOptions | undefined,
): Error | undefined {
  const problem = wrongVerdict(verdict, options)
  if (problem !== undefined || verdict !== 'retry' || (options?.delayMs ?? 0) <= maxDelayMs) return problem
  return createError({
    code: 'CAPABILITY_MISSING',
    message: `a delay of ${options?.delayMs} ms is asked for; the longest is ${maxDelayMs} ms`,
    transport: name,
    channel,
  })
}
