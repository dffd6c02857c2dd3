import { join } from 'node:path'
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { type OpenSqliteOptions, openSqlite, sqliteStore } from '../../../src/adapters/sqlite/index.ts'
import { hasNodeSqlite, temporaryFolder } from './engines.ts'

const loads = vi.hoisted(() => ({ missing: new Set<string>(), asked: [] as string[] }))
vi.mock('../../../src/core/lazy.ts', async (original) => {
  const { lazy } = await original<typeof import('../../../src/core/lazy.ts')>()
  return {
    lazy(name: string) {
      loads.asked.push(name)
      if (loads.missing.has(name))
        throw Object.assign(new Error(`Cannot find module '${name}'`), { code: 'MODULE_NOT_FOUND' })
      return lazy(name)
    },
  }
})
afterEach(() => {
  loads.missing.clear()
  loads.asked.length = 0
})

const paths = (): string => {
  const folder = temporaryFolder()
  onTestFinished(folder.remove)
  return join(folder.path, 'a.db')
}
const opened = async (path: string, options?: OpenSqliteOptions) => {
  const file = await openSqlite(path, options)
  onTestFinished(() => file.close())
  return file
}
const pragma = async (file: Awaited<ReturnType<typeof opened>>, name: string): Promise<unknown> =>
  Object.values((await file.execute(`pragma ${name}`, [])).rows[0] ?? {})[0]

describe('openSqlite', () => {
  it('opens a file with what this Node has, in WAL mode, and waits for the disk at each commit', async () => {
    const path = paths()
    const file = await opened(path)
    expect(loads.asked).toEqual([hasNodeSqlite ? 'node:sqlite' : 'libsql'])
    expect(await pragma(file, 'journal_mode')).toBe('wal')
    expect(await pragma(file, 'synchronous')).toBe(2)
    expect(await pragma(await opened(path, { synchronous: 'normal', engine: 'libsql' }), 'synchronous')).toBe(1)
  })

  it('gives a store what it needs, and the work a handle that all engines have in common', async () => {
    const path = paths()
    const file = await opened(path)
    const store = sqliteStore(file)
    await store.migrate()
    file.handle.exec('create table shop (id text)')
    await store.transaction(async (tx) => {
      tx.prepare('insert into shop (id) values (?)').run('one')
    })
    // Another process, as far as SQLite can tell.
    const other = await opened(path, { engine: 'libsql' })
    expect((await other.execute('select id from shop', [])).rows).toMatchObject([{ id: 'one' }])
    await file.close()
    await file.close()
    await expect(file.execute('select 1', [])).rejects.toMatchObject({ code: 'SHUTDOWN' })
  })

  it('keeps everything in memory where it is told so', async () => {
    const store = sqliteStore(await opened(':memory:'))
    await store.migrate()
    await store.check()
  })

  it('says what to install where neither is at hand', async () => {
    loads.missing.add('libsql')
    await expect(openSqlite(paths(), { engine: 'libsql' })).rejects.toMatchObject({
      code: 'NOT_SUPPORTED',
      effect: 'none',
      message: /npm install libsql.*Node 22\.13/,
    })
  })

  if (!hasNodeSqlite)
    it('says so where this Node has no SQLite of its own', async () => {
      await expect(openSqlite(paths(), { engine: 'node' })).rejects.toMatchObject({
        code: 'NOT_SUPPORTED',
        message: /npm install libsql/,
      })
    })

  it('says what is wrong with the path', async () => {
    await expect(openSqlite(join(paths(), 'no', 'where.db'))).rejects.toMatchObject({
      code: 'NOT_FOUND',
      transport: 'sqlite',
    })
    await expect(openSqlite('')).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
    for (const options of [{ synchronous: 'off' }, { engine: 'better' }, { wal: true }])
      await expect(openSqlite(':memory:', options as never)).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
  })
})
