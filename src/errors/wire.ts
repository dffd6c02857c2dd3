// Errors on the wire: problem details (RFC 9457). What a server tells of itself is a choice; what a client reads is untrusted.
import { type FairleadError, type FairleadErrorFields, isFairleadError } from './base.ts'
import { createError } from './classes.ts'
import { oneLine, read, readText } from './classify-facts.ts'
import { type StatusHints, statusToError } from './classify-http.ts'
import { CODES, type Code, type Effect, isCode, type Kind } from './codes.ts'
import { copyBounded } from './untrusted.ts'

/** Media type of problem details. */
export const PROBLEM_TYPE = 'application/problem+json'

const URN = 'urn:fairlead:'

// Beyond this a body is not looked at; a problem is a few hundred bytes.
const MOST_BYTES = 65_536

/** A response made of an error. */
export interface Problem {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: ProblemBody
}

/** Problem details: the members of RFC 9457, and what a client of fairlead needs besides. */
export interface ProblemBody {
  /** `urn:fairlead:` and the code. */
  readonly type: string
  /** What the code means. */
  readonly title: string
  readonly status: number
  /** The message of the error; only where it is exposed. */
  readonly detail?: string
  readonly kind: Kind
  /** What the server did for this very call. */
  readonly effect: Effect
  readonly transient: boolean
  readonly retryAfterMs?: number
  readonly service?: string
  readonly operation?: string
  /** Name of a declared failure. */
  readonly failure?: string
  /** Data of a declared failure, or what is wrong with the input. */
  readonly details?: unknown
}

/** How an error leaves. */
export interface ProblemOptions {
  /** Tells the message too, and of an error that is no FairleadError its name and message. Never a stack. Default false. */
  readonly expose?: boolean | undefined
  /**
   * What was done for the caller: `none` where it was refused before the handler ran. Default `unknown`, and `none` for declared failures:
   * that a call which the handler made had no effect says nothing of the handler.
   */
  readonly effect?: Effect | undefined
  /** Who answers. Details of an error that belongs to another service stay here: they are between the two of them. */
  readonly service?: string | undefined
  readonly operation?: string | undefined
}

const STATUS_OF_KIND: Readonly<Record<Kind, number>> = {
  crash: 502,
  omission: 502,
  timing: 504,
  response: 502,
  arbitrary: 502,
  rejected: 503,
  cancelled: 499,
  invalid: 400,
}

/** The HTTP status with which a code leaves. */
export function statusOf(code: Code): number {
  const facts = CODES[code]
  return facts.status ?? STATUS_OF_KIND[facts.kind]
}

/** Makes a response of an error. What is no FairleadError is a `SERVER_ERROR`, and neither its stack nor its message leaves unless asked. */
export function toProblem(error: unknown, options: ProblemOptions = {}): Problem {
  const known = isFairleadError(error) && isCode(error.code) ? error : undefined
  const code = known?.code ?? 'SERVER_ERROR'
  const facts = CODES[code]
  const foreign = known?.service !== undefined && options.service !== undefined && known.service !== options.service
  // Somebody else's "not found" is not ours: only a client of fairlead should see it as one.
  const status = foreign && statusOf(code) < 500 ? 502 : statusOf(code)
  const retryAfterMs = known?.retryAfterMs
  const service = known?.service ?? options.service
  const operation = known?.operation ?? options.operation
  const tells = code === 'DECLARED_FAILURE' || code === 'INVALID_INPUT'
  const body: ProblemBody = {
    type: URN + code,
    title: facts.meaning,
    status,
    ...(options.expose ? detailOf(error) : {}),
    kind: facts.kind,
    effect: options.effect ?? (code === 'DECLARED_FAILURE' && !foreign ? 'none' : 'unknown'),
    transient: known?.transient ?? facts.transient,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    ...(service === undefined ? {} : { service }),
    ...(operation === undefined ? {} : { operation }),
    ...(tells && !foreign && known?.failure !== undefined ? { failure: known.failure } : {}),
    ...(tells && !foreign && known?.details !== undefined ? { details: known.details } : {}),
  }
  const headers: Record<string, string> = { 'content-type': PROBLEM_TYPE }
  if (retryAfterMs !== undefined && Number.isFinite(retryAfterMs)) {
    headers['retry-after'] = String(Math.max(0, Math.ceil(retryAfterMs / 1_000)))
  }
  return { status, headers, body }
}

