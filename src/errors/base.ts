// The one base class. Everything that fairlead throws, and everything thrown through it, is a FairleadError.
import { describeThrown, isErrorLike, read, readText } from './classify-facts.ts'
import { CODES, type Code, type Effect, type Kind, OVERLOAD, OVERLOAD_OF_PEER } from './codes.ts'

const BRAND = Symbol.for('fairlead.error')

// Kinds that blame the caller. Over the wire they may blame the peer's own calls: the adapter says so with `refusedBy: 'peer'`.
const OWN_FAULTS: ReadonlySet<Kind> = new Set<Kind>(['invalid', 'cancelled'])

/** What an error is made of. All but `code` and `message` may be left out. */
export interface FairleadErrorFields {
  readonly code: Code
  readonly message?: string | undefined
  readonly cause?: unknown
  /** Default: what the table says of the code. */
  readonly effect?: Effect | undefined
  /** Default: what the table says of the code. */
  readonly transient?: boolean | undefined
  /** Whether the operation may be run twice. Decides `retryable` where the effect is not `none`. Default false. */
  readonly idempotent?: boolean | undefined
  readonly retryAfterMs?: number | undefined
  /** For kind `rejected`. Default: what the table says of the code; `peer` where a refusal of its own came over the wire. */
  readonly refusedBy?: 'self' | 'peer' | undefined
  readonly service?: string | undefined
  readonly operation?: string | undefined
  readonly endpoint?: string | undefined
  readonly transport?: string | undefined
  readonly channel?: string | undefined
  readonly attempt?: number | undefined
  readonly elapsedMs?: number | undefined
  /** Name of the declared failure; only with `DECLARED_FAILURE`. */
  readonly failure?: string | undefined
  /** Data of a declared failure; for others whatever helps: `status`, `issues`, `stoppedBy`. */
  readonly details?: unknown
  /** False makes it without a stack, five times cheaper: for refusals, whose stack says nothing. Default true. */
  readonly stack?: boolean | undefined
}

/** The plain form of an error, for logs. */
export interface FairleadErrorJson {
  readonly name: string
  readonly message: string
  readonly code: Code
  readonly kind: Kind
  readonly effect: Effect
  readonly transient: boolean
  readonly retryable: boolean
  readonly [field: string]: unknown
}

/**
 * Base of all errors of fairlead.
 *
 * `instanceof` goes by a brand (`Symbol.for`), so it holds across ESM and CJS and across two installed copies.
 * The message begins with the code, so that the code is in every log.
 */
export class FairleadError extends Error {
  // Declared, not defined: the constructor sets them all, and setting each to undefined first costs a refusal a twentieth.

  /** Closed list; see docs/errors.md. */
  declare readonly code: Code
  declare readonly kind: Kind
  /** What the peer did: `none` proves that nothing happened there. */
  declare readonly effect: Effect
  /** Whether the same call could go well later. */
  declare readonly transient: boolean
  /** Whether the operation that failed was declared idempotent. */
  declare readonly idempotent: boolean
  /** Set where the peer (or our own limiter) said when to come again. */
  declare readonly retryAfterMs: number | undefined
  /** For kind `rejected`: who refused. */
  declare readonly refusedBy: 'self' | 'peer' | undefined
  declare readonly service: string | undefined
  declare readonly operation: string | undefined
  declare readonly endpoint: string | undefined
  declare readonly transport: string | undefined
  declare readonly channel: string | undefined
  declare readonly attempt: number | undefined
  declare readonly elapsedMs: number | undefined
  /** Name of the declared failure; its data are the `details`. */
  declare readonly failure: string | undefined
  declare readonly details: unknown

  constructor(fields: FairleadErrorFields) {
    const limit = Error.stackTraceLimit
    if (fields.stack === false) Error.stackTraceLimit = 0
    const facts = CODES[fields.code]
    super(
      `[${fields.code}] ${fields.message ?? facts.meaning}`,
      'cause' in fields ? { cause: fields.cause } : undefined,
    )
    if (fields.stack === false) Error.stackTraceLimit = limit
    this.code = fields.code
    this.kind = facts.kind
    this.effect = fields.effect ?? facts.effect
    this.transient = fields.transient ?? facts.transient
    this.idempotent = fields.idempotent ?? false
    this.retryAfterMs = fields.retryAfterMs
    this.refusedBy =
      facts.refusedBy === undefined && !OWN_FAULTS.has(facts.kind) ? undefined : (fields.refusedBy ?? facts.refusedBy)
    this.service = fields.service
    this.operation = fields.operation
    this.endpoint = fields.endpoint
    this.transport = fields.transport
    this.channel = fields.channel
    this.attempt = fields.attempt
    this.elapsedMs = fields.elapsedMs
    this.failure = fields.failure
    this.details = fields.details
  }

