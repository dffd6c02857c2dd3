// Says in fairlead's words what went wrong with SQLite, and what the database did: by result code, wherever the package at hand puts it.
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
import { resultCodeOf, resultFacts } from './result-codes.ts'

/** Where it happened: a statement with its own commit; a statement inside a transaction, which cannot have been committed; COMMIT itself. */
export type SqlitePhase = 'statement' | 'transaction' | 'commit'

/** What is known besides the error. */
export interface SqliteHints extends Pick<Hints, 'service' | 'operation' | 'channel' | 'attempt' | 'idempotent'> {
  /** Default `statement`. */
  readonly phase?: SqlitePhase | undefined
}

/** Words of SQLite and of the packages for what has no code of its own. A test sees to it that they are still said. */
const WORDS: readonly (readonly [RegExp, Code, string?])[] = [
  [/^no such (table|column|function|module|index)\b/, 'NOT_FOUND', 'has the file been migrated? store.migrate() does'],
  [/\bhas no column named\b/, 'NOT_FOUND'],
  [/\balready exists$/, 'CONFLICT'],
  [/^cannot (commit|rollback) - no transaction is active/, 'PROGRAMMING_ERROR'],
  [/^cannot start a transaction within a transaction/, 'PROGRAMMING_ERROR'],
  [/^Cannot open database because the directory does not exist/, 'NOT_FOUND'],
  [/(database|database connection) is not open/, 'SHUTDOWN'],
]

/**
 * Makes a FairleadError of what `better-sqlite3`, `libsql` or `node:sqlite` threw. Never throws; a FairleadError is given back.
 *
 * The effect is exact: what SQLite refuses it has undone (`none`); only a COMMIT that met a failing disk may or may not be there after a restart (`unknown`).
 * `details` has the `resultCode` (extended where it was told) and its `name`; never a value.
 * @example catch (error) { if (classifySqlite(error).code === 'TRANSACTION_CONFLICT') again() }
 */
export function classifySqlite(error: unknown, hints: SqliteHints = {}): FairleadError {
  const { phase = 'statement', ...known } = hints
  if (isFairleadError(error)) return stamp(error, known)
  const result = resultOf(error)
  const message = readText(error, 'message')
  const facts = result === undefined ? undefined : resultFacts(result)
  const said = result === undefined || (result & 0xff) === 1 ? WORDS.find(([words]) => words.test(message)) : undefined
  if (facts === undefined && said === undefined) {
    const general = classify(error, { ...known, transport: 'sqlite' })
    return phase === 'transaction' && general.effect !== 'none' ? withFields(general, { effect: 'none' }) : general
  }
  const advice = said === undefined ? facts?.advice : said[2]
  const effect: Effect = phase === 'commit' ? (facts?.atCommit ?? 'none') : 'none'
  const words = oneLine(message.replace(/\s+/g, ' '))
  return createError({
    ...known,
    code: said?.[1] ?? (facts?.code as Code),
    message: advice === undefined ? words : `${words}: ${advice}`,
    cause: error,
    effect,
    transient: facts?.transient,
    transport: 'sqlite',
    details: result === undefined ? undefined : { resultCode: result, name: facts?.name },
    stack: false,
  })
}

/** Whether it came from SQLite: it has a result code, or words of one of the packages. */
export function isOfSqlite(error: unknown): boolean {
  if (isFairleadError(error)) return error.transport === 'sqlite'
  return resultOf(error) !== undefined
}

/** Whether somebody else has the lock that was asked for: waiting may help. Not so where a snapshot is out of date. */
export function isBusy(error: unknown): boolean {
  const result = resultOf(error)
  return result !== undefined && [5, 6].includes(result & 0xff) && result !== 517
}

/** The result code of an error of the packages (extended where it is told), or of the error that a FairleadError was made of. */
export function resultOf(error: unknown): number | undefined {
  const from = isFairleadError(error) ? error.cause : error
  if (typeof from !== 'object' || from === null) return undefined
  const { errcode, rawCode, code } = from as Readonly<Record<string, unknown>>
  // node:sqlite; libsql; better-sqlite3 has names only. What libsql says of a file that it cannot open has neither.
  if (code === 'ERR_SQLITE_ERROR') return typeof errcode === 'number' ? errcode : 1
  const unopened = /^ConnectionFailed\(.*: (\d+)"\)$/s.exec(readText(from, 'message'))
  if (unopened !== null) return Number(unopened[1])
  if (typeof code !== 'string' || !/^(UNKNOWN_)?SQLITE_/.test(code)) return undefined
  return typeof rawCode === 'number' ? rawCode : (resultCodeOf(code) ?? 1)
}
