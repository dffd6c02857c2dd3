// HTTP statuses (RFC 9110 section 15, RFC 6585), and the errors by which clients hand them on.

import type { FairleadError, FairleadErrorFields } from './base.ts'
import { createError } from './classes.ts'
import { type Facts, type Finding, read, type Table, type TableHints } from './classify-facts.ts'
import type { Code, Effect } from './codes.ts'
import { headerOf, parseRetryAfter } from './retry-after.ts'

const BY_STATUS: Readonly<Record<number, Code>> = {
  401: 'UNAUTHENTICATED',
  403: 'FORBIDDEN',
  404: 'NOT_FOUND',
  407: 'UNAUTHENTICATED',
  408: 'REQUEST_TIMEOUT',
  409: 'CONFLICT',
  410: 'NOT_FOUND',
  412: 'CONFLICT',
  413: 'UNPROCESSABLE',
  415: 'UNPROCESSABLE',
  421: 'MISDIRECTED',
  422: 'UNPROCESSABLE',
  423: 'CONFLICT',
  425: 'EARLY_DATA_REFUSED',
  428: 'CONFLICT',
  429: 'TOO_MANY_REQUESTS',
  451: 'FORBIDDEN',
  501: 'NOT_SUPPORTED',
  502: 'BAD_GATEWAY',
  503: 'UNAVAILABLE',
  504: 'GATEWAY_TIMEOUT',
  505: 'NOT_SUPPORTED',
  506: 'NOT_SUPPORTED',
  508: 'NOT_SUPPORTED',
  510: 'NOT_SUPPORTED',
}

/** The code of a status. One that is no failure (1xx, 2xx) or no status at all, where a failure was said to be, breaks the protocol. */
export function codeOfStatus(status: number): Code {
  const known = BY_STATUS[status]
  if (known !== undefined) return known
  if (!Number.isInteger(status) || status < 300 || status > 599) return 'PROTOCOL_VIOLATION'
  return status < 400 ? 'UNEXPECTED_REDIRECT' : status < 500 ? 'BAD_REQUEST' : 'SERVER_ERROR'
}

// 300, 304, 305, 307 and 308 ask for the same request elsewhere or not at all; after a 301, 302 or 303 a POST may well be done.
const NOT_DONE_REDIRECTS: ReadonlySet<number> = new Set([300, 304, 305, 307, 308])

function effectOfStatus(status: number, hints: TableHints): Effect | undefined {
  if (status === 503 && hints.unavailableMeansNotProcessed) return 'none'
  // Gateways note 499 when the client went away while the service was at work.
  if (status === 499) return 'unknown'
  return NOT_DONE_REDIRECTS.has(status) ? 'none' : undefined
}

/** What a status says, as a table does. */
export function findingOfStatus(status: number, headers: unknown, hints: TableHints): Finding {
  return {
    code: codeOfStatus(status),
    effect: effectOfStatus(status, hints),
    retryAfterMs: parseRetryAfter(headerOf(headers, 'retry-after'), hints.now),
    details: { status },
    answered: true,
  }
}

/** What is known of an answer besides its status. */
export interface StatusHints
  extends TableHints,
    Pick<
      FairleadErrorFields,
      | 'idempotent'
      | 'service'
      | 'operation'
      | 'endpoint'
      | 'transport'
      | 'channel'
      | 'attempt'
      | 'elapsedMs'
      | 'cause'
      | 'message'
    > {
  /** Headers of the answer, in any shape, for `Retry-After`. */
  readonly headers?: unknown
}

/**
 * The error that an HTTP status stands for; `details.status` has the status.
 * A 503 has effect `unknown`, unless the contract says that it means "not processed".
 */
export function statusToError(status: number, hints: StatusHints = {}): FairleadError {
  const { headers, phase: _, now: __, unavailableMeansNotProcessed: ___, ...fields } = hints
  const finding = findingOfStatus(status, headers, hints)
  return createError({
    ...fields,
    code: finding.code,
    message: hints.message ?? `the peer answered ${status}`,
    effect: finding.effect,
    retryAfterMs: finding.retryAfterMs,
    details: finding.details,
    stack: false,
  })
}

// got and axios; the answer that they carry is the last redirect.
const TOO_MANY_REDIRECTS: ReadonlySet<string> = new Set(['ERR_TOO_MANY_REDIRECTS', 'ERR_FR_TOO_MANY_REDIRECTS'])

/** Errors that carry an answer: axios, got, ky, undici, superagent, and whatever has a `status` or `statusCode`. */
export const httpTable: Table = (facts, hints) => {
  if (TOO_MANY_REDIRECTS.has(facts.code)) return { code: 'REDIRECT_LOOP', answered: true }
  const response = read(facts.value, 'response')
  const status = statusIn(response, 300) ?? statusIn(facts.value, 400)
  if (status === undefined) return undefined
  const headers = read(response, 'headers') ?? read(facts.value, 'headers')
  const finding = findingOfStatus(status, headers, hints)
  // undici's retry handler has tried already.
  return facts.code === 'UND_ERR_REQ_RETRY' ? { ...finding, transient: false } : finding
}

function statusIn(from: unknown, atLeast: number): number | undefined {
  for (const key of ['status', 'statusCode']) {
    const value = read(from, key)
    if (typeof value === 'number' && Number.isInteger(value) && value >= atLeast && value <= 599) return value
  }
  return undefined
}

/** Whether the answer that an error carries was a good one: then what failed came after it. */
export function answeredWell(facts: Facts): boolean {
  const response = read(facts.value, 'response')
  const status = read(response, 'statusCode') ?? read(response, 'status')
  return typeof status === 'number' && status >= 200 && status < 300
}
