// The command line, called as a function, over a real file of SQLite.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { openSqlite, type SqliteFile, sqliteStore } from '../../src/adapters/sqlite/index.ts'
import { run } from '../../src/cli/run.ts'
import type { Store } from '../../src/core/contracts/store.ts'
import { createOutbox, topic } from '../../src/messaging/index.ts'

const Orders = topic('orders', { 'order.placed': z.object({ orderId: z.string() }) })

let folder: string
let file: SqliteFile
let store: Store<never>
let url: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'fairlead-cli-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

let made = 0
beforeEach(async () => {
  const path = join(folder, `${++made}.db`)
  url = `sqlite:${path}`
  file = await openSqlite(path)
  store = sqliteStore(file) as Store<never>
  await store.migrate()
  return () => file.close()
})

/** What the command wrote, and its exit code. */
async function cli(...words: readonly string[]): Promise<{ code: number; out: string; err: string }> {
  const lines = { out: [] as string[], err: [] as string[] }
  const code = await run(words, {
    out: (text) => void lines.out.push(text),
    err: (text) => void lines.err.push(text),
    env: { DATABASE_URL: url },
    cwd: process.cwd(),
  })
  return { code, out: lines.out.join('\n'), err: lines.err.join('\n') }
}

/** Publishes messages of one key each; those named are given up by a relay. */
async function published(ids: readonly string[], dead: readonly string[] = []): Promise<void> {
  const outbox = createOutbox(store)
  await store.transaction((tx) =>
    outbox.publish(
      tx,
      Orders,
      ids.map((id) => ({ type: 'order.placed' as const, id, key: `key of ${id}`, data: { orderId: id } })),
    ),
  )
  if (dead.length === 0) return
  const leases = await store.outbox.lease('test', 60_000)
  const rows = await store.outbox.pending(leases, 1_000)
  await store.outbox.settle(
    leases,
    rows
      .filter(({ envelope }) => dead.includes(envelope.id))
      .map(({ sequence }) => ({ sequence, verdict: 'dead', reason: 'too large\nfor the broker', blocksKey: true })),
  )
  await store.outbox.release(leases)
}

