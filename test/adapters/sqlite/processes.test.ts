// Real processes on one file: what was acknowledged is there, whenever they were killed.
import { spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { expect, it, onTestFinished } from 'vitest'
import { openSqlite, sqliteStore } from '../../../src/adapters/sqlite/index.ts'
import { seededRandom } from '../../../src/testing/seeded-random.ts'
import { temporaryFolder } from './engines.ts'

const random = seededRandom(7)
const TSX = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href
const WRITER = fileURLToPath(new URL('./writer-process.ts', import.meta.url))

/** Runs a writer until it has committed that often, kills it in the midst of its work, and answers what it said of itself. */
const writeAndDie = async (path: string, name: string, commits: number): Promise<readonly string[]> => {
  const writer = spawn(process.execPath, ['--no-warnings', '--import', TSX, WRITER, path, name])
  let text = ''
  let errors = ''
  writer.stderr.on('data', (chunk) => (errors += chunk))
  await new Promise<void>((ended) => {
    writer.stdout.on('data', (chunk) => {
      text += chunk
      if (text.split('\n').length > commits) writer.kill('SIGKILL')
    })
    writer.on('close', () => ended())
  })
  expect(errors).toBe('')
  return text
    .split('\n')
    .slice(0, -1)
    .flatMap((count) => [0, 1, 2].map((part) => `${name}/${count}/${part}`))
}

it('loses no acknowledged commit of processes that are killed, doubles none, and keeps the order of each key', async () => {
  const folder = temporaryFolder()
  onTestFinished(folder.remove)
  const path = join(folder.path, 'shared.db')
  const driver = await openSqlite(path, { synchronous: 'normal' })
  onTestFinished(() => driver.close())
  const store = sqliteStore(driver)
  await store.migrate()
  await driver.execute('create table effect (id text primary key)', [])

  const published: string[] = []
  let writing = true
  const relay = async (): Promise<void> => {
    for (;;) {
      const last = !writing
      const leases = await store.outbox.lease('relay', 60_000)
      const rows = await store.outbox.pending(leases, 500)
      const settled = await store.outbox.settle(
        leases,
        rows.map(({ sequence }) => ({ sequence, verdict: 'published' })),
      )
      expect(settled).toBe(rows.length)
      published.push(...rows.map(({ envelope }) => envelope.id))
      if (last && rows.length === 0) return
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }
  const relaying = relay()
  const acknowledged: string[] = []
  for (let round = 0; round < 3; round++) {
    const said = await Promise.all(
      ['a', 'b', 'c'].map((name) => writeAndDie(path, `${name}${round}`, 30 + Math.floor(random() * 200))),
    )
    acknowledged.push(...said.flat())
  }
  writing = false
  await relaying

  const there = new Set(published)
  expect(there.size).toBe(published.length)
  expect(acknowledged.filter((id) => !there.has(id))).toEqual([])
  expect(acknowledged.length).toBeGreaterThan(500)
  const { rows } = await driver.execute('select id from effect', [])
  expect(new Set(rows.map(({ id }) => id))).toEqual(there)
  expect((await driver.execute('pragma integrity_check', [])).rows).toMatchObject([{ integrity_check: 'ok' }])
  const last = new Map<string, number>()
  for (const id of published) {
    const [writer, count, part] = id.split('/') as [string, string, string]
    const key = `${writer}/${Number(part) % 2}`
    const place = Number(count) * 3 + Number(part)
    expect(last.get(key) ?? -1).toBeLessThan(place)
    last.set(key, place)
  }
}, 120_000)
