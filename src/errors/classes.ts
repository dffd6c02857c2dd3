// One small class per kind, so that `instanceof` reads well. They carry nothing of their own: `kind` and `code` say it all.
import { FairleadError, type FairleadErrorFields } from './base.ts'
import { CODES, type Kind } from './codes.ts'

/** The peer is gone. */
export class CrashError extends FairleadError {
  static readonly kindOfClass: Kind = 'crash'
}
/** A request or a reply was lost. */
export class OmissionError extends FairleadError {
  static readonly kindOfClass: Kind = 'omission'
}
/** Too late, or too early. */
export class TimingError extends FairleadError {
  static readonly kindOfClass: Kind = 'timing'
}
/** Answered with a failure, or lacking what the answer should carry. */
export class ResponseError extends FairleadError {
  static readonly kindOfClass: Kind = 'response'
}
/** Breaks protocol, identity or agreement. */
export class ArbitraryError extends FairleadError {
  static readonly kindOfClass: Kind = 'arbitrary'
}
/** Refused, and surely not processed. */
export class RejectedError extends FairleadError {
  static readonly kindOfClass: Kind = 'rejected'
}
/** The caller gave up. */
export class CancelledError extends FairleadError {
  static readonly kindOfClass: Kind = 'cancelled'
}
/** The caller's own fault, found here. */
export class InvalidError extends FairleadError {
  static readonly kindOfClass: Kind = 'invalid'
}

const byKind: Readonly<Record<Kind, new (fields: FairleadErrorFields) => FairleadError>> = {
  crash: CrashError,
  omission: OmissionError,
  timing: TimingError,
  response: ResponseError,
  arbitrary: ArbitraryError,
  rejected: RejectedError,
  cancelled: CancelledError,
  invalid: InvalidError,
}

for (const [name, type] of Object.entries({
  CrashError,
  OmissionError,
  TimingError,
  ResponseError,
  ArbitraryError,
  RejectedError,
  CancelledError,
  InvalidError,
}))
  Object.defineProperty(type.prototype, 'name', { value: name, configurable: true, writable: true })

/** Makes the error of the class that belongs to the kind of its code. */
export function createError(fields: FairleadErrorFields): FairleadError {
  return new byKind[CODES[fields.code].kind](fields)
}

/** The same error with more known of it: a copy of the same stack and cause with some fields changed. */
export function withFields(
  error: FairleadError,
  change: Partial<Omit<FairleadErrorFields, 'code' | 'message' | 'stack'>>,
): FairleadError {
  const copy = createError({
    code: error.code,
    message: error.message.slice(error.code.length + 3),
    effect: error.effect,
    transient: error.transient,
    idempotent: error.idempotent,
    retryAfterMs: error.retryAfterMs,
    refusedBy: error.refusedBy,
    service: error.service,
    operation: error.operation,
    endpoint: error.endpoint,
    transport: error.transport,
    channel: error.channel,
    attempt: error.attempt,
    elapsedMs: error.elapsedMs,
    failure: error.failure,
    details: error.details,
    ...('cause' in error ? { cause: error.cause } : {}),
    ...change,
    stack: false,
  })
  if (error.stack !== undefined)
    Object.defineProperty(copy, 'stack', { value: error.stack, configurable: true, writable: true })
  return copy
}

/** The same error with more in its details. What it knew stays. */
export function withDetails(
  error: FairleadError,
  more: Readonly<Record<string, unknown>>,
  change: Parameters<typeof withFields>[1] = {},
): FairleadError {
  const known = typeof error.details === 'object' ? error.details : {}
  return withFields(error, { ...change, details: { ...known, ...more } })
}

/** What a pipeline knows of a call, for `stamp`. */
export type Stamp = Partial<
  Pick<
    FairleadErrorFields,
    'service' | 'operation' | 'endpoint' | 'transport' | 'channel' | 'attempt' | 'elapsedMs' | 'idempotent'
  >
>

/** Fills in, in place, what the error does not say yet. What is set stays: the innermost place knows best. */
export function stamp(error: FairleadError, known: Stamp): FairleadError {
  if (Object.isFrozen(error)) return error
  const target = error as unknown as Record<string, unknown>
  for (const [field, value] of Object.entries(known))
    if (value !== undefined && (target[field] === undefined || field === 'idempotent')) target[field] = value
  return error
}
