// How an answer that is handed on as it came (fetch, interceptor) still counts: as an error inside the policies, as an answer outside.
import { type FairleadError, isFairleadError } from '../../errors/base.ts'
import { withDetails } from '../../errors/classes.ts'
import { type StatusHints, statusToError } from '../../errors/classify.ts'
import { CODES } from '../../errors/codes.ts'

/** The error that a status counts as: one that speaks against the peer or could be tried again. Undefined for all others. */
export function countsAgainst(status: number, replayable: boolean, hints: StatusHints): FairleadError | undefined {
  if (status < 400) return undefined
  const error = statusToError(status, hints)
  if (CODES[error.code].breaker === 'success' && !error.transient) return undefined
  return replayable || !error.transient ? error : sentOnce(error)
}

/** The body cannot be sent twice, whatever the error says of a second time. */
export function sentOnce(error: FairleadError): FairleadError {
  return withDetails(error, { stoppedBy: 'NOT_REPLAYABLE' }, { transient: false })
}

/** The status of the answer that an error stands for. */
export function statusOf(error: unknown): unknown {
  if (!isFairleadError(error) || typeof error.details !== 'object' || error.details === null) return undefined
  return (error.details as { readonly status?: unknown }).status
}
