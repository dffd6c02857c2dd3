// What a circuit breaker makes of an outcome. By the table of codes, except for what the code alone does not say: who refused.
import { type FairleadError, isFairleadError } from './base.ts'
import { codeOf } from './classify-walk.ts'
import { CODES, type Verdict } from './codes.ts'

/**
 * `failure` counts against the peer, `success` for it, `neutral` not at all: local refusals, the caller's own cancellation and mistakes, 429.
 * What is no FairleadError is classified first.
 */
export function verdictOf(error: unknown): Verdict {
  if (!isFairleadError(error)) return CODES[codeOf(error)].breaker
  const facts = CODES[error.code]
  // A newer copy of fairlead may know more codes.
  if (facts === undefined) return 'failure'
  return refusedFarAway(error) ? 'failure' : facts.breaker
}

// Our own open circuit says nothing new of the peer. A peer that answers "my circuit is open", or that its cap is reached, does: it is a 503.
function refusedFarAway(error: FairleadError): boolean {
  if (error.refusedBy !== 'peer') return false
  const facts = CODES[error.code]
  return facts.refusedBy === undefined || (facts.refusedBy === 'self' && (facts.status ?? 500) >= 500)
}
