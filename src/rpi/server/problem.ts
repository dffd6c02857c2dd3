// Turns what went wrong into a reply. What a handler threw that is none of ours leaks neither message nor stack.
import { FAILURE_HEADER, failureProblem, PROBLEM_TYPE } from '../../core/http-wire.ts'
import { type FairleadError, isFairleadError } from '../../errors/base.ts'
import { createError } from '../../errors/classes.ts'
import { type Problem, type ProblemOptions, toProblem } from '../../errors/wire.ts'
import type { Operation } from '../types.ts'
import type { WireReply } from './wire.ts'

/** Thrown inside the adapter: an error with the status that it has to leave with. */
export class Answered {
  readonly error: FairleadError
  readonly status: number

  constructor(error: FairleadError, status: number) {
    this.error = error
    this.status = status
  }
}

/** How an error leaves. */
export interface Leaving extends ProblemOptions {
  /** Default: what belongs to the code. */
  readonly status?: number | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly close?: boolean | undefined
}

/** An error as problem details, with the headers that belong to it. */
export function problemOf(error: unknown, { status, headers, close: _, ...options }: Leaving): Problem {
  const problem = toProblem(error, options)
  const body = status === undefined ? problem.body : { ...problem.body, status }
  return { status: body.status, headers: { ...problem.headers, ...headers }, body }
}

/** An error as a problem+json reply. */
export function problemReply(error: unknown, leaving: Leaving): WireReply {
  const { status, headers, body } = problemOf(error, leaving)
  return { status, headers, body: JSON.stringify(body), close: leaving.close }
}

/** A declared failure as a reply. */
export function failureReply(
  failure: string,
  data: unknown,
  status: number | undefined,
  headers: Readonly<Record<string, string>>,
): WireReply {
  const problem = failureProblem(failure, data, status)
  return {
    status: problem.status,
    headers: { ...headers, 'content-type': PROBLEM_TYPE, [FAILURE_HEADER]: failure },
    body: JSON.stringify(problem),
  }
}

/** Our own answer is not what our contract promises: our fault, and what it looks like is nobody's business outside. */
export function replyInvalid({ service, name }: Operation, issues: unknown): FairleadError {
  return createError({
    code: 'REPLY_INVALID',
    message: 'the service broke its own contract',
    service,
    operation: name,
    details: { issues },
  })
}

/**
 * What leaves of an error that a handler let through. An error of a call that the handler made elsewhere says what happened *there*:
 * somebody else's refusal of our request, or a failure that our contract does not declare, is not the fault of our caller.
 */
export function outgoing(error: unknown, { service, name }: Operation): unknown {
  if (!isFairleadError(error) || error.service === undefined || error.service === service) return error
  const ours = error.kind === 'invalid' || error.kind === 'cancelled' || error.code === 'DECLARED_FAILURE'
  return ours ? createError({ code: 'SERVER_ERROR', cause: error, service, operation: name }) : error
}
