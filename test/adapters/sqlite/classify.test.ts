import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { classifySqlite } from '../../../src/adapters/sqlite/index.ts'
import { createError } from '../../../src/errors/index.ts'
import { engines, type Handle, temporaryFolder } from './engines.ts'

const caught = (work: () => unknown): unknown => {
  try {
    work()
  } catch (error) {
    return error
  }
  throw new Error('nothing was thrown')
}

describe.each(engines)('what $name throws', (engine) => {
  const setUp = (): { readonly handle: Handle; readonly folder: string } => {
    const folder = temporaryFolder()
    onTestFinished(folder.remove)
    const handle = engine.open(join(folder.path, 'a.db'))
    onTestFinished(() => handle.close())
    handle.exec('create table u (a text primary key, b text unique, c integer not null default 0 check (c < 9)) strict')
    handle.exec(`insert into u (a, b) values ('x', 'y')`)
    handle.exec('create table f (a text references u (a))')
    handle.exec('pragma foreign_keys = on')
    return { handle, folder: folder.path }
  }

  // biome-ignore format: a table is read by its rows
  it.each([
    [`insert into u (a) values ('x')`, 'CONFLICT', 1555],
    [`insert into u (a, b) values ('z', 'y')`, 'CONFLICT', 2067],
    [`insert into f values ('nobody')`, 'CONFLICT', 787],
    [`insert into u (a, c) values ('n', null)`, 'UNPROCESSABLE', 1299],
    [`insert into u (a, c) values ('n', 9)`, 'UNPROCESSABLE', 275],
    [`insert into u (a, c) values ('n', 'text')`, 'UNPROCESSABLE', 3091],
    ['select * from nowhere', 'NOT_FOUND', 1],
    ['select absent from u', 'NOT_FOUND', 1],
    ['insert into u (z) values (1)', 'NOT_FOUND', 1],
    ['create table u (a)', 'CONFLICT', 1],
    ['selec', 'BAD_REQUEST', 1],
    ['commit', 'PROGRAMMING_ERROR', 1],
    ['select zeroblob(2000000000)', 'PAYLOAD_TOO_LARGE', 18],
    ['pragma query_only = on; insert into u (a) values (1)', 'FORBIDDEN', 8],
  ])('%s is %s', (text, code, resultCode) => {
    const { handle } = setUp()
    const error = caught(() => (text.startsWith('select') ? handle.prepare(text).all() : handle.exec(text)))
    const known = classifySqlite(error)
    expect(known).toMatchObject({ code, effect: 'none', transport: 'sqlite', cause: error })
    expect(known.details).toMatchObject({ resultCode })
    expect(known.message).not.toMatch(/nobody|'x'/)
  })

  it('a file that is none of SQLite, or in no folder', () => {
    const { folder } = setUp()
    const file = join(folder, 'text.db')
    writeFileSync(file, 'this is no database, however long it is '.repeat(100))
    expect(classifySqlite(caught(() => engine.open(file)))).toMatchObject({ code: 'INCOMPATIBLE', effect: 'none' })
    mkdirSync(join(folder, 'sub'))
    for (const path of [join(folder, 'no', 'where.db'), join(folder, 'sub')])
      expect(classifySqlite(caught(() => engine.open(path)))).toMatchObject({ code: 'NOT_FOUND', effect: 'none' })
  })

  it('a damaged file', () => {
    const { handle, folder } = setUp()
    const path = join(folder, 'a.db')
    handle.exec('pragma journal_mode = delete')
    const bytes = readFileSync(path)
    // All but the first page, which says what there is.
    writeFileSync(path, bytes.fill(0xff, 4096))
    const damaged = engine.open(path)
    onTestFinished(() => damaged.close())
    expect(classifySqlite(caught(() => damaged.prepare('select * from u').all()))).toMatchObject({
      code: 'SERVER_ERROR',
      transient: false,
    })
  })
})

// As better-sqlite3 says it, which has names only; libsql, numbers as well; node:sqlite, numbers only.
// biome-ignore format: a table is read by its rows
it.each([
  [{ code: 'SQLITE_BUSY_SNAPSHOT' }, 'TRANSACTION_CONFLICT', 'none'],
  [{ code: 'SQLITE_BUSY' }, 'TRANSACTION_CONFLICT', 'none'],
  [{ code: 'SQLITE_FULL' }, 'SELF_EXHAUSTED', 'none'],
  [{ code: 'SQLITE_IOERR_FSYNC' }, 'SERVER_ERROR', 'unknown'],
  [{ code: 'SQLITE_CORRUPT_VTAB' }, 'SERVER_ERROR', 'unknown'],
  [{ code: 'SQLITE_CONSTRAINT_TRIGGER' }, 'UNPROCESSABLE', 'none'],
  [{ code: 'SQLITE_READONLY_DBMOVED' }, 'FORBIDDEN', 'none'],
  [{ code: 'SQLITE_SOMETHING_NEW' }, 'BAD_REQUEST', 'none'],
  [{ code: 'SQLITE_BUSY', rawCode: 261 }, 'TRANSACTION_CONFLICT', 'none'],
  [{ code: 'UNKNOWN_SQLITE_ERROR_266', rawCode: 266 }, 'SERVER_ERROR', 'unknown'],
  [{ code: 'ERR_SQLITE_ERROR', errcode: 13 }, 'SELF_EXHAUSTED', 'none'],
  [{ code: 'ERR_SQLITE_ERROR', errcode: 4874 }, 'SERVER_ERROR', 'unknown'],
  [{ code: 'ERR_SQLITE_ERROR' }, 'BAD_REQUEST', 'none'],
])('%j at a COMMIT is %s, effect %s', (fields, code, effect) => {
  const error = Object.assign(new Error('words'), fields)
  expect(classifySqlite(error, { phase: 'commit' })).toMatchObject({ code, effect })
  expect(classifySqlite(error, { phase: 'transaction' }).effect).toBe('none')
  expect(classifySqlite(error).effect).toBe('none')
})

it('leaves what is no error of SQLite to the general rules, and errors of fairlead as they are', () => {
  const own = createError({ code: 'KEY_REUSED', message: 'm' })
  expect(classifySqlite(own)).toBe(own)
  for (const odd of [undefined, null, 'text', 7, new Error('other'), Object.assign(new Error('x'), { code: 'EACCES' })])
    expect(classifySqlite(odd, { phase: 'transaction' }).effect).toBe('none')
})
