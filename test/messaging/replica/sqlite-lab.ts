// Replicas in a SQLite file that several processes share, each with a handle of its own; the topics in memory.
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { memoryBroker, memoryTransport } from '../../../src/adapters/memory/index.ts'
import { openSqlite, type SqliteFile, sqliteStore } from '../../../src/adapters/sqlite/index.ts'
import { systemClock } from '../../../src/core/clock.ts'
import { temporaryFolder } from '../../adapters/sqlite/engines.ts'
import type { ReplicaLab } from './kit.ts'
import { makeTable, rowsOf, tableOf, waits } from './sql-lab.ts'

export interface SqliteReplicaLab extends ReplicaLab {
  readonly own: SqliteFile
}

export async function sqliteLab(): Promise<SqliteReplicaLab> {
  const folder = temporaryFolder()
  const files: SqliteFile[] = []
  const opened = async (): Promise<SqliteFile> => {
    const file = await openSqlite(join(folder.path, 'own.db'), { synchronous: 'normal' })
    files.push(file)
    return file
  }
  const own = await opened()
  await sqliteStore(own).migrate()
  const broker = memoryBroker()
  return {
    ...waits,
    own,
    clock: systemClock,
    mark: randomUUID().slice(0, 8),
    tellsSkipped: true,
    async process() {
      const file = await opened()
      return { store: sqliteStore(file), table: (name) => tableOf(file, name) }
    },
    transport: () => memoryTransport({ broker }),
    make: (table) => makeTable(own, table),
    rows: (table) => rowsOf(own, table),
    async close() {
      for (const file of files) await file.close()
      folder.remove()
    },
  }
}
