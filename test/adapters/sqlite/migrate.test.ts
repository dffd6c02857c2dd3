import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { printSqliteMigrations, type SqliteStoreOptions, sqliteStore } from '../../../src/adapters/sqlite/index.ts'
import { migrateSqlite } from '../../../src/adapters/sqlite/migrate.ts'
import { MIGRATIONS } from '../../../src/adapters/sqlite/migrations/index.ts'
import { checksumOf } from '../../../src/core/migration.ts'
import { type Driver, engines, type Handle, type TestEngine, temporaryFolder } from './engines.ts'

const engine = engines[0] as TestEngine
const ALL = MIGRATIONS.map(({ name }) => name)

const file = (): (() => { readonly handle: Handle; readonly driver: Driver }) => {
  const folder = temporaryFolder()
  onTestFinished(folder.remove)
  return () => {
    const handle = engine.open(join(folder.path, 'a.db'))
    onTestFinished(() => handle.close())
    return { handle, driver: engine.driver(handle) }
  }
}
const tablesIn = (handle: Handle): readonly string[] =>
  (
    handle.prepare(`select name from sqlite_master where name not like 'sqlite_%' order by name`).all() as {
      readonly name: string
    }[]
  ).map(({ name }) => name)
const use = async (driver: Driver, options: SqliteStoreOptions): Promise<void> => {
  const store = sqliteStore(driver, options)
  await store.check()
  await store.transaction((tx) =>
    store.outbox.append(tx, [
      {
        channel: { kind: 'queue', name: 'q' },
        envelope: { id: '1', key: 'k', attributes: {}, headers: {}, body: new Uint8Array(1) },
      },
    ]),
  )
  const leases = await store.outbox.lease('relay', 1_000)
  expect((await store.outbox.pending(leases, 10)).length).toBe(1)
  await store.outbox.settle(leases, [{ sequence: 1n, verdict: 'dead', reason: 'r', blocksKey: true }])
  expect(await store.outbox.stats()).toMatchObject({ dead: 1, blockedKeys: 1 })
  expect(await store.outbox.redrive('all')).toBe(1)
}

// biome-ignore format: one a line
it.each([
  ['fairlead_'], [''], ['"'], [`'; drop table x; --`], ['a b;\n.c'], ['%s$1?:x@lane@'], ['zwölf \u{1F41F}'], ['x'.repeat(200)],
])('uses the prefix %j for all that it makes, and nothing else', async (prefix) => {
  const { handle, driver } = file()()
  handle.exec('create table theirs (a)')
  expect(await sqliteStore(driver, { prefix }).migrate()).toEqual({ applied: ALL })
  await use(driver, { prefix })
  for (const name of tablesIn(handle)) expect(name === 'theirs' || name.startsWith(prefix)).toBe(true)
})

it.each([['sqlite_'], ['SQLite_x'], ['a\0'], ['x'.repeat(201)], [7]])('refuses the prefix %j', (prefix) => {
  const { driver } = file()()
  expect(() => sqliteStore(driver, { prefix: prefix as string })).toThrow(/INVALID_OPTIONS/)
})

