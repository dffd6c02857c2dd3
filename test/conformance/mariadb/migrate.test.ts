// Migrating on a real server: again, at once, after a crash in the middle, by hand, and over tables of another version.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { mysqlStore, printMysqlMigrations } from '../../../src/adapters/mysql/index.ts'
import { migrateBy } from '../../../src/adapters/mysql/migrate.ts'
import { MIGRATIONS } from '../../../src/adapters/mysql/migrations/index.ts'
import { tablesOf } from '../../../src/adapters/mysql/names.ts'
import { shortDigestOf } from '../../../src/adapters/mysql/store/values.ts'
import { digestOf } from '../../../src/core/digest.ts'
import { type MariadbLab, mariadbLab } from './mariadb-lab.ts'

const ALL = MIGRATIONS.map(({ name }) => name)

let lab: MariadbLab
beforeAll(async () => {
  lab = await mariadbLab()
})
afterAll(() => lab.close())

const rejection = async (work: Promise<unknown>): Promise<unknown> => {
  try {
    await work
  } catch (error) {
    return error
  }
  throw new Error('it did not reject')
}
const namesOf = async (prefix: string): Promise<readonly string[]> => {
  const [rows] = await lab.pool.query(
    'select table_name as name from information_schema.tables where table_schema = database()',
  )
  return (rows as { name: string }[])
    .map(({ name }) => name)
    .filter((name) => name.startsWith(prefix))
    .toSorted()
}
const countOf = async (table: string): Promise<number> => {
  const [rows] = await lab.pool.query(`select count(*) as n from \`${table}\``)
  return Number((rows as { n: number }[])[0]?.n)
}

