// Stores in one file in real time, each over a handle of its own, as several processes have it.
import { join } from 'node:path'
import { openSqlite, type SqliteFile, sqliteStore } from '../../../src/adapters/sqlite/index.ts'
import type { StoreLab } from '../../../src/testing/index.ts'
import { temporaryFolder } from './engines.ts'

/** The file and its folder go away with it. */
export async function fileLab(): Promise<StoreLab & { readonly path: string }> {
  const folder = temporaryFolder()
  const path = join(folder.path, 'own.db')
  const files: SqliteFile[] = []
  const opened = async (): Promise<SqliteFile> => {
    const file = await openSqlite(path)
    files.push(file)
    return file
  }
  const own = await opened()
  await sqliteStore(own).migrate()
  await own.execute('create table line (line text not null)', [])
  return {
    path,
    open: async () => sqliteStore(await opened()),
    effect: async (tx, line) => void tx.prepare('insert into line values (?)').run(line),
    effects: async () => (await own.execute('select line from line', [])).rows.map(({ line }) => String(line)),
    async close() {
      for (const file of files) await file.close()
      folder.remove()
    },
  }
}
