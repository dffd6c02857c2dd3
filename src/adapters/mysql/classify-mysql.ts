// Says in fairlead's words what went wrong with MySQL or MariaDB, and what the database did: by the error number of the server, else by the codes and words of `mysql2`.
import { oneLine, readText } from '../../errors/classify-facts.ts'
import {
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
import { errnoFacts } from './errnos.ts'

/**
 * Where it happened: getting a connection; a statement with its own commit; a statement inside a transaction, which cannot have been
 * committed; COMMIT itself.
 */
export type MysqlPhase = 'connect' | 'statement' | 'transaction' | 'commit'

/** What is known besides the error. */
export interface MysqlHints extends Pick<Hints, 'service' | 'operation' | 'channel' | 'attempt' | 'idempotent'> {
  /** Default `statement`. */
  readonly phase?: MysqlPhase | undefined
}

interface Finding {
  readonly code: Code
  readonly effect: Effect
  readonly transient?: boolean | undefined
  readonly advice?: string | undefined
}

/** Codes that mysql2 3 gives to errors of its own. */
const CLIENT: Readonly<Record<string, readonly [Code, Effect]>> = {
  PROTOCOL_CONNECTION_LOST: ['CONNECTION_LOST', 'unknown'],
  PROTOCOL_SEQUENCE_TIMEOUT: ['TIMED_OUT', 'unknown'],
  PROTOCOL_ERROR: ['PROTOCOL_VIOLATION', 'unknown'],
  PROTOCOL_PACKETS_OUT_OF_ORDER: ['PROTOCOL_VIOLATION', 'unknown'],
  HANDSHAKE_NO_SSL_SUPPORT: ['TLS_FAILED', 'none'],
  HANDSHAKE_SSL_ERROR: ['TLS_FAILED', 'none'],
  HANDSHAKE_UNKNOWN_ERROR: ['PROTOCOL_VIOLATION', 'none'],
  AUTH_SWITCH_PLUGIN_ERROR: ['UNAUTHENTICATED', 'none'],
  MYSQL_CLEAR_PASSWORD_NOT_ENABLED: ['UNAUTHENTICATED', 'none'],
}

/** Errors without a code, by the words of mysql2 3 (connection and pool). A test sees to it that they are still said. */
const WORDS: readonly (readonly [RegExp, Code, Effect])[] = [
  [/^Pool is closed/, 'SHUTDOWN', 'none'],
  [/^No connections available/, 'SELF_EXHAUSTED', 'none'],
  [/^Queue limit reached/, 'SELF_EXHAUSTED', 'none'],
  [/^Can't add new command when connection is in closed state/, 'CONNECTION_LOST', 'none'],
  [/^Can't write in closed state/, 'CONNECTION_LOST', 'none'],
  [/^connect ETIMEDOUT$/, 'CONNECT_TIMEOUT', 'none'],
]

/**
 * Makes a FairleadError of what `mysql2` threw. Never throws; a FairleadError is given back.
 *
 * The effect is exact: a statement that was refused, or stood in a transaction whose COMMIT was never sent, did nothing (`none`);
 * where a connection broke while a statement with its own commit or a COMMIT was out, nobody knows (`unknown`).
 * `details` has `errno` and `sqlState`; never a value. The words of the server are kept only where they quote none.
 * @example catch (error) { if (classifyMysql(error).code === 'TRANSACTION_CONFLICT') again() }
 */
export function classifyMysql(error: unknown, hints: MysqlHints = {}): FairleadError {
  const { phase = 'statement', ...known } = hints
  const provenNone = phase === 'connect' || phase === 'transaction'
  if (isFairleadError(error)) {
    const ours = error.transport === 'mysql' && provenNone && error.effect === 'unknown'
    return stamp(ours ? withFields(error, { effect: 'none' }) : error, known)
  }
  const errno = errnoOf(error)
  const message = readText(error, 'message')
  const found = errno === undefined ? ofClient(error, message) : ofServer(errno)
  if (found === undefined) {
    const general = classify(error, {
      ...known,
      transport: 'mysql',
      phase: phase === 'connect' ? 'connect' : undefined,
    })
    return provenNone && general.effect !== 'none' ? withFields(general, { effect: 'none' }) : general
  }
  const line = oneLine(message.replace(/\s+/g, ' '))
  const words = errno === undefined ? line : withoutValues(errno, line)
  return createError({
    ...known,
    code: found.code,
    message: found.advice === undefined ? words : `${words}: ${found.advice}`,
    cause: error,
    effect: provenNone ? 'none' : found.effect,
    transient: found.transient,
    transport: 'mysql',
    details: errno === undefined ? undefined : { errno, sqlState: readText(error, 'sqlState') },
    stack: false,
  })
}

/** Whether it came from `mysql2` or its server. */
export function isOfMysql(error: unknown): boolean {
  if (isFairleadError(error)) return error.transport === 'mysql'
  if (typeof error !== 'object' || error === null) return false
  return errnoOf(error) !== undefined || ofClient(error, readText(error, 'message')) !== undefined
}

/** Whether the session goes on after this error: a statement was refused, and no more. */
export function isConnectionSound(error: unknown): boolean {
  const errno = errnoOf(error)
  if (errno === undefined || errnoFacts(errno).ends === true) return false
  return (error as { readonly fatal?: unknown }).fatal !== true
}

/** The number of an error of the server, or of the error that a FairleadError was made of. */
export function errnoOf(error: unknown): number | undefined {
  const from = isFairleadError(error) ? error.cause : error
  if (typeof from !== 'object' || from === null) return undefined
  const { errno, sqlState, code } = from as Readonly<Record<string, unknown>>
  // Errors of the operating system have a negative number, and no state.
  const ofServer = typeof sqlState === 'string' || (typeof code === 'string' && code.startsWith('ER_'))
  return typeof errno === 'number' && errno > 0 && ofServer ? errno : undefined
}

function ofServer(errno: number): Finding {
  const { code, effect = 'none', transient, advice } = errnoFacts(errno)
  return { code, effect, transient, advice }
}

function ofClient(error: unknown, message: string): Finding | undefined {
  const code = readText(error, 'code')
  const known = Object.hasOwn(CLIENT, code) ? CLIENT[code] : undefined
  if (known !== undefined) return { code: known[0], effect: known[1] }
  const said = WORDS.find(([words]) => words.test(message))
  return said === undefined ? undefined : { code: said[1], effect: said[2] }
}

// Duplicate entries, wrong values and parse errors quote what was sent.
function withoutValues(errno: number, message: string): string {
  switch (errno) {
    case 1062:
    case 1586:
      return message.replace(/^(Duplicate entry) .* (for key)/, '$1 $2')
    case 1064:
      return message.replace(/ near '.*$/, '')
    case 1292:
    case 1366:
    case 1690:
      return message.replace(/: '.*' (for|in)/, ' $1').replace(/'.*'/, '')
    default:
      return message
  }
}