describe('fairlead outbox', () => {
  it('says how it stands, as a table and as JSON', async () => {
    await published(['a', 'b', 'c'], ['b'])
    const { code, out } = await cli('outbox', 'status')
    expect(code).toBe(0)
    expect(out.split('\n').map((line) => line.trim().split(/ {2,}/))).toEqual([
      ['backlog', 'dead', 'blocked keys', 'oldest, s'],
      ['2', '1', '1', '0'],
    ])
    const json = await cli('outbox', 'status', '--json')
    expect(JSON.parse(json.out)).toMatchObject({ backlog: 2, dead: 1, blockedKeys: 1 })
  })

  it('lists the dead with their reasons, one a line', async () => {
    await published(['a', 'b'], ['a', 'b'])
    const { out } = await cli('outbox', 'dead')
    expect(out.split('\n')).toHaveLength(3)
    expect(out).toMatch(/^a +orders +order.placed +key of a +.*too large·for the broker$/m)
    const json = JSON.parse((await cli('outbox', 'dead', '--json', '--limit', '1')).out)
    expect(json).toHaveLength(1)
    expect(json[0]).toMatchObject({
      id: 'a',
      key: 'key of a',
      type: 'order.placed',
      reason: 'too large\nfor the broker',
    })
    expect((await cli('outbox', 'dead', '--limit', '0')).out).toBe('no dead messages')
  })

  it('redrives some, and all', async () => {
    await published(['a', 'b', 'c'], ['a', 'b', 'c'])
    expect((await cli('outbox', 'redrive', 'a')).out).toBe('1 redriven')
    expect(JSON.parse((await cli('outbox', 'redrive', 'all', '--json')).out)).toEqual({ redriven: 2 })
    expect(await store.outbox.stats()).toMatchObject({ backlog: 3, dead: 0, blockedKeys: 0 })
  })

  it('skips what is named, and only that', async () => {
    await published(['a', 'b', 'c'], ['b'])
    expect((await cli('outbox', 'skip', 'b', 'c')).out).toBe('2 skipped')
    expect(await store.outbox.stats()).toMatchObject({ backlog: 1, dead: 0 })
    expect(await cli('outbox', 'skip', 'all')).toMatchObject({ code: 2, out: '' })
    expect(await cli('outbox', 'skip')).toMatchObject({ code: 2 })
    expect(await store.outbox.stats()).toMatchObject({ backlog: 1 })
  })

  it('purges the dead that are old enough', async () => {
    await published(['a', 'b'], ['a'])
    expect((await cli('outbox', 'purge', '--dead', '--older-than', '30d')).out).toBe('0 purged')
    expect((await cli('outbox', 'purge', '--dead', '--older-than', '0s')).out).toBe('1 purged')
    expect(await store.outbox.stats()).toMatchObject({ backlog: 1, dead: 0 })
  })

  it.each([
    [['outbox'], /say what to do/],
    [['outbox', 'explode'], /no command explode/],
    [['outbox', 'status', '--colour'], /--colour/],
    [['outbox', 'status', 'now'], /takes no now/],
    [['outbox', 'redrive'], /name the ids/],
    [['outbox', 'dead', '--limit', 'many'], /whole number/],
    [['outbox', 'purge', '--older-than', 'yesterday'], /30s, 5m, 12h or 7d/],
    [['outbox', 'status', '--database', 'oracle://x'], /oracle: is no database/],
    [['outbox', 'status', '--schema', 'x'], /--prefix/],
    [['outbox', 'toString'], /no command toString/],
    [['outbox', 'status', '--older-than', '1d'], /takes no --older-than/],
    [['outbox', 'redrive', 'all', '--limit', '10'], /takes no --limit/],
    [['outbox', 'redrive', 'all', 'x'], /not both/],
    [['outbox', 'purge', '--dead'], /--older-than/],
    [['explode'], /no command explode/],
  ])('%j is not understood', async (words, message) => {
    const { code, out, err } = await cli(...words)
    expect({ code, out }).toEqual({ code: 2, out: '' })
    expect(err).toMatch(message)
  })

  it('does not make a database where there is none', async () => {
    const { code, err } = await cli('outbox', 'status', '--database', `sqlite:${join(folder, 'nowhere.db')}`)
    expect({ code, err }).toEqual({ code: 2, err: expect.stringContaining('there is no file') })
  })

  it('says what the database says', async () => {
    const path = join(folder, 'empty.db')
    const empty = await openSqlite(path)
    await empty.execute('create table mine (x int)', [])
    await empty.close()
    const { code, err } = await cli('outbox', 'status', '--database', `sqlite:${path}`)
    expect(code).toBe(1)
    expect(err).toMatch(/INCOMPATIBLE|CHANNEL_NOT_FOUND/)
  })
})

describe('fairlead sql', () => {
  it('prints what a tool of one’s own can run', async () => {
    const { code, out } = await cli('sql', 'sqlite')
    expect(code).toBe(0)
    expect(out).toMatch(/create table/i)
    expect((await cli('sql', 'sqlite', '--prefix', 'shop_')).out).toContain('shop_')
    expect((await cli('sql', 'mysql')).out).toMatch(/create table/i)
    expect((await cli('sql', 'postgres', '--schema', 'shop')).out).toContain('"shop"')
  })

  it('prints what a role needs', async () => {
    const { code, out } = await cli('sql', 'postgres', '--schema', 'shop', '--grants', 'app')
    expect(code).toBe(0)
    expect(out).toMatch(/grant .* to "app"/i)
    expect(out).not.toMatch(/create table/i)
    expect(await cli('sql', 'sqlite', '--grants', 'app')).toMatchObject({ code: 2, out: '' })
  })

  it('leaves out what was run already', async () => {
    const all = (await cli('sql', 'postgres')).out
    const rest = (await cli('sql', 'postgres', '--after', '2')).out
    expect(rest.length).toBeLessThan(all.length)
    expect(all.endsWith(rest)).toBe(true)
  })

  it.each([
    [['sql']],
    [['sql', 'oracle']],
    [['sql', 'postgres', '--prefix', 'x']],
    [['sql', 'mysql', '--schema', 'x']],
    [['sql', 'mysql', '--owner', 'x']],
    [['sql', 'postgres', '--grants', 'app', '--after', '2']],
  ])('%j is not understood', async (words) => expect(await cli(...words)).toMatchObject({ code: 2, out: '' }))
})

it('helps', async () => {
  expect(await cli('help')).toMatchObject({ code: 0, out: expect.stringContaining('fairlead outbox status') })
  expect(await cli()).toMatchObject({ code: 2, out: expect.stringContaining('fairlead outbox status') })
})
