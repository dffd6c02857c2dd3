// Makes a FairleadError of whatever was thrown. It never throws and never runs what it is given.
import { type FairleadError, type FairleadErrorFields, isFairleadError } from './base.ts'
import { createError, type Stamp, stamp, withFields } from './classes.ts'
import { looksLikeAbort } from './classify-abort.ts'
import { describeThrown, type Facts, look, oneLine, read, readText, type TableHints } from './classify-facts.ts'
import { type Found, find } from './classify-walk.ts'
import { CODES, type Effect } from './codes.ts'

export { type StatusHints, statusToError } from './classify-http.ts'
export { parseRetryAfter } from './retry-after.ts'
export { verdictOf } from './verdict.ts'

/** What the caller of `classify` knows besides the error. All may be left out. */
export interface Hints
  extends TableHints,
    Pick<
      FairleadErrorFields,
      'idempotent' | 'service' | 'operation' | 'endpoint' | 'transport' | 'channel' | 'attempt' | 'elapsedMs'
    > {
  /** `none`: it was measured that nothing was sent. Anything else changes nothing: what the code proves stays proven. */
  readonly effect?: Effect | undefined
  /**
   * Why the attempt was aborted, if it was: errors that only say "aborted" then mean this. Given as undefined, it says that nobody of ours
   * aborted anything: then such an error is the work's own doing, nearly always a timeout of its own (`TIMED_OUT`), and not the caller's.
   */
  readonly aborted?: { readonly reason: unknown } | undefined
}

/**
 * Says in fairlead's words what went wrong. Never throws.
 *
 * A FairleadError of the same operation, or of none, is given back itself, with what it does not say yet filled in.
 * One of another operation came out of a call inside this one: it is wrapped, with the same code, and its own word on repeating it does not count,
 * because this operation may have done more by then.
 *
 * @example catch (error) { if (classify(error).kind === 'timing') ... }
 */
export function classify(error: unknown, hints: Hints = {}): FairleadError {
  const reason = hints.aborted?.reason
  if (isFairleadError(error)) return adopt(error, hints)
  if (hints.aborted !== undefined && (error === reason || looksLikeAbort(look(error)))) {
    return isFairleadError(reason) ? adopt(reason, hints) : cancelled(error, hints)
  }
  const found = find(error, hints)
  if (found?.code === 'CANCELLED' && 'aborted' in hints && hints.aborted === undefined)
    return build(error, { ...found, code: 'TIMED_OUT' }, hints)
  if (found?.nested !== undefined) return unwrap(found.nested, found.effect ?? 'unknown', error, hints)
  return build(error, found, hints)
}

function build(error: unknown, found: Found | undefined, hints: Hints): FairleadError {
  const code = found?.code ?? 'CALL_FAILED'
  const facts = found?.facts ?? look(error)
  const message = words(facts)
  // Field by field: a spread of this many costs more than the error itself.
  return createError({
    code,
    message: message ?? (facts.isError ? undefined : unworded(error, found)),
    cause: error,
    effect: measured(found?.effect ?? CODES[code].effect, found?.answered, hints),
    transient: found?.transient,
    retryAfterMs: found?.retryAfterMs,
    details: found?.details,
    stack: !facts.isError,
    idempotent: hints.idempotent,
    service: hints.service,
    operation: hints.operation,
    endpoint: hints.endpoint,
    transport: hints.transport,
    channel: hints.channel,
    attempt: hints.attempt,
    elapsedMs: hints.elapsedMs,
  })
}

// A thrown `Response` has no words of its own, but a status.
function unworded(error: unknown, found: Found | undefined): string {
  const status = read(found?.details, 'status')
  return typeof status === 'number' ? `the peer answered ${status}` : `${describeThrown(error)} was thrown`
}

// `fetch failed` says nothing without its cause.
function words({ message, value }: Facts): string | undefined {
  if (message === '') return undefined
  const why = readText(read(value, 'cause'), 'message')
  return oneLine(why === '' || message.includes(why) ? message : `${message}: ${why}`)
}

function cancelled(error: unknown, hints: Hints): FairleadError {
  return createError({
    ...stampOf(hints),
    code: 'CANCELLED',
    effect: measured('unknown', false, hints),
    cause: hints.aborted?.reason ?? error,
    stack: false,
  })
}

function measured(effect: Effect, answered: boolean | undefined, hints: Hints): Effect {
  return (hints.effect === 'none' || hints.phase === 'connect') && !answered && effect !== 'done' ? 'none' : effect
}

// ---- errors that are FairleadErrors already ----

function isOwn(error: FairleadError, hints: Hints): boolean {
  if (hints.service === undefined || error.service === undefined) return true
  if (error.service !== hints.service) return false
  return error.operation === undefined || hints.operation === undefined || error.operation === hints.operation
}

function adopt(error: FairleadError, hints: Hints): FairleadError {
  if (!isOwn(error, hints)) return wrap(error, error, hints)
  const known = stampOf(hints)
  return Object.isFrozen(error) ? withFields(error, missing(error, known)) : stamp(error, known)
}

function missing(error: FairleadError, known: Stamp): Stamp {
  const entries = Object.entries(known).filter(
    ([field, value]) => value !== undefined && (field === 'idempotent' || read(error, field) === undefined),
  )
  return Object.fromEntries(entries) as Stamp
}

// Found inside something foreign: the reason of an abort is the error itself; anything else was wrapped on purpose and stays the cause.
function unwrap(nested: FairleadError, effect: Effect, error: unknown, hints: Hints): FairleadError {
  if (!isOwn(nested, hints)) return wrap(nested, error, hints)
  if (looksLikeAbort(look(error))) return adopt(nested, hints)
  return withFields(wrap(nested, error, hints), { effect: measured(effect, false, hints) })
}

function wrap(nested: FairleadError, cause: unknown, hints: Hints): FairleadError {
  const code = CODES[nested.code] === undefined ? 'CALL_FAILED' : nested.code
  const text = nested.message.replace(`[${nested.code}] `, '')
  return createError({
    ...stampOf(hints),
    code,
    message: `${[nested.service, nested.operation].filter((part) => part !== undefined).join('.')}: ${oneLine(text)}`,
    cause,
    effect: hints.effect === 'none' ? 'none' : 'unknown',
    transient: nested.transient,
    retryAfterMs: nested.retryAfterMs,
    failure: nested.failure,
    details: nested.details,
    stack: false,
  })
}

function stampOf(hints: Hints): Stamp {
  return {
    idempotent: hints.idempotent,
    service: hints.service,
    operation: hints.operation,
    endpoint: hints.endpoint,
    transport: hints.transport,
    channel: hints.channel,
    attempt: hints.attempt,
    elapsedMs: hints.elapsedMs,
  }
}