describe('migrate', () => {
  it('goes on after a crash in the middle of a step, wherever that was', async () => {
    for (const [at, step] of MIGRATIONS.entries()) {
      const statements = step.sql.split(/;\s*\n/).filter((sql) => sql.trim() !== '')
      for (const done of [1, Math.floor(statements.length / 2), statements.length]) {
        const prefix = `crash${at}_${done}_`
        const tables = tablesOf({ prefix })
        const part = { ...step, sql: [...statements.slice(0, done), 'selec nothing'].join(';\n') }
        const steps = [...MIGRATIONS.slice(0, at), part]
        await rejection(migrateBy(lab.driver, { place: 'here', tables, owner: undefined, steps }))
        const store = mysqlStore(lab.driver, { prefix })
        expect(await rejection(store.check())).toMatchObject({
          code: 'INCOMPATIBLE',
          message: expect.stringContaining(step.name),
        })
        expect(await store.migrate()).toEqual({ applied: ALL.slice(at) })
        await store.check()
        expect(await store.migrate()).toEqual({ applied: [] })
        expect(await countOf(`${prefix}bucket`)).toBe(1_024)
        expect(await countOf(`${prefix}outbox_partition`)).toBe(64)
        await store.transaction((tx) => store.states.save(tx, 'k', 'a', 0, {}, { done: true }))
        expect(await store.states.purge('k', 0, 10)).toBe(1)
      }
    }
  })
  it('counts what says not since when it is done from the first purge on', async () => {
    const prefix = 'undated_'
    const tables = tablesOf({ prefix })
    await migrateBy(lab.driver, { place: 'here', tables, owner: undefined, steps: MIGRATIONS.slice(0, 1) })
    const insert = (id: string, done: boolean): Promise<unknown> =>
      lab.driver.execute(
        `insert into ${tables.state} (digest, kind_digest, kind, id, version, state, done) values (?, ?, 'k', ?, 1, '{}', ?)`,
        [digestOf('k', id), shortDigestOf('k'), id, done],
      )
    await insert('over', true)
    await insert('open', false)
    const store = mysqlStore(lab.driver, { prefix })
    expect(await store.migrate()).toEqual({ applied: ALL.slice(1) })
    const dated = async (): Promise<readonly string[]> =>
      (await lab.driver.execute(`select id from ${tables.state} where done_ms is not null order by id`, [])).rows.map(
        ({ id }) => String(id),
      )
    expect(await dated()).toEqual([])
    // A program of before goes on for a while.
    await insert('later', true)
    expect(await store.states.purge('k', 3_600_000, 10)).toBe(0)
    expect(await dated()).toEqual(['later', 'over'])
    await lab.driver.execute(`update ${tables.state} set done_ms = done_ms - 7200000 where id <> 'later'`, [])
    expect(await store.states.purge('k', 3_600_000, 10)).toBe(1)
    expect(await dated()).toEqual(['later'])
    // It does not take back since when either.
    await lab.driver.execute(`update ${tables.state} set done = 0, done_ms = done_ms - 7200000 where id = 'later'`, [])
    expect(await store.states.purge('k', 3_600_000, 10)).toBe(0)
    await store.transaction((tx) => store.states.save(tx, 'k', 'later', 1, {}, { done: true }))
    expect(await store.states.purge('k', 3_600_000, 10)).toBe(0)
  })
  it('does not make others wait for a table that somebody uses for long', { timeout: 60_000 }, async () => {
    const prefix = 'busy_'
    const tables = tablesOf({ prefix })
    await migrateBy(lab.driver, { place: 'here', tables, owner: undefined, steps: MIGRATIONS.slice(0, 1) })
    const store = mysqlStore(lab.driver, { prefix })
    const user = await lab.pool.getConnection()
    try {
      await user.query('begin')
      await user.query(`select count(*) from ${tables.state}`)
      await expect(store.migrate()).rejects.toMatchObject({ code: 'TRANSACTION_CONFLICT', transient: true })
      await user.query('commit')
    } finally {
      user.release()
    }
    expect(await store.migrate()).toEqual({ applied: ALL.slice(1) })
    const left = await lab.driver.session(5_000, (run) =>
      run('select @@lock_wait_timeout as ours, @@global.lock_wait_timeout as theirs'),
    )
    expect(left.rows[0]?.['ours']).toEqual(left.rows[0]?.['theirs'])
  })
  it('looks for the column in its own table, and not in one of a similar name', async () => {
    const twin = mysqlStore(lab.driver, { prefix: 'TWIN_' })
    await twin.migrate()
    const store = mysqlStore(lab.driver, { prefix: 'twin_' })
    expect(await store.migrate()).toEqual({ applied: ALL })
    for (const each of [store, twin]) expect(await each.states.purge('k', 0, 10)).toBe(0)
  })
  it('is run once by many that start at once', async () => {
    const stores = Array.from({ length: 8 }, () =>
      lab.newStore({ prefix: 'many_', owner: 'shop' }, { connectionLimit: 1 }),
    )
    const applied = await Promise.all(stores.map((store) => store.migrate()))
    expect(applied.flatMap((each) => each.applied)).toEqual(ALL)
    expect(await countOf('many_bucket')).toBe(1_024)
  })
  it('prints what another tool then runs, with hostile names, and finds it done', async () => {
    const prefix = 'pr`\'"\\;-- é_'
    const options = { prefix, database: lab.database }
    const pool = lab.newPool({ multipleStatements: true, connectionLimit: 1 })
    for (let times = 0; times < 2; times++) await pool.query(printMysqlMigrations({ ...options, owner: "o'w\\ner" }))
    const store = mysqlStore(lab.driver, { ...options, owner: "o'w\\ner" })
    await store.check()
    expect(await store.migrate()).toEqual({ applied: [] })
    expect(await namesOf(prefix)).toHaveLength(17)
    expect(await rejection(mysqlStore(lab.driver, { ...options, owner: 'other' }).check())).toMatchObject({
      code: 'INCOMPATIBLE',
    })
  })
  it('refuses tables of a newer version, and of another one', async () => {
    const store = lab.newStore({ prefix: 'newer_' })
    await store.migrate()
    await lab.pool.query(`insert into newer_migration values (99, '099-later', 'x', 0)`)
    for (const work of [() => store.check(), () => store.migrate()])
      expect(await rejection(work())).toMatchObject({
        code: 'INCOMPATIBLE',
        message: expect.stringContaining('099-later'),
      })
    await lab.pool.query(`delete from newer_migration where number = 99`)
    await lab.pool.query(`update newer_migration set checksum = 'other'`)
    expect(await rejection(store.check())).toMatchObject({ code: 'INCOMPATIBLE' })
  })
  it('marks tables that nobody had marked, and says when somebody must', async () => {
    await lab.newStore({ prefix: 'mark_' }).migrate()
    const marked = lab.newStore({ prefix: 'mark_', owner: 'shop' })
    expect(await rejection(marked.check())).toMatchObject({
      code: 'INCOMPATIBLE',
      message: expect.stringContaining('shop'),
    })
    expect(await marked.migrate()).toEqual({ applied: [] })
    await marked.check()
  })
  it('tells who works with tables that nobody has made', async () => {
    const store = lab.newStore({ prefix: 'nothing_' })
    expect(await rejection(store.outbox.stats())).toMatchObject({
      code: 'CHANNEL_NOT_FOUND',
      message: expect.stringContaining('migrate()'),
    })
    expect(
      await rejection(store.transaction((tx) => store.inbox.claim(tx, 'c', [{ source: 's', id: 'i' }]))),
    ).toMatchObject({
      code: 'CHANNEL_NOT_FOUND',
      effect: 'none',
    })
  })
})