function detailOf(error: unknown): { readonly detail?: string } {
  const message = readText(error, 'message')
  const name = readText(error, 'name')
  if (isFairleadError(error)) return { detail: oneLine(message.replace(`[${error.code}] `, '')) }
  const text = typeof error === 'string' ? error : [name, message].filter((part) => part !== '').join(': ')
  return text === '' ? {} : { detail: oneLine(text) }
}

/**
 * Makes an error of problem details. `problem` is the parsed body, or its text or bytes. Never throws: what is too large, is no JSON,
 * or names a code that is not known, is judged by the status alone.
 *
 * The error is the client's own: its service and operation are those of `hints`, and if the problem names others, they are in the message.
 */
export function fromProblem(problem: unknown, status: number, hints: StatusHints = {}): FairleadError {
  const body = parsed(problem)
  const code = codeIn(body)
  const plain = statusToError(status, hints)
  if (code === undefined) return plain
  const facts = CODES[code]
  const { headers: _, phase: __, now: ___, unavailableMeansNotProcessed, message: ____, ...fields } = hints
  const service = textIn(body, 'service')
  const operation = textIn(body, 'operation')
  const effect = oneOf(own(body, 'effect'), ['none', 'unknown', 'done'] as const) ?? 'unknown'
  const notProcessed = unavailableMeansNotProcessed === true && status === 503
  const tells = code === 'DECLARED_FAILURE' || code === 'INVALID_INPUT'
  const transient = own(body, 'transient')
  return createError({
    ...fields,
    code,
    message: messageOf(
      body,
      facts.meaning,
      [service, operation],
      [fields.service ?? service, fields.operation ?? operation],
    ),
    effect: notProcessed ? 'none' : effect,
    transient: typeof transient === 'boolean' ? transient : facts.transient,
    // "You are wrong" with a status of the peer's own failing: it is wrong itself, in a call of its own.
    refusedBy: facts.refusedBy !== undefined || status >= 499 ? 'peer' : undefined,
    retryAfterMs: duration(own(body, 'retryAfterMs')) ?? plain.retryAfterMs,
    service: fields.service ?? service,
    operation: fields.operation ?? operation,
    failure: code === 'DECLARED_FAILURE' ? textIn(body, 'failure') : undefined,
    details: tells ? copyBounded(own(body, 'details')) : { status },
    stack: false,
  } satisfies FairleadErrorFields)
}

/** Whether a Content-Type is that of problem details. */
export function isProblemType(contentType: string | undefined): boolean {
  return contentType?.split(';', 1)[0]?.trim().toLowerCase() === PROBLEM_TYPE
}

function parsed(problem: unknown): object | undefined {
  let value = problem
  if (value instanceof Uint8Array) {
    if (value.byteLength > MOST_BYTES) return undefined
    value = Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('utf8')
  }
  if (typeof value === 'string') {
    if (value.length > MOST_BYTES) return undefined
    try {
      value = JSON.parse(value)
    } catch {
      return undefined
    }
  }
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined
}

// Own members only: `__proto__` in JSON is a member like any other, and a polluted prototype is none.
function own(body: object | undefined, key: string): unknown {
  return body !== undefined && Object.hasOwn(body, key) ? read(body, key) : undefined
}

function codeIn(body: object | undefined): Code | undefined {
  const type = own(body, 'type')
  if (typeof type !== 'string' || !type.startsWith(URN)) return undefined
  const code = type.slice(URN.length)
  return isCode(code) ? code : undefined
}

function textIn(body: object | undefined, key: string): string | undefined {
  const value = own(body, key)
  return typeof value === 'string' && value.length > 0 && value.length <= 200 ? oneLine(value) : undefined
}

function oneOf<T extends string>(value: unknown, among: readonly T[]): T | undefined {
  return among.find((each) => each === value)
}

function duration(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : undefined
}

function messageOf(
  body: object | undefined,
  meaning: string,
  theirs: readonly (string | undefined)[],
  ours: readonly (string | undefined)[],
): string {
  const detail = own(body, 'detail')
  const text = typeof detail === 'string' && detail !== '' ? oneLine(detail) : meaning
  const origin = theirs.filter((part) => part !== undefined).join('.')
  const known = ours.filter((part) => part !== undefined).join('.')
  return origin === '' || origin === known ? text : `${origin}: ${text}`
}
