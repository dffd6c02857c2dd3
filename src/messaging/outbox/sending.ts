// One send: with the end that it has to have, and what the transport says of each message.
import type { Clock } from '../../core/clock.ts'
import { createContext } from '../../core/context.ts'
import type { MessageTransport, SendResult } from '../../core/contracts/transport.ts'
import { deadlineIn } from '../../core/deadline.ts'
import type { Envelope } from '../../core/message.ts'
import { createError } from '../../errors/classes.ts'
import type { Parcel } from './hand.ts'
import type { Standing } from './standing.ts'

/** What came of a send: a result for each row, or why there is none. */
export type Answer =
  | { readonly results: readonly (SendResult | undefined)[] }
  | { readonly error: unknown; readonly abandoned?: boolean }

/** What was true when a send began. */
export interface Begun {
  /** The version of the tenure. */
  readonly version: number
  /** How many sends of its channel had got something through. */
  readonly successes: number
}

/** A parcel that is under way. */
export interface Sending {
  readonly parcel: Parcel
  readonly startedAt: number
  readonly begun: Begun
  readonly standing: Standing
  /** Asks the transport to give up; its answer is still waited for. */
  abort(reason: unknown): void
}

/** What sends are made with. */
export interface SendPlan {
  readonly transport: MessageTransport
  readonly clock: Clock
  readonly timeoutMs: number
  /** How long after its deadline a send may still answer. */
  readonly graceMs: number
}

/** Sends, and calls back once, never from within. A send that does not even end after its deadline is left alone, and its answer is nobody's any more. */
export function send(
  plan: SendPlan,
  parcel: Parcel,
  envelopes: readonly Envelope[],
  begun: Begun,
  standing: Standing,
  answered: (sending: Sending, answer: Answer) => void,
): Sending {
  const { transport, clock, timeoutMs, graceMs } = plan
  const { channel } = parcel
  const { context, abort } = createContext({
    service: channel.name,
    operation: 'publish',
    deadline: deadlineIn(timeoutMs, clock),
    // The same messages with the same ids.
    idempotent: true,
  })
  const sending: Sending = { parcel, startedAt: clock.now(), begun, standing, abort }
  let over = false
  const end = (answer: Answer): void => {
    if (over) return
    over = true
    clock.clearTimer(timer)
    answered(sending, answer)
  }
  const timer = clock.setTimer(
    () => {
      const error = createError({ code: 'DEADLINE_EXCEEDED', message: `${transport.name} gave no answer` })
      abort(error)
      end({ error, abandoned: true })
    },
    timeoutMs + graceMs,
    undefined,
  )
  let answer: Promise<readonly SendResult[]>
  try {
    answer = Promise.resolve(transport.send(channel, envelopes, context))
  } catch (error) {
    answer = Promise.reject(error)
  }
  answer.then(
    (results) => end(Array.isArray(results) ? { results } : { error: silent(transport) }),
    // A transport never rejects; one that does all the same has said nothing of any message.
    (error) => end({ error }),
  )
  return sending
}

/** For a message that the transport has no word for. */
export function silent(transport: MessageTransport): Error {
  return createError({ code: 'PROTOCOL_VIOLATION', message: `${transport.name} said nothing of the message` })
}
