// The packages that open files of SQLite, as far as they are there: libsql always, Node's own where this Node has it, and better-sqlite3 where
// FAIRLEAD_BETTER_SQLITE3 names a folder in which it is installed (it is built from source for minutes, so it is no dependency).
import { mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  betterSqliteDriver,
  libsqlDriver,
  nodeSqliteDriver,
  type SqliteDriver,
  type SqliteDriverOptions,
  type SqliteHandle,
  type SqliteTx,
} from '../../../src/adapters/sqlite/index.ts'

export type Handle = SqliteHandle & { close(): void }
export type Driver = SqliteDriver<SqliteTx<SqliteHandle>>

/** A package that is there. */
export interface TestEngine {
  readonly name: string
  /** A handle as the package gives it, in WAL mode. */
  open(path: string): Handle
  driver(handle: Handle, options?: SqliteDriverOptions): Driver
}

const load = createRequire(import.meta.url)

const wal = (handle: Handle): Handle => {
  handle.exec('pragma busy_timeout = 5000')
  handle.exec('pragma journal_mode = wal')
  handle.exec('pragma synchronous = normal')
  handle.exec('pragma busy_timeout = 0')
  return handle
}

const libsql: TestEngine = {
  name: 'libsql',
  open: (path) => wal(new (load('libsql') as new (path: string) => Handle)(path)),
  driver: (handle, options) => libsqlDriver(handle as never, options) as unknown as Driver,
}

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)

/** Whether this Node has `node:sqlite`. */
export const hasNodeSqlite: boolean = major > 22 || (major === 22 && minor >= 13)

const node: TestEngine = {
  name: 'node:sqlite',
  open: (path) => wal(new (load('node:sqlite') as { DatabaseSync: new (path: string) => Handle }).DatabaseSync(path)),
  driver: (handle, options) => nodeSqliteDriver(handle as never, options) as unknown as Driver,
}

const { FAIRLEAD_BETTER_SQLITE3: betterFolder } = process.env

const better: TestEngine = {
  name: 'better-sqlite3',
  open: (path) =>
    wal(
      new (createRequire(join(betterFolder ?? '', 'index.js'))('better-sqlite3') as new (path: string) => Handle)(path),
    ),
  driver: (handle, options) => betterSqliteDriver(handle as never, options) as unknown as Driver,
}

/** Those that are there. */
export const engines: readonly TestEngine[] = [
  libsql,
  ...(hasNodeSqlite ? [node] : []),
  ...(betterFolder ? [better] : []),
]

/** Those that are not, and why. */
export const leftOut: readonly string[] = [
  ...(hasNodeSqlite ? [] : [`node:sqlite, which Node ${process.versions.node} does not have`]),
  ...(betterFolder
    ? []
    : ['better-sqlite3, which is built from source: FAIRLEAD_BETTER_SQLITE3=<folder where it is installed>']),
]

/** A folder that goes away when the test ends: `onTestFinished(folder.remove)`. */
export const temporaryFolder = (): { readonly path: string; remove(): void } => {
  const path = mkdtempSync(join(tmpdir(), 'fairlead-sqlite-'))
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}
