// Stored requests in a SQLite file that several processes share, each with a handle of its own.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { memoryBroker, memoryTransport } from '../../../src/adapters/memory/index.ts'
import { openSqlite, sqliteStore } from '../../../src/adapters/sqlite/index.ts'
import { systemClock } from '../../../src/core/clock.ts'
import { storedCases } from './stored-cases.ts'

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

storedCases('on SQLite', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-stored-'))
  const path = join(folder, 'requests.db')
  const broker = memoryBroker()
  const files = [await openSqlite(path)]
  const [own] = files as [(typeof files)[0]]
  await sqliteStore(own).migrate()
  await own.execute('create table line (line text not null)', [])
  const spare = await Promise.all(Array.from({ length: 20 }, () => openSqlite(path)))
  files.push(...spare)
  return {
    clock: systemClock,
    store: () => sqliteStore(spare.pop() as (typeof spare)[0]),
    transport: () => memoryTransport({ broker }),
    async note(tx, line) {
      tx.prepare('insert into line values (?)').run(line)
    },
    lines: async () => (await own.execute('select line from line', [])).rows.map(({ line }) => String(line)).sort(),
    async until(what) {
      const end = Date.now() + 20_000
      while (!(await what())) {
        if (Date.now() > end) throw new Error('it did not come to that')
        await wait(10)
      }
    },
    pass: wait,
    async close() {
      for (const file of files) await file.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
})
