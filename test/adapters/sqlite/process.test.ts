// Processes on SQLite: rows, outbox and inbox in one file; the queues in memory.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { memoryBroker, memoryTransport } from '../../../src/adapters/memory/index.ts'
import { openSqlite, sqliteStore } from '../../../src/adapters/sqlite/index.ts'
import { systemClock } from '../../../src/core/clock.ts'
import { processCases } from '../../messaging/process/process-cases.ts'

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

processCases('on SQLite', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-process-'))
  const file = await openSqlite(join(folder, 'own.db'))
  const broker = memoryBroker()
  await sqliteStore(file).migrate()
  await file.execute('create table line (line text not null)', [])
  return {
    clock: systemClock,
    store: () => sqliteStore(file),
    transport: () => memoryTransport({ broker }),
    async note(tx, line) {
      await file.query(tx, 'insert into line values (?)', [line])
    },
    async lines() {
      const { rows } = await file.execute('select line from line', [])
      return rows.map(({ line }) => line as string).sort()
    },
    async until(what) {
      const end = Date.now() + 20_000
      while (!(await what())) {
        if (Date.now() > end) throw new Error('it did not come to that')
        await wait(10)
      }
    },
    pass: wait,
    async close() {
      await file.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
})
