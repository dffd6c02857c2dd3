// Says in fairlead's words what went wrong with PostgreSQL, and what the database did: by SQLSTATE where there is one, else by the words of the driver and of PgBouncer.
import { oneLine, readText } from '../../errors/classify-facts.ts'
import {
  CODES,
  type Code,
  classify,
  createError,
  type Effect,
  type FairleadError,
  type Hints,
  isFairleadError,
  stamp,
  withFields,
} from '../../errors/index.ts'
import { ofDriver, unwrapped, wordsOf } from './driver-errors.ts'
import { stateFacts } from './sqlstates.ts'

/**
 * Where it happened: getting a connection; a statement with its own commit; a statement inside a transaction, which cannot have been
 * committed; COMMIT itself.
 */
export type PostgresPhase = 'connect' | 'statement' | 'transaction' | 'commit'

/** What is known besides the error. */
export interface PostgresHints extends Pick<Hints, 'service' | 'operation' | 'channel' | 'attempt' | 'idempotent'> {
  /** Default `statement`. */
  readonly phase?: PostgresPhase | undefined
}

interface Finding {
  readonly code: Code
  readonly effect: Effect
  readonly transient?: boolean | undefined
  readonly advice?: string | undefined
}

/** Errors without a SQLSTATE, by the words of pg 8 (client and pool). A test sees to it that they are still said. */
const WORDS: readonly (readonly [RegExp, Code, Effect])[] = [
  [/^Connection terminated due to connection timeout/, 'CONNECT_TIMEOUT', 'none'],
  [/^timeout expired/, 'CONNECT_TIMEOUT', 'none'],
  [/^timeout exceeded when trying to connect/, 'SELF_EXHAUSTED', 'none'],
  [/^Connection terminated/, 'CONNECTION_LOST', 'unknown'],
  [/^Client has encountered a connection error and is not queryable/, 'CONNECTION_LOST', 'none'],
  [/^Client was closed and is not queryable/, 'CONNECTION_LOST', 'none'],
  [/^Query read timeout/, 'TIMED_OUT', 'unknown'],
  [/^Cannot use a pool after calling end on the pool/, 'SHUTDOWN', 'none'],
  [/^The server does not support SSL connections/, 'TLS_FAILED', 'none'],
  [/^There was an error establishing an SSL connection/, 'TLS_HANDSHAKE_CLOSED', 'none'],
  [/^SASL: |^Password must be a string/, 'UNAUTHENTICATED', 'none'],
  [/^Query values must be an array|^A query must have either text or a name/, 'PROGRAMMING_ERROR', 'none'],
]

/** PgBouncer says all of these with 08P01, also what the server said when it tried to log in. Its words are those of 1.18; a test sees to it that they are still said. */
const BOUNCER: readonly (readonly [RegExp, Code, Effect])[] = [
  [
    /query_wait_timeout|no more connections allowed|max_client_conn|too many (clients|connections)|connection slots/,
    'UNAVAILABLE',
    'none',
  ],
  [
    /cannot connect to server|server_login_retry|server login has been failing|server login failed/,
    'CONNECTION_REFUSED',
    'none',
  ],
  [
    /is shutting down|is starting up|pgbouncer is down|database is (disabled|paused)|bouncer config error/,
    'UNAVAILABLE',
    'none',
  ],
  [/no such database|database ".*" does not exist/, 'NOT_FOUND', 'none'],
  [/no such user|role ".*" does not exist|auth(entication)? failed/, 'UNAUTHENTICATED', 'none'],
  [
    /server conn crashed|server closed the connection|server_idle|server_lifetime|client_idle/,
    'CONNECTION_LOST',
    'unknown',
  ],
  [/query_timeout|idle transaction timeout|idle_transaction_timeout/, 'TIMED_OUT', 'unknown'],
  [/prepared statement/, 'BAD_REQUEST', 'none'],
]

/**
 * Makes a FairleadError of what `pg`, postgres.js, PGlite or an ORM over them threw. Never throws; a FairleadError is given back. What an ORM has
 * put around the error of the database is left out: the cause is what is underneath.
 *
 * The effect is exact: a statement that was refused, or stood in a transaction whose COMMIT was never sent, did nothing (`none`);
 * where a connection broke while a statement with its own commit or a COMMIT was out, nobody knows (`unknown`).
 * `details` has the `sqlState`, and constraint, table, column where the server named them; never a value.
 * @example catch (error) { if (classifyPostgres(error).code === 'TRANSACTION_CONFLICT') again() }
 */
