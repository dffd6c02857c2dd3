// What a failed send says: of the message, of its channel, of the transport as a whole, or only of this relay.
import type { FairleadError } from '../../errors/base.ts'
import type { Code } from '../../errors/codes.ts'

/**
 * `message`: it can never be published as it is. `channel`: mendable there, and no fault of the message. `passing`: it may go well later.
 * `ours`: the relay ended it itself; it says nothing. `done`: it is published all the same.
 */
export type Fault = 'message' | 'channel' | 'passing' | 'ours' | 'done'

// Permanent as the call stands; but whoever is on call mends a binding, a right, a certificate, and the messages are fine.
const OF_CHANNEL: ReadonlySet<Code> = new Set<Code>(['UNROUTABLE', 'CHANNEL_NOT_FOUND', 'FORBIDDEN'])
const OF_TRANSPORT: ReadonlySet<Code> = new Set<Code>([
  'UNAUTHENTICATED',
  'CERTIFICATE_INVALID',
  'TLS_FAILED',
  'CIRCUIT_ISOLATED',
  'SHUTDOWN',
])
const OURS: ReadonlySet<Code> = new Set<Code>(['CANCELLED', 'DEADLINE_SPENT'])

/** What it says. */
export function faultOf(error: FairleadError): Fault {
  const { code, effect, transient } = error
  if (effect === 'done') return 'done'
  if (OURS.has(code)) return 'ours'
  if (OF_CHANNEL.has(code)) return 'channel'
  if (OF_TRANSPORT.has(code)) return 'passing'
  // What may have had an effect is sent again until it is known.
  return transient || effect !== 'none' ? 'passing' : 'message'
}

/** Whether somebody at the other end has answered it. */
export function isAnswer(error: FairleadError): boolean {
  return error.kind === 'response' && !error.transient && error.effect === 'none' && error.code !== 'UNAUTHENTICATED'
}

/** The id of the failed message of the same key that stands in front of it, if that is why. */
export function aheadOf(error: FairleadError): string | undefined {
  if (error.code !== 'TOO_EARLY') return undefined
  const { ahead } = (error.details ?? {}) as { readonly ahead?: unknown }
  return typeof ahead === 'string' ? ahead : undefined
}

const LONGEST_REASON = 1_000

/** As it is kept with the row. */
export function reasonOf(error: FairleadError, before = ''): string {
  const text = `${before}${error.message}`
  return text.length > LONGEST_REASON ? `${text.slice(0, LONGEST_REASON - 1)}…` : text
}