it('prints what it would run, and takes it for its own', async () => {
  const { handle, driver } = file()()
  const prefix = `o'"dd_`
  handle.exec(`begin; ${printSqliteMigrations({ prefix, owner: `o'wner` })} commit`)
  const store = sqliteStore(driver, { prefix, owner: `o'wner` })
  await store.check()
  expect(await store.migrate()).toEqual({ applied: [] })
  await use(driver, { prefix, owner: `o'wner` })
  const other = file()()
  await sqliteStore(other.driver, { prefix }).migrate()
  expect(tablesIn(other.handle)).toEqual(tablesIn(handle))
  expect(printSqliteMigrations({ after: ALL.length }).trim()).toBe('')
  expect(printSqliteMigrations({ after: 3 })).toMatch(/^-- 004/)
})

it('runs what is missing, and refuses what is newer or another', async () => {
  const { handle, driver } = file()()
  expect((await migrateSqlite(driver, {}, MIGRATIONS.slice(0, 2))).applied).toEqual(ALL.slice(0, 2))
  await expect(sqliteStore(driver).check()).rejects.toMatchObject({ code: 'INCOMPATIBLE', message: /003-inbox/ })
  expect((await sqliteStore(driver).migrate()).applied).toEqual(ALL.slice(2))
  await use(driver, {})
  await expect(migrateSqlite(driver, {}, MIGRATIONS.slice(0, 3))).rejects.toMatchObject({ code: 'INCOMPATIBLE' })
  handle.exec(`update fairlead_migration set checksum = 'other' where number = 1`)
  await expect(sqliteStore(driver).migrate()).rejects.toMatchObject({ code: 'INCOMPATIBLE', message: /001-/ })
})

it('counts what was done before the step that keeps when from that step on, and what says nothing from the first purge on', async () => {
  const { handle, driver } = file()()
  await migrateSqlite(driver, {}, MIGRATIONS.slice(0, 4))
  const insert = (id: string, done: 0 | 1): unknown =>
    handle.exec(`insert into fairlead_state (kind, id, version, state, done) values ('k', '${id}', 1, '{}', ${done})`)
  insert('over', 1)
  insert('open', 0)
  const before = Math.floor(Date.now() / 1_000) * 1_000
  const store = sqliteStore(driver)
  expect((await store.migrate()).applied).toEqual(ALL.slice(4))
  const dated = (): readonly { readonly id: string; readonly done_at: number }[] =>
    handle.prepare('select id, done_at from fairlead_state where done_at is not null order by id').all() as never
  expect(dated().map(({ id }) => id)).toEqual(['over'])
  expect(dated()[0]?.done_at).toBeGreaterThanOrEqual(before)
  expect(dated()[0]?.done_at).toBeLessThanOrEqual(Date.now())
  // A program of before goes on for a while.
  insert('later', 1)
  expect(await store.states.purge('k', 3_600_000, 10)).toBe(0)
  expect(dated().map(({ id }) => id)).toEqual(['later', 'over'])
  handle.exec(`update fairlead_state set done_at = done_at - 7200000 where id <> 'later'`)
  expect(await store.states.purge('k', 3_600_000, 10)).toBe(1)
  expect(dated().map(({ id }) => id)).toEqual(['later'])
  // It does not take back since when either.
  handle.exec(`update fairlead_state set done = 0, done_at = done_at - 7200000 where id = 'later'`)
  expect(await store.states.purge('k', 3_600_000, 10)).toBe(0)
  await store.transaction((tx) => store.states.save(tx, 'k', 'later', 1, {}, { done: true }))
  expect(await store.states.purge('k', 3_600_000, 10)).toBe(0)
  const plan = handle
    .prepare(
      `explain query plan select id from fairlead_state where kind = 'k' and done = 1 and done_at <= 1 order by done_at limit 10`,
    )
    .all() as { readonly detail: string }[]
  expect(plan.map(({ detail }) => detail)).toEqual([expect.stringContaining('fairlead_state:done')])
})

it('leaves nothing of a step that fails', async () => {
  const { handle, driver } = file()()
  const broken = {
    number: ALL.length + 1,
    name: '006-broken',
    sql: 'create table @state@_x (a); create table @state@ (a)',
  }
  await expect(migrateSqlite(driver, {}, [...MIGRATIONS, broken])).rejects.toMatchObject({ transport: 'sqlite' })
  expect(tablesIn(handle)).toEqual([])
})

it('knows its owner, also where it was told later', async () => {
  const { driver } = file()()
  await sqliteStore(driver).migrate()
  const shop = sqliteStore(driver, { owner: 'shop' })
  await expect(shop.check()).rejects.toMatchObject({ code: 'INCOMPATIBLE', message: /no mark of its owner/ })
  await shop.migrate()
  await shop.check()
  const other = sqliteStore(driver, { owner: 'other' })
  for (const work of [() => other.check(), () => other.migrate()])
    await expect(work()).rejects.toMatchObject({ code: 'INCOMPATIBLE', message: /belongs to shop/ })
  await sqliteStore(driver, { owner: 'other', prefix: 'other_' }).migrate()
})

it('migrates once, however many handles do so at a time', async () => {
  const open = file()
  const stores = Array.from({ length: 6 }, () => sqliteStore(open().driver, { owner: 'shop' }))
  const all = await Promise.all(stores.map((store) => store.migrate()))
  expect(all.filter(({ applied }) => applied.length > 0).map(({ applied }) => applied)).toEqual([ALL])
})

it('says what to do where the tables are missing', async () => {
  const { driver } = file()()
  const store = sqliteStore(driver)
  for (const work of [
    () => store.outbox.stats(),
    () => store.outbox.lease('r', 1_000),
    () => store.transaction((tx) => store.inbox.claim(tx, 'c', [{ source: 's', id: 'i' }])),
  ])
    await expect(work()).rejects.toMatchObject({ code: 'CHANNEL_NOT_FOUND', effect: 'none', message: /migrate\(\)/ })
})

// What was released is never changed: a new step is added instead.
it('has the steps that were released', () => {
  expect(MIGRATIONS.map((step) => [step.number, step.name, checksumOf(step)])).toMatchInlineSnapshot(`
    [
      [
        1,
        "001-positions",
        "ba7f0629214a49a9",
      ],
      [
        2,
        "002-outbox",
        "7d2dae42240a6ccd",
      ],
      [
        3,
        "003-inbox",
        "a207ba53842d6af0",
      ],
      [
        4,
        "004-states",
        "cda956590dc0f7c3",
      ],
      [
        5,
        "005-done-states",
        "04760314cb034090",
      ],
    ]
  `)
})