export function classifyPostgres(thrown: unknown, hints: PostgresHints = {}): FairleadError {
  const { phase = 'statement', ...known } = hints
  const provenNone = phase === 'connect' || phase === 'transaction'
  if (isFairleadError(thrown)) {
    const ours = thrown.transport === 'postgres' && provenNone && thrown.effect === 'unknown'
    return stamp(ours ? withFields(thrown, { effect: 'none' }) : thrown, known)
  }
  const error = unwrapped(thrown)
  const message = wordsOf(error)
  const state = sqlStateOf(error)
  // Prisma has codes of its own around errors that have none.
  const found =
    state === undefined ? (ofWords(message) ?? ofDriver(error) ?? ofDriver(thrown)) : ofState(state, error, message)
  if (found === undefined) {
    const general = classify(error, {
      ...known,
      transport: 'postgres',
      phase: phase === 'connect' ? 'connect' : undefined,
    })
    return provenNone && general.effect !== 'none' ? withFields(general, { effect: 'none' }) : general
  }
  const words = oneLine(message.replace(/\s+/g, ' '))
  return createError({
    ...known,
    code: found.code,
    message: found.advice === undefined ? words : `${words}: ${found.advice}`,
    cause: error,
    effect: provenNone ? 'none' : found.effect,
    transient: found.transient,
    transport: 'postgres',
    details: state === undefined ? undefined : { sqlState: state, ...named(error) },
    stack: false,
  })
}

/** Whether it came from a driver, an ORM or the server: it has a SQLSTATE, or words of theirs. */
export function isOfPostgres(thrown: unknown): boolean {
  if (isFairleadError(thrown)) return thrown.transport === 'postgres'
  if (typeof thrown !== 'object' || thrown === null) return false
  const error = unwrapped(thrown)
  if (sqlStateOf(error) !== undefined || ofWords(wordsOf(error)) !== undefined) return true
  return ofDriver(error) !== undefined || ofDriver(thrown) !== undefined
}

/** Whether the session goes on after this error: a statement was refused, and no more. */
export function isConnectionSound(error: unknown): boolean {
  const state = sqlStateOf(error)
  return state !== undefined && stateFacts(state).ends !== true && !isFatal(error)
}

/** The SQLSTATE of an error of a driver, or of the error that a FairleadError was made of. */
export function sqlStateOf(error: unknown): string | undefined {
  const from = unwrapped(isFairleadError(error) ? error.cause : error)
  const code = readText(from, 'code')
  // Node's own codes (EPIPE) can have five letters as well: these come without a severity.
  return /^[0-9A-Z]{5}$/.test(code) && (readText(from, 'severity') !== '' || readText(from, 'routine') !== '')
    ? code
    : undefined
}

// The severity comes in the language of the server, so that an unknown word proves nothing either way.
function isFatal(error: unknown): boolean {
  return ['FATAL', 'PANIC'].includes(readText(error, 'severity'))
}

function ofState(state: string, error: unknown, message: string): Finding {
  if (state === '08P01') {
    if (/invalid message length|message too large/i.test(message)) return { code: 'PAYLOAD_TOO_LARGE', effect: 'none' }
    const said = BOUNCER.find(([words]) => words.test(message))
    if (said !== undefined) return { code: said[1], effect: said[2] }
  }
  if (state === '57014') return { code: /timeout/.test(message) ? 'TIMED_OUT' : 'CANCELLED', effect: 'none' }
  // More bytes than an allocation may have; the server has no state for it.
  if (state === 'XX000' && /invalid memory alloc request size/.test(message))
    return { code: 'PAYLOAD_TOO_LARGE', effect: 'none' }
  const facts = stateFacts(state)
  // An ERROR undoes its transaction, whatever it is. After a FATAL that no table knows, who can say.
  const refused = readText(error, 'severity') === 'ERROR' || CODES[facts.code].kind !== 'response' || !isFatal(error)
  return {
    code: facts.code,
    effect: facts.effect ?? (refused || facts.ends === true ? 'none' : 'unknown'),
    transient: facts.transient,
    advice: facts.advice,
  }
}

function ofWords(message: string): Finding | undefined {
  const said = WORDS.find(([words]) => words.test(message))
  return said === undefined ? undefined : { code: said[1], effect: said[2] }
}

// The detail of the server is left out: it quotes values.
function named(error: unknown): Readonly<Record<string, string>> {
  const names: Record<string, string> = {}
  for (const field of ['schema', 'table', 'column', 'constraint']) {
    const value = readText(error, field)
    if (value !== '') names[field] = value
  }
  return names
}