  /** `transient && (effect === 'none' || idempotent)`. Budget, deadline and a replayable body still decide. */
  get retryable(): boolean {
    return this.transient && (this.effect === 'none' || this.idempotent)
  }

  /** The peer has too much to do (429, 503, ENHANCE_YOUR_CALM, or its own cap or limit). */
  get overload(): boolean {
    return OVERLOAD.has(this.code) || (this.refusedBy === 'peer' && OVERLOAD_OF_PEER.has(this.code))
  }

  /** Plain data for logs: all fields that are set, the cause as its name, code and message, no stack. */
  toJSON(): FairleadErrorJson {
    const json: Record<string, unknown> = {
      name: this.name,
      message: this.message,
      code: this.code,
      kind: this.kind,
      effect: this.effect,
      transient: this.transient,
      retryable: this.retryable,
    }
    for (const field of OPTIONAL_FIELDS) if (this[field] !== undefined) json[field] = this[field]
    if (this.overload) json['overload'] = true
    if (this.refusedBy) json['refusedBy'] = this.refusedBy
    if (this.cause !== undefined) json['cause'] = summary(this.cause)
    return json as FairleadErrorJson
  }

  static override [Symbol.hasInstance](candidate: unknown): boolean {
    if (this === FairleadError) return hasBrand(candidate, undefined)
    // A user's own subclass is told by its prototype, or every error of the kind would be one.
    if (!Object.hasOwn(this, 'kindOfClass')) return Function.prototype[Symbol.hasInstance].call(this, candidate)
    return hasBrand(candidate, (this as { readonly kindOfClass?: Kind }).kindOfClass)
  }
}

const OPTIONAL_FIELDS = [
  'retryAfterMs',
  'service',
  'operation',
  'endpoint',
  'transport',
  'channel',
  'attempt',
  'elapsedMs',
  'failure',
  'details',
] as const

Object.defineProperty(FairleadError.prototype, BRAND, { value: true })
// For `console.log`: the stack, and only the fields that say something.
Object.defineProperty(FairleadError.prototype, Symbol.for('nodejs.util.inspect.custom'), {
  value(this: FairleadError, _depth: number, options: object, inspect: (value: unknown, options: object) => string) {
    const fields: Record<string, unknown> = {}
    for (const [name, value] of Object.entries(this)) if (value !== undefined) fields[name] = value
    if (this.cause !== undefined) fields['cause'] = this.cause
    return `${this.stack ?? this.message} ${inspect(fields, options)}`
  },
})
Object.defineProperty(FairleadError.prototype, 'name', { value: 'FairleadError', configurable: true, writable: true })

function hasBrand(candidate: unknown, kind: Kind | undefined): boolean {
  if (typeof candidate !== 'object' || candidate === null) return false
  // A proxy may throw whatever it likes.
  try {
    return BRAND in candidate && (kind === undefined || (candidate as unknown as FairleadError).kind === kind)
  } catch {
    return false
  }
}

// Safe against getters and `toString` of strangers: a log line must not throw.
function summary(cause: unknown): unknown {
  if (!isErrorLike(cause)) {
    return (typeof cause === 'object' && cause !== null) || typeof cause === 'function' || typeof cause === 'symbol'
      ? describeThrown(cause)
      : typeof cause === 'bigint'
        ? String(cause)
        : cause
  }
  const code = read(cause, 'code')
  const plain = typeof code === 'string' || typeof code === 'number'
  return { name: readText(cause, 'name'), message: readText(cause, 'message'), ...(plain ? { code } : {}) }
}

/**
 * Whether something thrown is a FairleadError, of one of the codes if any are given.
 * @example if (isFairleadError(error, 'CIRCUIT_OPEN', 'OUTSTANDING_LIMIT')) answerLater()
 */
export function isFairleadError<C extends Code = Code>(
  error: unknown,
  ...codes: readonly C[]
): error is FairleadError & { readonly code: C } {
  if (!hasBrand(error, undefined)) return false
  return codes.length === 0 || codes.includes((error as FairleadError).code as C)
}

/** The message of an error without the code that stands in front of it. */
export function wordsOf({ code, message }: FairleadError): string {
  const prefix = `[${code}] `
  return message.startsWith(prefix) ? message.slice(prefix.length) : message
}
