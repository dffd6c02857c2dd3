// fairlead over PGlite: PostgreSQL in this process, on one connection.
import type { SqlResult } from '../../../core/contracts/store.ts'
import { invalidOption } from '../../../core/options.ts'
import { classifyPostgres } from '../classify-postgres.ts'
import { identifier } from '../names.ts'
import { PARSED_TYPES, RESULT_TYPES } from '../result-types.ts'
import { lockFolder } from './folder-lock.ts'
import { createPreset, type PostgresDriver, type PostgresDriverOptions } from './preset.ts'

/** What is used of PGlite, by shape. */
export interface PgliteDatabase<Tx extends PgliteQueries> extends PgliteQueries {
  transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T>
  listen(channel: string, callback: (payload: string) => void): Promise<unknown>
  unlisten(channel: string, callback?: (payload: string) => void): Promise<void>
  readonly dataDir?: string | undefined
}

/** What database and transaction of PGlite share. */
export interface PgliteQueries {
  query<T>(
    query: string,
    params?: any[],
    options?: any,
  ): Promise<{ readonly rows: readonly T[]; readonly affectedRows?: number }>
  exec(
    query: string,
    options?: any,
  ): Promise<readonly { readonly rows: readonly any[]; readonly affectedRows?: number }[]>
}

/** How PGlite is used. It has no connection to wait for, and listens itself. */
export type PgliteDriverOptions = Pick<PostgresDriverOptions, 'clock'>

/**
 * Speaks through PGlite (0.3 or later). Two processes on one folder lose data silently, so the driver takes an exclusive lock beside it
 * (`<folder>.fairlead-lock`): make the driver before anything is written, and `close()` it to let go. After a crash the lock lets itself be
 * taken on a machine of the same name; on another one (a container that was made anew), where nobody can tell whether the owner lives, and after a crash in the middle of taking it,
 * the error names the files that are to be deleted by hand.
 *
 * There is one connection: statements and transactions wait their turn. `execute` inside a transaction would wait for ever and is refused.
 * @throws FairleadError `CONFLICT` where another process, or another driver of this one, has the folder
 * @example const driver = pgliteDriver(await PGlite.create('./data'))
 */
export function pgliteDriver<Tx extends PgliteQueries>(
  db: PgliteDatabase<Tx>,
  options: PgliteDriverOptions = {},
): PostgresDriver<Tx> {
  if (typeof db?.transaction !== 'function' || typeof db.exec !== 'function' || typeof db.listen !== 'function')
    throw invalidOption('db', db, 'give a database of PGlite')
  const unlock = lockPglite(db)
  return createPreset<Tx>(
    {
      name: 'pgliteDriver',
      begin: (work) => db.transaction(work),
      isOpen: isPgliteTx,
      run: runPglite,
      runAlone: (text, params) => runPglite(db, text, params),
      single: true,
      listen: listenPglite(db),
      end: async () => unlock(),
    },
    options,
  )
}

/** Takes the lock where the data is in a folder of this machine. Returns the way to let go. */
export function lockPglite(db: { readonly dataDir?: string | undefined }): () => void {
  const folder = db.dataDir?.replace(/^file:\/\//, '')
  // memory://, idb://, opfs-ahp://
  if (folder === undefined || folder === '' || /^[a-z-]+:\/\//.test(folder)) return () => undefined
  return lockFolder(folder)
}

/** Says itself whether it is over. */
export function isPgliteTx(candidate: object): boolean {
  const { closed, rollback, exec } = candidate as Readonly<Record<string, unknown>>
  return closed === false && typeof rollback === 'function' && typeof exec === 'function'
}

const PARSERS: Readonly<Record<number, (value: string) => unknown>> = Object.fromEntries(
  PARSED_TYPES.map((oid) => [oid, RESULT_TYPES.getTypeParser(oid)]),
)

/** Runs a statement, or several without parameters. */
export async function runPglite(on: PgliteQueries, text: string, params: readonly unknown[]): Promise<SqlResult> {
  const options = { parsers: PARSERS }
  const results = params.length === 0 ? await on.exec(text, options) : [await on.query<any>(text, [...params], options)]
  const last = results.at(-1)
  const rows = last?.rows ?? []
  return { rows, affected: last?.affectedRows || rows.length }
}

export function listenPglite(db: Pick<PgliteDatabase<PgliteQueries>, 'listen' | 'unlisten'>) {
  return async (channel: string, wake: () => void): Promise<() => Promise<void>> => {
    let gone = false
    const hear = (): void => {
      if (!gone) wake()
    }
    try {
      const name = identifier('channel', channel)
      await db.listen(name, hear)
      return async () => {
        gone = true
        // What listen() gives back forgets the quotes.
        await db.unlisten(name, hear)
      }
    } catch (error) {
      throw classifyPostgres(error)
    }
  }
}
