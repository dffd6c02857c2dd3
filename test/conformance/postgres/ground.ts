// The cases that hold on PostgreSQL itself and through PgBouncer alike: driver, migrations, checkpoints.
import { Pool, type PoolConfig, types } from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  checkMigrations,
  migrate,
  type PgDriver,
  pgDriver,
  printMigrations,
} from '../../../src/adapters/postgres/index.ts'
import { migrateBy } from '../../../src/adapters/postgres/migrate.ts'
import { MIGRATIONS } from '../../../src/adapters/postgres/migrations/index.ts'
import { type ServerAddress, server } from '../../services/servers.ts'

type Driver = PgDriver<import('pg').PoolClient>

/** A pool on a server of test/services/up. */
export const poolOf = (name: string, options: PoolConfig = {}): Pool => {
  const at: ServerAddress | undefined = server(name)
  if (at === undefined) throw new Error(`${name} is not up`)
  return new Pool({ host: at.host, port: at.port, user: 'postgres', database: 'postgres', max: 4, ...options })
}

/** A schema name that no other run has. */
export const freshSchema = (what: string): string => `${what} ${process.pid} ${Math.floor(Math.random() * 1e9)}`

/** Drops a schema that a test has made. */
export const dropSchema = async (pool: Pool, schema: string): Promise<void> => {
  await pool.query(`drop schema if exists "${schema.replaceAll('"', '""')}" cascade`)
}

