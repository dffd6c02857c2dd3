// What the layers make of an error, and the errors that several of them make: fallback, cache, coalesce and deadline say the same in the same words.
import { type CallContext, effectSoFar } from '../core/context.ts'
import { type FairleadError, isFairleadError } from '../errors/base.ts'
import { createError } from '../errors/classes.ts'

/** Errors that reach a layer are ours. A layer of a user may still throw something else. */
export function asFairleadError(error: unknown, { service, operation, idempotent }: CallContext): FairleadError {
  return isFairleadError(error)
    ? error
    : createError({ code: 'CALL_FAILED', cause: error, service, operation, idempotent })
}

/** Whether another answer may stand in: not where the caller gave up, is itself at fault, or has an answer that its contract declares. */
export function mayBeAnswered(error: FairleadError): boolean {
  // The peer's own mistake, or its own giving up, is a failure of the peer.
  if (error.refusedBy === 'peer') return true
  return error.kind !== 'cancelled' && error.kind !== 'invalid' && error.code !== 'DECLARED_FAILURE'
}

/** The deadline came: with what the peer may have done over all attempts so far. */
export function deadlineExceeded(context: CallContext, message: string): FairleadError {
  const { service, operation, idempotent } = context
  return createError({
    code: 'DEADLINE_EXCEEDED',
    message,
    effect: effectSoFar(context),
    service,
    operation,
    idempotent,
  })
}

/** The one reason of an abort at which an answer is still wanted. */
export function isDeadline(reason: unknown): boolean {
  return isFairleadError(reason, 'DEADLINE_EXCEEDED')
}

/** The key of a request by a user's function. Throws PROGRAMMING_ERROR where that throws or gives no string. */
export function keyOfRequest(
  keyOf: (request: never) => string,
  request: unknown,
  layer: string,
  { service, operation }: CallContext,
): string {
  let key: unknown
  try {
    key = keyOf(request as never)
  } catch (cause) {
    throw createError({
      code: 'PROGRAMMING_ERROR',
      message: `the key function of ${layer} threw`,
      effect: 'none',
      cause,
      service,
      operation,
    })
  }
  if (typeof key === 'string') return key
  throw createError({
    code: 'PROGRAMMING_ERROR',
    message: `the key function of ${layer} gave ${key === null ? 'null' : typeof key}: give a string`,
    effect: 'none',
    service,
    operation,
  })
}
