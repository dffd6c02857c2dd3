// How answers of mysql2 come back: the same whatever the pool is set to (big numbers, dates, rows as arrays).
import type { SqlResult } from '../../core/contracts/store.ts'
import type { Mysql2Query } from './mysql2-types.ts'

interface Field {
  readonly type: string
  string(encoding?: string): string | null
}

const IN_TRANSACTION = 1
const AUTOCOMMIT = 2

/** A statement for mysql2. */
export function queryOf(sql: string): Mysql2Query {
  return { sql, rowsAsArray: false, nestTables: false, namedPlaceholders: false, typeCast }
}

/** What the session is like after a statement that gave no rows; undefined where it gave some. */
export interface SessionStatus {
  readonly inTransaction: boolean
  readonly autocommit: boolean
}

/** Rows, or how many were touched. */
export function resultOf(answer: unknown): SqlResult {
  const first = Array.isArray(answer) ? (answer as readonly unknown[])[0] : undefined
  if (Array.isArray(first)) return { rows: first as readonly Record<string, unknown>[], affected: first.length }
  const { affectedRows } = (first ?? {}) as { readonly affectedRows?: unknown }
  return { rows: [], affected: typeof affectedRows === 'number' ? affectedRows : 0 }
}

/** What the server says of the session with a statement that gives no rows. */
export function statusOf(answer: unknown): SessionStatus | undefined {
  const first = Array.isArray(answer) ? (answer as readonly unknown[])[0] : undefined
  if (Array.isArray(first) || typeof first !== 'object' || first === null) return undefined
  const { serverStatus } = first as { readonly serverStatus?: unknown }
  if (typeof serverStatus !== 'number') return undefined
  return {
    inTransaction: (serverStatus & IN_TRANSACTION) !== 0,
    autocommit: (serverStatus & AUTOCOMMIT) !== 0,
  }
}

function typeCast(field: Field, next: () => unknown): unknown {
  switch (field.type) {
    case 'LONGLONG': {
      const text = field.string('ascii')
      if (text === null) return null
      const number = Number(text)
      return Number.isSafeInteger(number) ? number : BigInt(text)
    }
    case 'DECIMAL':
    case 'NEWDECIMAL':
    case 'DATE':
    case 'NEWDATE':
    case 'DATETIME':
    case 'DATETIME2':
    case 'TIMESTAMP':
    case 'TIMESTAMP2':
    case 'TIME':
    case 'TIME2':
      return field.string('ascii')
    case 'JSON':
      return field.string('utf8')
    default:
      return next()
  }
}
