// Migrating on a real server: again, at once, after a crash in the middle, by hand, and over tables of another version.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { mysqlStore, printMysqlMigrations } from '../../../src/adapters/mysql/index.ts'
import { migrateBy } from '../../../src/adapters/mysql/migrate.ts'
import { MIGRATIONS } from '../../../src/adapters/mysql/migrations/index.ts'
import { tablesOf } from '../../../src/adapters/mysql/names.ts'
import { type MariadbLab, mariadbLab } from './mariadb-lab.ts'

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
    const step = MIGRATIONS[0]
    if (step === undefined) throw new Error('there is a step')
    const statements = step.sql.split(/;\s*\n/).filter((sql) => sql.trim() !== '')
    for (const done of [1, Math.floor(statements.length / 2), statements.length]) {
      const prefix = `crash${done}_`
      const tables = tablesOf({ prefix })
      const part = { ...step, sql: [...statements.slice(0, done), 'selec nothing'].join(';\n') }
      await rejection(migrateBy(lab.driver, { place: 'here', tables, owner: undefined, steps: [part] }))
      const store = mysqlStore(lab.driver, { prefix })
      expect(await rejection(store.check())).toMatchObject({
        code: 'INCOMPATIBLE',
        message: expect.stringContaining('001-tables'),
      })
      expect(await store.migrate()).toEqual({ applied: ['001-tables'] })
      await store.check()
      expect(await store.migrate()).toEqual({ applied: [] })
      expect(await countOf(`${prefix}bucket`)).toBe(1_024)
      expect(await countOf(`${prefix}outbox_partition`)).toBe(64)
    }
  })
  it('is run once by many that start at once', async () => {
    const stores = Array.from({ length: 8 }, () =>
      lab.newStore({ prefix: 'many_', owner: 'shop' }, { connectionLimit: 1 }),
    )
    const applied = await Promise.all(stores.map((store) => store.migrate()))
    expect(applied.flatMap((each) => each.applied)).toEqual(['001-tables'])
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
