// Opens a file with whatever the Node at hand has: its own SQLite, or the package `libsql`.
import { lazy } from '../../core/lazy.ts'
import { type Closable, closable } from '../../core/lifecycle.ts'
import { invalidOption, knownOptions } from '../../core/options.ts'
import { createError } from '../../errors/index.ts'
import { classifySqlite } from './classify-sqlite.ts'
import { DRIVER_OPTIONS, type SqliteDriver, type SqliteDriverOptions } from './driver.ts'
import type { BetterSqliteHandle, NodeSqliteHandle, SqliteHandle, SqliteTx } from './handle-types.ts'
import { libsqlDriver, nodeSqliteDriver } from './presets.ts'

/** How a file is opened. */
export interface OpenSqliteOptions extends SqliteDriverOptions {
  /**
   * What a commit waits for. `full`: until the disk has it; it survives a power cut. `normal`: it survives the end of the process, however sudden, and is several
   * times faster; a power cut may take the last commits, never the file. Default `full`.
   */
  readonly synchronous?: 'full' | 'normal' | undefined
  /** Which of the two is used. Default: `node:sqlite` where this Node has it (22.13 and later), else `libsql`. */
  readonly engine?: 'node' | 'libsql' | undefined
}

/** An open file. `close` ends the handle. */
export interface SqliteFile extends SqliteDriver<SqliteTx<SqliteHandle>>, Closable {
  /** The handle itself, for statements outside of transactions while nothing else goes on; inside, use what the transaction gives. */
  readonly handle: SqliteHandle
}

type Opened = (Pick<BetterSqliteHandle, 'exec'> | NodeSqliteHandle) & { close(): unknown }

/**
 * Opens a file, or makes it, in WAL mode; several processes may have it open (on one machine, on a local disk).
 * @param path of the file; `:memory:` for none
 * @throws FairleadError `INVALID_OPTIONS`; `NOT_SUPPORTED` where neither engine is there, saying what to install; what SQLite says
 * @example const store = sqliteStore(await openSqlite('shop.db'))
 */
export async function openSqlite(path: string, options: OpenSqliteOptions = {}): Promise<SqliteFile> {
  const { synchronous = 'full', engine = hasOwn() ? 'node' : 'libsql', ...rest } = options
  knownOptions('openSqlite', options, [...DRIVER_OPTIONS, 'synchronous', 'engine'])
  if (typeof path !== 'string' || path === '') throw invalidOption('path', path, 'give the path of a file')
  if (synchronous !== 'full' && synchronous !== 'normal')
    throw invalidOption('synchronous', synchronous, `give 'full' or 'normal'`)
  if (engine !== 'node' && engine !== 'libsql') throw invalidOption('engine', engine, `give 'node' or 'libsql'`)
  let handle: Opened | undefined
  try {
    handle = open(engine, path)
    // Before all else: to change the mode of a new file takes a lock that another process may want as well.
    handle.exec('pragma busy_timeout = 5000')
    handle.exec('pragma journal_mode = wal')
    handle.exec(`pragma synchronous = ${synchronous}`)
    handle.exec('pragma busy_timeout = 10')
  } catch (error) {
    handle?.close()
    throw classifySqlite(error)
  }
  const driver = (
    engine === 'node' ? nodeSqliteDriver(handle as NodeSqliteHandle, rest) : libsqlDriver(handle as never, rest)
  ) as SqliteDriver<SqliteTx<SqliteHandle>>
  const end = closable(async () => {
    handle.close()
  })
  return { ...driver, handle: handle as unknown as SqliteHandle, ...end }
}

function open(engine: 'node' | 'libsql', path: string): Opened {
  if (engine === 'node') {
    if (!hasOwn())
      throw createError({
        code: 'NOT_SUPPORTED',
        effect: 'none',
        message: `this Node (${process.version}) has no node:sqlite: use Node 22.13 or later, or npm install libsql`,
      })
    const { DatabaseSync } = lazy<{ DatabaseSync: new (path: string) => Opened }>('node:sqlite')
    return new DatabaseSync(path)
  }
  return new (libsql())(path)
}

function libsql(): new (path: string) => Opened {
  try {
    return lazy('libsql')
  } catch (error) {
    throw createError({
      code: 'NOT_SUPPORTED',
      effect: 'none',
      message: `SQLite is not at hand: npm install libsql, or use Node 22.13 or later, which has its own (this is ${process.version})`,
      cause: error,
    })
  }
}

// It exists earlier, behind a flag.
function hasOwn(): boolean {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  return major > 22 || (major === 22 && minor >= 13)
}
