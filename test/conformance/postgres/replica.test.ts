// Replicas on PostgreSQL: the user's table, the rows of the store and the topics in one database; several processes' views of it.
import { randomUUID } from 'node:crypto'
import type { Pool } from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { pgDriver, postgresStore, postgresTransport } from '../../../src/adapters/postgres/index.ts'
import { systemClock } from '../../../src/core/clock.ts'
import type { MessageTransport } from '../../../src/core/contracts/transport.ts'
import { sqlReplicaTable } from '../../../src/messaging/replica/index.ts'
import { errorOf } from '../../messaging/kit.ts'
import { customer, type ReplicaLab } from '../../messaging/replica/kit.ts'
import { replicaCases } from '../../messaging/replica/replica-cases.ts'
import { revisionCases } from '../../messaging/replica/revision-cases.ts'
import { makeTable, rowsOf, tableOf, waits } from '../../messaging/replica/sql-lab.ts'
import { dropSchema, freshSchema, poolOf } from './ground.ts'

const openLab = async (): Promise<ReplicaLab> => {
  const schema = freshSchema('replica')
  const pool: Pool = poolOf('postgres', { max: 40, options: '-c deadlock_timeout=20ms' })
  const driver = pgDriver(pool)
  await postgresStore(driver, { schema }).migrate()
  const transports: MessageTransport[] = []
  return {
    ...waits,
    clock: systemClock,
    mark: randomUUID().slice(0, 8),
    tellsSkipped: true,
    process: async () => ({
      store: postgresStore(driver, { schema }),
      table: (name) => tableOf(driver, name, schema),
    }),
    transport() {
      const transport = postgresTransport(driver, { schema })
      transports.push(transport)
      return transport
    },
    make: (table) => makeTable(driver, table, schema),
    rows: (table) => rowsOf(driver, table, schema),
    async close() {
      for (const transport of transports) await transport.close()
      await dropSchema(pool, schema)
      await driver.close()
      await pool.end()
    },
  }
}

replicaCases('on PostgreSQL', openLab)
revisionCases('on PostgreSQL', openLab)

describe('tables and topics of replicas on PostgreSQL', () => {
  const schema = freshSchema('replica_tables')
  const own = `"${schema}"`
  const pool: Pool = poolOf('postgres', { max: 4 })
  const driver = pgDriver(pool)
  beforeAll(async () => {
    await postgresStore(driver, { schema }).migrate()
  })
  afterAll(async () => {
    await dropSchema(pool, schema)
    await driver.close()
    await pool.end()
  })

  it('says what would make one entry of two', async () => {
    const check = async (name: string, key: string, more = '') => {
      await driver.execute(
        `create table ${own}.${name} (id ${key}, version bigint not null, gone_at bigint, name text${more})`,
        [],
      )
      return await errorOf(() => sqlReplicaTable(driver, { table: name, schema, columns: { name: 'text' } }).check())
    }
    expect((await check('none', 'text not null')).message).toContain('has no unique "id"')
    expect((await check('late', 'text unique deferrable')).message).toContain('has no unique "id"')
    expect((await check('pair', 'text not null', ', primary key (id, version)')).message).toContain(
      'has no unique "id"',
    )
    expect((await check('other', 'text primary key', ', unique (name)')).message).toContain('has a unique index')
    await expect(check('good', 'text primary key', ', unique (id, name)')).rejects.toThrow('nothing was thrown')
    const { rows } = await driver.execute("select count(*)::int as n from pg_collation where collprovider = 'i'", [])
    if (Number(rows[0]?.['n']) === 0) return
    await driver.execute(
      `create collation ${own}.blurred (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`,
      [],
    )
    expect((await check('cases', `text collate ${own}.blurred primary key`)).message).toContain('by blurred')
  })

  it('a column of its own that counts goes on counting after any number of swaps', async () => {
    const name = 'counted'
    await makeTable(driver, name, schema)
    await driver.execute(`alter table ${own}.${name} add column nr serial`, [])
    const table = tableOf(driver, name, schema)
    await table.check()
    for (const generation of [2, 3]) {
      await table.beside(generation)
      const entry = { key: `k${generation}`, version: 1n, value: customer('x') }
      await table.write(undefined, { generation, beside: true }, [entry], 0)
      await table.swap(generation)
      expect(await table.read(undefined, `k${generation}`)).toMatchObject({ version: 1n })
    }
    const { rows } = await driver.execute(`select nr from ${own}.${name}`, [])
    expect(rows.map(({ nr }) => Number(nr))).toEqual([2])
  })

  it('the topic says since when it keeps all messages', async () => {
    const transport = postgresTransport(driver, { schema, retentionMs: 3_600_000 })
    const address = { kind: 'topic', name: 'kept' } as const
    expect(await transport.retainedSince?.(address)).toBeUndefined()
    await transport.prepare([address], 'create')
    expect(await transport.retainedSince?.(address)).toBe(-Infinity)
    await driver.execute(`update ${own}.channel set purged_to = 1 where name = 'kept'`, [])
    const since = (await transport.retainedSince?.(address)) as number
    const { rows } = await driver.execute('select (extract(epoch from now()) * 1000)::float8 as now', [])
    expect(Math.abs(Number(rows[0]?.['now']) - 3_600_000 - since)).toBeLessThan(60_000)
    await transport.close()
  })
})
