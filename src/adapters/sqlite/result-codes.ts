// What each result code of SQLite means in fairlead's words (sqlite.org/rescode.html). An extended code has its primary code in the low byte.
import type { Code, Effect } from '../../errors/index.ts'

/** What is known of a result code. Where nothing is said of the effect, the statement was refused: none. */
export interface ResultFacts {
  readonly name: string
  readonly code: Code
  /** Of a COMMIT that failed so. */
  readonly atCommit?: Effect
  readonly transient?: boolean
  /** What to do, where the words of SQLite do not say. */
  readonly advice?: string
}

// biome-ignore format: a table is read by its rows
const PRIMARY: Readonly<Record<number, ResultFacts>> = {
  1: { name: 'SQLITE_ERROR', code: 'BAD_REQUEST' },
  2: { name: 'SQLITE_INTERNAL', code: 'SERVER_ERROR', atCommit: 'unknown', transient: false },
  3: { name: 'SQLITE_PERM', code: 'FORBIDDEN' },
  4: { name: 'SQLITE_ABORT', code: 'TRANSACTION_CONFLICT' },
  5: { name: 'SQLITE_BUSY', code: 'TRANSACTION_CONFLICT', advice: 'another connection has been writing to the file all the while' },
  6: { name: 'SQLITE_LOCKED', code: 'TRANSACTION_CONFLICT' },
  7: { name: 'SQLITE_NOMEM', code: 'SELF_EXHAUSTED' },
  8: { name: 'SQLITE_READONLY', code: 'FORBIDDEN', advice: 'the file, its folder, or the handle is read-only' },
  9: { name: 'SQLITE_INTERRUPT', code: 'CANCELLED' },
  10: { name: 'SQLITE_IOERR', code: 'SERVER_ERROR', atCommit: 'unknown', advice: 'the disk or the file system failed' },
  11: { name: 'SQLITE_CORRUPT', code: 'SERVER_ERROR', atCommit: 'unknown', transient: false, advice: 'the file is damaged: restore it, and look at what else writes to it' },
  12: { name: 'SQLITE_NOTFOUND', code: 'NOT_SUPPORTED' },
  13: { name: 'SQLITE_FULL', code: 'SELF_EXHAUSTED', advice: 'the disk is full: nothing was written; make room and run the transaction again' },
  14: { name: 'SQLITE_CANTOPEN', code: 'NOT_FOUND', advice: 'is the folder there, and may this process write to it?' },
  15: { name: 'SQLITE_PROTOCOL', code: 'TRANSACTION_CONFLICT' },
  17: { name: 'SQLITE_SCHEMA', code: 'TRANSACTION_CONFLICT' },
  18: { name: 'SQLITE_TOOBIG', code: 'PAYLOAD_TOO_LARGE' },
  19: { name: 'SQLITE_CONSTRAINT', code: 'UNPROCESSABLE' },
  20: { name: 'SQLITE_MISMATCH', code: 'UNPROCESSABLE' },
  21: { name: 'SQLITE_MISUSE', code: 'PROGRAMMING_ERROR' },
  22: { name: 'SQLITE_NOLFS', code: 'NOT_SUPPORTED' },
  23: { name: 'SQLITE_AUTH', code: 'FORBIDDEN' },
  25: { name: 'SQLITE_RANGE', code: 'PROGRAMMING_ERROR' },
  26: { name: 'SQLITE_NOTADB', code: 'INCOMPATIBLE', advice: 'that file is no database of SQLite, or it is encrypted' },
}

// biome-ignore format: a table is read by its rows
const EXTENDED: Readonly<Record<number, ResultFacts>> = {
  261: { name: 'SQLITE_BUSY_RECOVERY', code: 'TRANSACTION_CONFLICT' },
  517: { name: 'SQLITE_BUSY_SNAPSHOT', code: 'TRANSACTION_CONFLICT', advice: 'begin transactions that write with BEGIN IMMEDIATE' },
  516: { name: 'SQLITE_ABORT_ROLLBACK', code: 'TRANSACTION_CONFLICT' },
  773: { name: 'SQLITE_BUSY_TIMEOUT', code: 'TRANSACTION_CONFLICT' },
  262: { name: 'SQLITE_LOCKED_SHAREDCACHE', code: 'TRANSACTION_CONFLICT' },
  776: { name: 'SQLITE_READONLY_ROLLBACK', code: 'FORBIDDEN' },
  1032: { name: 'SQLITE_READONLY_DBMOVED', code: 'FORBIDDEN', advice: 'the file was moved or deleted while it was open' },
  3082: { name: 'SQLITE_IOERR_NOMEM', code: 'SELF_EXHAUSTED' },
  275: { name: 'SQLITE_CONSTRAINT_CHECK', code: 'UNPROCESSABLE' },
  787: { name: 'SQLITE_CONSTRAINT_FOREIGNKEY', code: 'CONFLICT' },
  1299: { name: 'SQLITE_CONSTRAINT_NOTNULL', code: 'UNPROCESSABLE' },
  1555: { name: 'SQLITE_CONSTRAINT_PRIMARYKEY', code: 'CONFLICT' },
  2067: { name: 'SQLITE_CONSTRAINT_UNIQUE', code: 'CONFLICT' },
  2579: { name: 'SQLITE_CONSTRAINT_ROWID', code: 'CONFLICT' },
  3091: { name: 'SQLITE_CONSTRAINT_DATATYPE', code: 'UNPROCESSABLE' },
}

const BY_NAME: ReadonlyMap<string, number> = new Map(
  Object.entries({ ...PRIMARY, ...EXTENDED }).map(([number, { name }]) => [name, Number(number)]),
)

/** Facts of a result code, extended or primary; undefined for one that says nothing. */
export function resultFacts(code: number): ResultFacts | undefined {
  return EXTENDED[code] ?? PRIMARY[code & 0xff]
}

/** The number of a name: of an extended one that is not in our table, its primary code. */
export function resultCodeOf(name: string): number | undefined {
  for (let known = name; known.includes('_'); known = known.slice(0, known.lastIndexOf('_'))) {
    const number = BY_NAME.get(known)
    if (number !== undefined) return number
  }
  return undefined
}
