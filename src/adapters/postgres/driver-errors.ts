// What drivers and ORMs wrap around the error of the database, or say themselves. By shape and by words: none of them is imported.
import type { Code, Effect } from '../../errors/index.ts'

/** What is known of an error that has no SQLSTATE. */
export interface DriverFinding {
  readonly code: Code
  readonly effect: Effect
  readonly transient?: undefined
  readonly advice?: undefined
}

type Fields = Readonly<Record<string, unknown>>

// Deeper than any of them goes.
const MOST_WRAPPERS = 5

/**
 * The error underneath what an ORM has put around it: DrizzleQueryError, QueryFailedError of TypeORM, the errors of Prisma. An error of the
 * user's own with a cause is none of these, and is given back as it is.
 */
export function unwrapped(error: unknown): unknown {
  let inner = error
  for (let depth = 0; depth < MOST_WRAPPERS; depth++) {
    const next = within(inner)
    if (next === undefined) return inner
    inner = next
  }
  return inner
}

// Knex writes the statement, values and all, before the words of the server.
const STATEMENT =
  /^\s*(select|insert|update|delete|merge|with|truncate|create|alter|drop|lock|call|do|begin|commit)\b[\s\S]* - /i

/** The words of the server, without the statement and its values. */
export function wordsOf(error: unknown): string {
  const { message } = fields(error)
  return typeof message === 'string' ? message.replace(STATEMENT, '') : ''
}

/** Errors of postgres.js and Prisma by their `code`. */
const BY_CODE: Readonly<Record<string, readonly [Code, Effect]>> = {
  CONNECTION_CLOSED: ['CONNECTION_LOST', 'unknown'],
  CONNECTION_DESTROYED: ['CONNECTION_LOST', 'unknown'],
  CONNECTION_ENDED: ['SHUTDOWN', 'none'],
  CONNECT_TIMEOUT: ['CONNECT_TIMEOUT', 'none'],
  UNDEFINED_VALUE: ['PROGRAMMING_ERROR', 'none'],
  NOT_TAGGED_CALL: ['PROGRAMMING_ERROR', 'none'],
  UNSAFE_TRANSACTION: ['PROGRAMMING_ERROR', 'none'],
  MAX_PARAMETERS_EXCEEDED: ['PAYLOAD_TOO_LARGE', 'none'],
  SASL_SIGNATURE_MISMATCH: ['UNAUTHENTICATED', 'none'],
  AUTH_TYPE_NOT_IMPLEMENTED: ['UNAUTHENTICATED', 'none'],
  P1000: ['UNAUTHENTICATED', 'none'],
  P1001: ['CONNECTION_REFUSED', 'none'],
  P1002: ['CONNECT_TIMEOUT', 'none'],
  P1003: ['NOT_FOUND', 'none'],
  P1008: ['TIMED_OUT', 'unknown'],
  P1010: ['FORBIDDEN', 'none'],
  P1011: ['TLS_FAILED', 'none'],
  P1017: ['CONNECTION_LOST', 'unknown'],
  P2024: ['SELF_EXHAUSTED', 'none'],
  P2034: ['TRANSACTION_CONFLICT', 'none'],
}

/** What adapters of Prisma call an error that has no code of the server. */
const BY_KIND: Readonly<Record<string, readonly [Code, Effect]>> = {
  DatabaseNotReachable: ['CONNECTION_REFUSED', 'none'],
  DatabaseDoesNotExist: ['NOT_FOUND', 'none'],
  DatabaseAccessDenied: ['FORBIDDEN', 'none'],
  AuthenticationFailed: ['UNAUTHENTICATED', 'none'],
  TooManyConnections: ['UNAVAILABLE', 'none'],
  SocketTimeout: ['TIMED_OUT', 'unknown'],
  ConnectionClosed: ['CONNECTION_LOST', 'unknown'],
  TlsConnectionError: ['TLS_FAILED', 'none'],
  TransactionWriteConflict: ['TRANSACTION_CONFLICT', 'none'],
}

const OVER: readonly RegExp[] = [
  /^Transaction query already complete/, // Knex
  /^Transaction is already (committed|rolled back)/, // Kysely
  /^Transaction is closed/, // PGlite
  /Transaction already closed|Transaction not found|on a (committed|rolled back|closed) transaction/, // Prisma
  /query runner (was )?already released/i, // TypeORM
]

const BY_WORDS: readonly (readonly [RegExp, Code, Effect])[] = [
  [/^Knex: Timeout acquiring a connection/, 'SELF_EXHAUSTED', 'none'],
  [/^Unable to acquire a connection/, 'SHUTDOWN', 'none'], // Knex, after destroy()
  [/Unable to start a transaction in the given time/, 'SELF_EXHAUSTED', 'none'], // Prisma
  [/cannot be executed on an expired transaction/, 'TIMED_OUT', 'none'], // Prisma
  [/^driver has already been destroyed/, 'SHUTDOWN', 'none'], // Kysely
  [/^Driver not Connected/, 'PROGRAMMING_ERROR', 'none'], // TypeORM, before initialize()
  [/^PGlite is clos(ed|ing)/, 'SHUTDOWN', 'none'],
  ...OVER.map((words) => [words, 'TRANSACTION_REQUIRED', 'none'] as const),
]

/** What a driver or ORM says itself, without the database. */
export function ofDriver(error: unknown): DriverFinding | undefined {
  const { code, kind } = fields(error)
  const known =
    lookUp(BY_CODE, code) ??
    lookUp(BY_KIND, error instanceof Error ? undefined : kind) ??
    BY_WORDS.find(([words]) => words.test(wordsOf(error)))?.slice(1)
  return known === undefined ? undefined : { code: known[0] as Code, effect: known[1] as Effect }
}

function within(error: unknown): unknown {
  const { name, cause, query, params, driverError, meta, code } = fields(error)
  // DrizzleQueryError has no name of its own.
  if (typeof query === 'string' && Array.isArray(params) && isObject(cause)) return cause
  if (isObject(driverError)) return driverError
  if (typeof name === 'string' && name.startsWith('PrismaClient')) {
    const { driverAdapterError } = fields(meta)
    if (isObject(driverAdapterError)) return driverAdapterError
    // The engines of before put the state of a raw query here.
    const { code: state, message } = fields(meta)
    return code === 'P2010' && typeof state === 'string' ? ofServer(state, message) : undefined
  }
  if (name === 'DriverAdapterError' && isObject(cause)) {
    const { originalCode, originalMessage, constraint } = fields(cause)
    return typeof originalCode === 'string' ? ofServer(originalCode, originalMessage, fields(constraint)) : cause
  }
  return undefined
}

/** As `pg` says it. A session that was ended is told by the words of `pg`, so that a state here is one of a statement that was refused. */
function ofServer(state: string, message: unknown, constraint: Fields = {}): object {
  const { index } = constraint
  return Object.assign(new Error(typeof message === 'string' ? message : state), {
    code: state,
    severity: /^(57P0|08)/.test(state) ? 'FATAL' : 'ERROR',
    ...(typeof index === 'string' ? { constraint: index } : {}),
  })
}

function lookUp<T>(table: Readonly<Record<string, T>>, key: unknown): T | undefined {
  return typeof key === 'string' && Object.hasOwn(table, key) ? table[key] : undefined
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

function fields(of: unknown): Fields {
  return isObject(of) ? (of as Fields) : {}
}
