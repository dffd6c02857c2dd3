// One way to run a statement, over the handles of the three packages: prepared once, values in and out without surprises.
import type { SqlResult } from '../../core/contracts/store.ts'
import { createError } from '../../errors/index.ts'
import type { BetterSqliteHandle, NodeSqliteHandle } from './handle-types.ts'

/** A handle, as the driver uses it. What it throws is what the package throws. */
export interface Engine {
  run(text: string, params: readonly unknown[]): SqlResult
  /** Whether it has a transaction open, whoever began it. */
  inTransaction(): boolean
}

// Where there are no bytes, and no memory for them either, Node 22 binds NULL.
const EMPTY = new Uint8Array(1).subarray(1)

type Run = (params: readonly unknown[]) => SqlResult

// Statements of ours are few; users may build theirs from values, and those must not pile up.
const MOST_STATEMENTS = 200

/** Over `better-sqlite3` and `libsql`. */
export function betterEngine(handle: BetterSqliteHandle): Engine {
  return {
    run: prepared((text): Run => {
      const statement = handle.prepare(text)
      if (statement.reader !== true) return (params) => ({ rows: [], affected: Number(statement.run(params).changes) })
      // Whole numbers come as bigint, none is rounded.
      statement.safeIntegers(true)
      return (params) => rowsOf(statement.all(params))
    }),
    // A closed handle of libsql ends the process when it is asked.
    inTransaction: () => handle.open && handle.inTransaction,
  }
}

/** Over `node:sqlite`. */
export function nodeEngine(handle: NodeSqliteHandle): Engine {
  return {
    run: prepared((text): Run => {
      const statement = handle.prepare(text)
      if (!answers(statement, text))
        return (params) => ({ rows: [], affected: Number(statement.run(...params).changes) })
      statement.setReadBigInts(true)
      return (params) => rowsOf(statement.all(...params))
    }),
    inTransaction: () => (handle.isOpen === false ? false : (handle.isTransaction ?? refusesAnother(handle))),
  }
}

// Node before 22.16 cannot say, but SQLite refuses a second transaction. A deferred one takes no lock.
function refusesAnother(handle: NodeSqliteHandle): boolean {
  try {
    handle.exec('begin deferred')
  } catch (error) {
    return error instanceof Error && /within a transaction/.test(error.message)
  }
  handle.exec('rollback')
  return false
}

function prepared(prepare: (text: string) => Run): Engine['run'] {
  const statements = new Map<string, Run>()
  return (text, params) => {
    const given = params.map(valueIn)
    const known = statements.get(text)
    if (known !== undefined) return known(given)
    const run = prepare(text)
    if (statements.size >= MOST_STATEMENTS) statements.delete(statements.keys().next().value as string)
    statements.set(text, run)
    return run(given)
  }
}

// `columns` is there from 22.16 on.
function answers(statement: { columns?: () => readonly unknown[] }, text: string): boolean {
  if (typeof statement.columns === 'function') return statement.columns().length > 0
  return /^\s*(select|with|pragma|explain|values)\b|\breturning\b/i.test(text)
}

// Numbers are bound as REAL unless they are bigint; libsql ends the process over a boolean.
function valueIn(value: unknown): unknown {
  switch (typeof value) {
    case 'string':
      if (value.includes('\0')) throw unfit('a text with a NUL in it: SQLite cuts it there, depending on who reads')
      return value
    case 'number':
      return Number.isSafeInteger(value) ? BigInt(value) : value
    case 'bigint':
      if (BigInt.asIntN(64, value) !== value) throw unfit('a whole number of more than 64 bits')
      return value
    case 'boolean':
      return value ? 1n : 0n
    case 'undefined':
      return null
    default:
      if (value instanceof Uint8Array) return value.byteLength === 0 ? EMPTY : value
      if (value === null) return null
      throw unfit(`a parameter that is ${Array.isArray(value) ? 'an array' : `of type ${typeof value}`}`)
  }
}

function unfit(what: string): Error {
  return createError({
    code: 'INVALID_INPUT',
    message: `${what}: give null, text, number, bigint, boolean or bytes`,
    transport: 'sqlite',
    details: { issues: [{ path: [], message: what }] },
  })
}

function rowsOf(raw: unknown[]): SqlResult {
  const rows = raw as Record<string, unknown>[]
  for (const row of rows)
    for (const column in row) {
      const value = row[column]
      if (typeof value === 'bigint') {
        const number = Number(value)
        if (Number.isSafeInteger(number)) row[column] = number
      } else if (value instanceof ArrayBuffer) row[column] = new Uint8Array(value)
    }
  return { rows, affected: rows.length }
}
