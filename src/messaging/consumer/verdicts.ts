// What an answer or a failure of a handler means for its message. Pure: all that it goes by is given.
import type { Random } from '../../core/clock.ts'
import { type FairleadError, wordsOf } from '../../errors/base.ts'
import { BUSY, DUPLICATE, Unasked } from '../inbox/judged.ts'
import type { Settings } from './options.ts'
import { isOutcome, type Outcome } from './outcomes.ts'

/** What a further delivery is counted as: a failure, a wish of the handler, or nothing that speaks against the message. */
export type Counted = 'failed' | 'asked' | 'innocent'

/** What is to be done with a message. */
export type Verdict =
  | { readonly what: 'ack'; readonly outcome: 'ack' | 'duplicate' | 'ignored' | 'expired' }
  /** Another attempt at once. */
  | { readonly what: 'now'; readonly reason: string; readonly error: FairleadError }
  | {
      readonly what: 'later'
      readonly delayMs: number
      readonly counted: Counted
      readonly reason: string
      readonly error?: FairleadError
      /** Later ones of its key need not wait for it, whatever `onFailure` says: it came before its time. */
      readonly passes?: boolean
      /** It waits here, if its lease lasts: given back it would be handed out to everyone in turn, and each time counted. */
      readonly stays?: boolean
    }
  | { readonly what: 'dead'; readonly reason: string; readonly error?: FairleadError }

/** What is known of the message and the consumer besides the failure. */
export interface FailureFacts {
  /** Attempts of this delivery, this one included. */
  readonly attempts: number
  /** Delayed retries that were used up before. */
  readonly stage: number
  /** The handler was aborted: by its deadline, mostly. */
  readonly aborted: boolean
  /** The consumer is throttled: the failure is put down to the outage. */
  readonly outage: boolean
}

type Plan = Pick<Settings, 'immediate' | 'delayedMs' | 'jitter'>

export const DONE: Verdict = Object.freeze({ what: 'ack', outcome: 'ack' })
const AGAIN: Verdict = Object.freeze({ what: 'ack', outcome: 'duplicate' })

/** Of what a handler returned. */
export function answered(answer: unknown, plan: Plan, stage: number, random: Random): Verdict {
  if (isOutcome(answer)) return asked(answer, plan, stage, random)
  if (answer === DUPLICATE) return AGAIN
  if (answer === BUSY) return waits('IN_PROGRESS: another delivery of it is being handled now', random)
  if (answer instanceof Unasked) return { ...waits(`no inbox: ${reasonOf(answer.error)}`, random), error: answer.error }
  return DONE
}

// How long the other one takes, or the inbox is away, is not known; mostly it is less.
const SOON_MS = 1_000

// The message is not at fault, and nothing is wrong with the handler.
function waits(reason: string, random: Random): Extract<Verdict, { readonly what: 'later' }> {
  return {
    what: 'later',
    delayMs: SOON_MS * (0.5 + random()),
    counted: 'innocent',
    reason,
    stays: true,
  }
}

function asked(outcome: Outcome, plan: Plan, stage: number, random: Random): Verdict {
  if (outcome.outcome === 'dead') return { what: 'dead', reason: outcome.reason }
  const { afterMs, reason = 'the handler asked for it' } = outcome
  return { what: 'later', delayMs: afterMs ?? delayOf(plan, stage, random), counted: 'asked', reason }
}

/** Of what a handler threw. A failure that could go well later is tried again at once, then later, then given up; any other is given up at once. */
export function failed(error: FairleadError, facts: FailureFacts, plan: Plan, random: Random): Verdict {
  const { attempts, stage, aborted, outage } = facts
  const reason = reasonOf(error)
  if (!mayGoWell(error, aborted)) return { what: 'dead', reason, error }
  const innocent = outage || isOwnRefusal(error)
  const waits = aborted || error.retryAfterMs !== undefined || error.overload
  if (!innocent && !waits && attempts <= plan.immediate) return { what: 'now', reason, error }
  if (!innocent && stage >= plan.delayedMs.length) return { what: 'dead', reason, error }
  const delayMs = Math.max(delayOf(plan, stage, random), error.retryAfterMs ?? 0)
  return { what: 'later', delayMs, counted: innocent ? 'innocent' : 'failed', reason, error }
}

// `retryable` presumes idempotence, as redelivery does. What was refused or cancelled on our own side says nothing of the message.
function mayGoWell(error: FairleadError, aborted: boolean): boolean {
  return (
    aborted ||
    error.transient ||
    error.kind === 'cancelled' ||
    (error.kind === 'rejected' && error.refusedBy === 'self')
  )
}

/** An open circuit, a full bulkhead, a client that is closed: the message was not tried. A deadline that was spent is its own doing. */
function isOwnRefusal(error: FairleadError): boolean {
  return (
    error.kind === 'rejected' &&
    error.refusedBy === 'self' &&
    error.code !== 'DEADLINE_SPENT' &&
    error.code !== 'RETRY_BUDGET_EXHAUSTED'
  )
}

// Where no delays are planned, but one is needed after all.
const USUAL_MS = 1_000

function delayOf({ delayedMs, jitter }: Plan, stage: number, random: Random): number {
  const planned = delayedMs[Math.min(stage, delayedMs.length - 1)] ?? USUAL_MS
  return jitter === 0 ? planned : planned * (1 + jitter * random())
}

/** `CODE: message`, in one line. */
export function reasonOf(error: FairleadError): string {
  return `${error.code}: ${wordsOf(error)}`
}