export const describeGround = (name: string): void => {
  let pool: Pool
  let driver: Driver
  const schemas: string[] = []
  const newSchema = (what: string): string => {
    const schema = freshSchema(what)
    schemas.push(schema)
    return schema
  }
  beforeAll(() => {
    pool = poolOf(name)
    driver = pgDriver(pool)
  })
  afterAll(async () => {
    for (const schema of schemas) await dropSchema(pool, schema)
    await driver.close()
    await pool.end()
  })

  describe('the driver', () => {
    it('reads values as they are, whatever parsers somebody has set', async () => {
      const parsers = [16, 17, 20, 23, 701, 3802].map((oid) => [oid, types.getTypeParser(oid)] as const)
      for (const [oid] of parsers) types.setTypeParser(oid, () => 'mine')
      const bytes = new Uint8Array([0, 1, 92, 255])
      const text = `it's "ä" \\ 😀`
      const { rows, affected } = await driver.execute(
        `select $1::bytea as bytes, $2::text as text, $3::jsonb as json, true as yes, 7::int2 as small, 8::int4 as whole,
         9007199254740993::int8 as big, 1.5::float8 as float, null::text as nothing, $4::text[] = array['a,b','c"d'] as list`,
        [bytes, text, JSON.stringify({ a: [1] }), ['a,b', 'c"d']],
      )
      expect(affected).toBe(1)
      expect(rows[0]).toEqual({
        bytes: Buffer.from(bytes),
        text,
        json: { a: [1] },
        yes: true,
        small: 7,
        whole: 8,
        big: '9007199254740993',
        float: 1.5,
        nothing: null,
        list: true,
      })
      const escaped = await driver.transaction(async (tx) => {
        await tx.query(`set local bytea_output = 'escape'`)
        return driver.query(tx, 'select $1::bytea as bytes', [bytes])
      })
      expect(escaped.rows[0]).toEqual({ bytes: Buffer.from(bytes) })
      for (const [oid, parser] of parsers) types.setTypeParser(oid, parser)
    })
    it('commits, rolls back, and leaves nothing behind', async () => {
      const schema = newSchema('tx')
      await driver.execute(`create schema "${schema}"`, [])
      await driver.execute(`create table "${schema}".t (n int primary key deferrable initially deferred)`, [])
      const rows = async () =>
        (await driver.execute(`select n from "${schema}".t order by n`, [])).rows.map(({ n }) => n)
      await driver.transaction((tx) => driver.query(tx, `insert into "${schema}".t values ($1)`, [1]))
      await expect(
        driver.transaction(async (tx) => {
          await driver.query(tx, `insert into "${schema}".t values ($1)`, [2])
          throw new Error('no')
        }),
      ).rejects.toThrow(/^no$/)
      // The constraint is looked at when COMMIT comes.
      await expect(
        driver.transaction((tx) => driver.query(tx, `insert into "${schema}".t values ($1)`, [1])),
      ).rejects.toMatchObject({ code: 'CONFLICT', effect: 'none' })
      await expect(
        driver.transaction(async (tx) => {
          await tx.query(`insert into "${schema}".t values (3)`)
          await tx.query('select 1/0').catch(() => undefined)
        }),
      ).rejects.toMatchObject({ code: 'PROGRAMMING_ERROR', effect: 'none' })
      expect(await rows()).toEqual([1])
      expect(pool.idleCount).toBe(pool.totalCount)
    })
    it('knows a transaction that the user began', async () => {
      const client = await pool.connect()
      try {
        expect(driver.isTransaction(client)).toBe(false)
        await expect(driver.query(client, 'select 1', [])).rejects.toMatchObject({ code: 'TRANSACTION_REQUIRED' })
        await client.query('begin')
        expect(driver.isTransaction(client)).toBe(true)
        expect((await driver.query(client, 'select $1::int4 as n', [1])).rows).toEqual([{ n: 1 }])
        await client.query('rollback')
        expect(driver.isTransaction(client)).toBe(false)
        expect(driver.isTransaction(pool)).toBe(false)
      } finally {
        client.release()
      }
    })
    it('does not take part in a transaction that somebody left open on a connection of the pool', async () => {
      const single = poolOf(name, { max: 1 })
      const own = pgDriver(single)
      const schema = newSchema('leak')
      await driver.execute(`create schema "${schema}"`, [])
      await driver.execute(`create table "${schema}".t (n int)`, [])
      const client = await single.connect()
      await client.query('begin')
      client.release()
      await own.execute(`insert into "${schema}".t values (1)`, [])
      expect((await driver.execute(`select n from "${schema}".t`, [])).rows).toEqual([{ n: 1 }])
      await single.end()
    })
    it('runs many at once on few connections', async () => {
      const answers = await Promise.all(
        Array.from({ length: 200 }, (_, n) =>
          n % 2 === 0
            ? driver.execute('select $1::int4 as n', [n])
            : driver.transaction((tx) => driver.query(tx, 'select $1::int4 as n', [n])),
        ),
      )
      expect(answers.map(({ rows }) => rows[0]?.['n'])).toEqual(Array.from({ length: 200 }, (_, n) => n))
    })
  })

  describe('migrations', () => {
    const all = MIGRATIONS.map(({ name: step }) => step)
    const hostile = [`x"; drop schema public; --`, `it's $$ $1 %s \\ @schema@`, 'Ünï cödé 😀', 'select']

    it.each(hostile)('make their schema %j, once, and only there', async (base) => {
      const schema = `${base}${Math.floor(Math.random() * 1e6)}`
      schemas.push(schema)
      expect(await migrate(driver, { schema })).toEqual({ applied: all })
      expect(await migrate(driver, { schema })).toEqual({ applied: [] })
      await checkMigrations(driver, { schema })
      const { rows } = await pool.query('select count(*)::int as n from pg_tables where schemaname = $1', [schema])
      expect(rows[0].n).toBeGreaterThan(MIGRATIONS.length)
    })
    it('may be run by several processes at once, and by one of them only', async () => {
      const schema = newSchema('race')
      const pools = Array.from({ length: 6 }, () => poolOf(name, { max: 2 }))
      const results = await Promise.all(pools.map((each) => migrate(pgDriver(each), { schema })))
      expect(results.flatMap(({ applied }) => applied)).toEqual(all)
      await Promise.all(pools.map((each) => each.end()))
    })
    it('do all or nothing', async () => {
      const schema = newSchema('half')
      const broken = [...MIGRATIONS, { number: MIGRATIONS.length + 1, name: '999-broken', sql: 'select 1/0' }]
      await expect(migrateBy(driver, schema, broken)).rejects.toMatchObject({ effect: 'none' })
      const { rows } = await pool.query('select from pg_namespace where nspname = $1', [schema])
      expect(rows).toHaveLength(0)
    })
    it('refuse a schema that a newer version has migrated, and steps that are not theirs', async () => {
      const schema = newSchema('newer')
      const more = { number: MIGRATIONS.length + 1, name: '999-future', sql: 'create table @schema@.future (n int)' }
      expect(await migrateBy(driver, schema, [...MIGRATIONS, more])).toEqual({ applied: [...all, '999-future'] })
      const newer = { code: 'INCOMPATIBLE', message: expect.stringContaining('999-future') }
      await expect(migrate(driver, { schema })).rejects.toMatchObject(newer)
      await expect(checkMigrations(driver, { schema })).rejects.toMatchObject(newer)
      const changed = [...MIGRATIONS, { ...more, sql: 'create table @schema@.other (n int)' }]
      await expect(migrateBy(driver, schema, changed)).rejects.toMatchObject({ code: 'INCOMPATIBLE' })
    })
    it('say what is missing, without making it', async () => {
      const schema = newSchema('missing')
      const missing = { code: 'INCOMPATIBLE', message: expect.stringContaining('001-ground') }
      await expect(checkMigrations(driver, { schema })).rejects.toMatchObject(missing)
    })
    it('add only what is new', async () => {
      const schema = newSchema('step')
      await migrate(driver, { schema })
      const more = { number: MIGRATIONS.length + 1, name: '999-more', sql: 'create table @schema@.more (n int)' }
      expect(await migrateBy(driver, schema, [...MIGRATIONS, more])).toEqual({ applied: ['999-more'] })
    })
    it('printed and run by another tool, count as run', async () => {
      const schema = newSchema(`by "hand"`)
      await driver.transaction((tx) => driver.query(tx, printMigrations({ schema }), []))
      expect(await migrate(driver, { schema })).toEqual({ applied: [] })
    })
  })
}
