// The table of a replica in SQL: what is written is read alike, the guard, a copy of the shape, and what is missing of a table.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ReplicaTable, sqlReplicaTable } from '../../../src/messaging/replica/index.ts'
import { errorOf } from '../kit.ts'
import { type Customer, customer } from './kit.ts'
import { makeTable, tableOf } from './sql-lab.ts'
import { type SqliteReplicaLab, sqliteLab } from './sqlite-lab.ts'

describe('a table in SQL', () => {
  let lab: SqliteReplicaLab
  beforeAll(async () => {
    lab = await sqliteLab()
  })
  afterAll(() => lab.close())
  const live = { generation: 1, beside: false }
  const fresh = async (name: string): Promise<ReplicaTable<any, Customer>> => {
    await makeTable(lab.own, name)
    const table = tableOf(lab.own, name)
    await table.check()
    return table
  }

  it('holds what was written: kinds, nulls, whole numbers beyond 2^53', async () => {
    const table = await fresh('kinds')
    const value = { ...customer('ä "q" 😀', 'NL', 2n ** 62n), vip: true, tags: { deep: ['x', null, 1.5] } }
    const other = { ...customer('b', 'NL', null), vip: false, tags: 'only a text' }
    const entries = [
      { key: 'a', version: 2n ** 63n - 1n, value },
      { key: 'b', version: 0n, value: other },
      { key: 'c', version: 3n, value: undefined },
    ]
    expect(await table.isEmpty()).toBe(true)
    expect(await table.write(undefined, live, entries, 1_000)).toBe(3)
    expect(await table.isEmpty()).toBe(false)
    expect(await table.read(undefined, 'a')).toEqual({ version: 2n ** 63n - 1n, value })
    expect(await table.read(undefined, 'b')).toEqual({ version: 0n, value: other })
    expect(await table.read(undefined, 'c')).toEqual({ version: 3n })
    expect(await table.read(undefined, 'd')).toBeUndefined()
  })

  it('never goes back, in one statement or many, with or without a transaction', async () => {
    const table = await fresh('guard')
    const entries = Array.from({ length: 1_200 }, (_, at) => ({ key: `k${at}`, version: 5n, value: customer(`${at}`) }))
    expect(entries.length).toBeGreaterThan(table.alone)
    expect(await lab.own.transaction((tx) => table.write(tx, live, entries, 0))).toBe(1_200)
    const mixed = entries.map((entry, at) => ({ ...entry, version: BigInt(4 + (at % 3)), value: customer('again') }))
    expect(await table.write(undefined, live, mixed, 0)).toBe(400)
    expect(await table.read(undefined, 'k1')).toMatchObject({ version: 5n, value: { name: '1' } })
    expect(await table.read(undefined, 'k2')).toMatchObject({ version: 6n, value: { name: 'again' } })
    const rolled = lab.own.transaction(async (tx) => {
      await table.write(tx, live, [{ key: 'k2', version: 9n, value: undefined }], 0)
      expect(await table.read(tx, 'k2')).toEqual({ version: 9n })
      throw new Error('undone')
    })
    await expect(rolled).rejects.toThrow('undone')
    expect(await table.read(undefined, 'k2')).toMatchObject({ version: 6n })
  })

  it('is copied with its shape and indexes, and swapped as often as one likes, by several at once', async () => {
    const table = await fresh('a "shape"')
    await lab.own.execute('create view seen as select name from "a ""shape""" where gone_at is null', [])
    for (let generation = 2; generation < 5; generation++) {
      await table.beside(generation)
      await table.beside(generation)
      const entry = { key: 'x', version: 1n, value: customer(`of ${generation}`) }
      await table.write(undefined, { generation, beside: true }, [entry], 0)
      await Promise.all([table.swap(generation), table.swap(generation)])
      await table.swap(generation)
      expect(await table.read(undefined, 'x')).toMatchObject({ value: { name: `of ${generation}` } })
      const { rows } = await lab.own.execute('select name, extra from seen join "a ""shape""" using (name)', [])
      expect(rows).toEqual([{ name: `of ${generation}`, extra: 'mine' }])
      const { rows: things } = await lab.own.execute(
        "select name from sqlite_master where type in ('table', 'index') and sql is not null and instr(name, 'a \"shape\"') = 1 order by name",
        [],
      )
      expect(things.map(({ name }) => name)).toEqual(['a "shape"', `a "shape" by name__${generation}`])
    }
    await table.check()
  })

  it('carries tombstones over, and leaves what is newer beside', async () => {
    const table = await fresh('carried')
    const gone = (key: string, version: bigint) => ({ key, version, value: undefined })
    const there = (key: string, version: bigint) => ({ key, version, value: customer(key) })
    await table.write(undefined, live, [gone('a', 4n), gone('b', 4n), gone('c', 4n), there('d', 4n)], 7)
    await table.beside(2)
    await table.write(undefined, { generation: 2, beside: true }, [there('a', 3n), there('b', 4n)], 0)
    await table.carry(2)
    await table.swap(2)
    expect(await table.read(undefined, 'a')).toEqual({ version: 4n })
    expect(await table.read(undefined, 'b')).toMatchObject({ version: 4n, value: { name: 'b' } })
    expect(await table.read(undefined, 'c')).toEqual({ version: 4n })
    expect(await table.read(undefined, 'd')).toBeUndefined()
  })

  it('deletes tombstones that are old enough, a portion at a time', async () => {
    const table = await fresh('purged')
    const gone = ['a', 'b', 'c'].map((key) => ({ key, version: 1n, value: undefined }))
    await table.write(undefined, live, gone, 100)
    await table.write(undefined, live, [{ key: 'd', version: 1n, value: customer('d') }], 100)
    await table.write(undefined, live, [{ key: 'e', version: 1n, value: undefined }], 200)
    expect([await table.purge(150, 2), await table.purge(150, 2), await table.purge(150, 2)]).toEqual([2, 1, 0])
    expect([await table.read(undefined, 'd'), await table.read(undefined, 'e')]).toMatchObject([
      { value: { name: 'd' } },
      { version: 1n },
    ])
  })

  it('says what is missing of a table, and what a value does not fit', async () => {
    const missing = sqlReplicaTable(lab.own, { table: 'nowhere', columns: { name: 'text' } })
    expect(await errorOf(() => missing.check())).toMatchObject({ code: 'INCOMPATIBLE' })
    await lab.own.execute(
      'create table strict (id text primary key, version int not null, gone_at int, name text not null)',
      [],
    )
    const strict = (columns: Record<string, 'text'>) => sqlReplicaTable(lab.own, { table: 'strict', columns })
    expect((await errorOf(() => strict({ name: 'text' }).check())).message).toContain(
      'does not allow "name" to be null',
    )
    expect((await errorOf(() => strict({ other: 'text' }).check())).message).toContain('has no column "other"')
    const table = await fresh('fits')
    const wrong = { key: 'a', version: 1n, value: { ...customer('a'), vip: 'yes' as never } }
    expect(await errorOf(() => table.write(undefined, live, [wrong], 0))).toMatchObject({
      code: 'MESSAGE_INVALID',
      details: { issues: [{ path: ['value', 'vip'] }] },
    })
    const none = { key: 'a', version: 1n, value: { ...customer('a'), name: null as never } }
    expect(await errorOf(() => table.write(undefined, live, [none], 0))).toMatchObject({ code: 'MESSAGE_INVALID' })
  })

  it('says what about a table would make one entry of two', async () => {
    const made = async (definition: string, index?: string) => {
      const name = `merging_${++merging}`
      await lab.own.execute(`create table ${name} (${definition}, version int not null, gone_at int, name text)`, [])
      if (index !== undefined) await lab.own.execute(`create unique index ${name}_own on ${name} (${index})`, [])
      return await errorOf(() => sqlReplicaTable(lab.own, { table: name, columns: { name: 'text' } }).check())
    }
    let merging = 0
    expect(await made('id text primary key collate nocase')).toMatchObject({ code: 'INCOMPATIBLE' })
    expect((await made('id text primary key collate rtrim')).message).toMatch(/compares "id" by rtrim/i)
    expect((await made('id text not null')).message).toContain('has no unique "id"')
    expect((await made('id text not null', 'id, name')).message).toContain('has no unique "id"')
    expect((await made('id text primary key', 'name')).message).toContain('unique index "merging_5_own"')
    expect((await made('id text primary key', 'lower(name)')).message).toContain('drop it')
    for (const [definition, index] of [
      ['id integer primary key', undefined],
      ['id text primary key', 'id, name'],
      ['id text not null', 'id'],
    ] as const)
      await expect(made(definition, index)).rejects.toThrow('nothing was thrown')
  })

  it('finds a table however its name is written, and refuses a schema', async () => {
    await makeTable(lab.own, 'Mixed_Case')
    const table = tableOf(lab.own, 'mixed_CASE')
    await table.check()
    expect(await table.beside(2)).toBe(true)
    expect(await table.isBeside(2)).toBe(true)
    await table.write(undefined, { generation: 2, beside: true }, [{ key: 'a', version: 1n, value: customer('a') }], 0)
    expect(await table.beside(2)).toBe(false)
    await table.swap(2)
    expect(await table.read(undefined, 'a')).toMatchObject({ value: { name: 'a' } })
    await table.beside(3)
    await table.discard(3)
    await table.discard(3)
    expect(await table.isBeside(3)).toBe(false)
    const error = await errorOf(() => tableOf(lab.own, 'mixed_case', 'other'))
    expect(error).toMatchObject({ code: 'INVALID_OPTIONS', details: { option: 'schema' } })
  })

  it('refuses options that make no sense', async () => {
    const of = (options: object) => errorOf(() => sqlReplicaTable(lab.own, options as never))
    for (const options of [
      {},
      { table: 'a' },
      { table: 'x'.repeat(49), columns: { a: 'text' } },
      { table: 'a', columns: { a: 'varchar' } },
      { table: 'a', columns: { a: 'text', b: { column: 'a', as: 'text' } } },
      { table: 'a', columns: { version: 'text' } },
      { table: 'a', columns: { a: 'text' }, tabel: 'b' },
    ])
      expect(await of(options)).toMatchObject({ code: 'INVALID_OPTIONS' })
  })
})
