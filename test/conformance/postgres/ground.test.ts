import type { Pool } from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { migrate, pgDriver, postgresCheckpoints } from '../../../src/adapters/postgres/index.ts'
import type { LaneLease } from '../../../src/core/contracts/store.ts'
import { describeGround, dropSchema, freshSchema, poolOf } from './ground.ts'

describeGround('postgres')

describe('least privilege', () => {
  const owner = poolOf('postgres')
  const role = `fairlead_app_${process.pid}`
  const schema = freshSchema('least')
  beforeAll(async () => {
    await owner.query(`create role ${role} login`)
  })
  afterAll(async () => {
    await dropSchema(owner, schema)
    await owner.query(`drop owned by ${role}`)
    await owner.query(`drop role ${role}`)
    await owner.end()
  })
  it('a role that may not create is told so, and needs nothing but to read once all is there', async () => {
    const pool = poolOf('postgres', { user: role })
    const driver = pgDriver(pool)
    await expect(migrate(driver, { schema })).rejects.toMatchObject({ code: 'FORBIDDEN', effect: 'none' })
    await migrate(pgDriver(owner), { schema })
    await owner.query(`grant usage on schema "${schema}" to ${role}`)
    await owner.query(`grant select on "${schema}".migration to ${role}`)
    expect(await migrate(driver, { schema })).toEqual({ applied: [] })
    // As docs/messaging.md says.
    await owner.query(`grant select, insert, update, delete on all tables in schema "${schema}" to ${role}`)
    await owner.query(`grant usage on all sequences in schema "${schema}" to ${role}`)
    await owner.query(`grant execute on all functions in schema "${schema}" to ${role}`)
    const checkpoints = postgresCheckpoints(driver, { schema })
    const [lease] = await checkpoints.lease('c', 'm', ['a'], 60_000)
    expect(await checkpoints.save('c', lease as LaneLease, '1')).toBe(true)
    await checkpoints.release('c', [lease as LaneLease])
    await pool.end()
  })
})

it('migrations see what others did while they waited, whatever the default isolation is', async () => {
  const schema = freshSchema('isolation')
  const options = '-c default_transaction_isolation=serializable'
  const pools = Array.from({ length: 6 }, () => poolOf('postgres', { options }))
  const results = await Promise.all(pools.map((pool) => migrate(pgDriver(pool), { schema })))
  expect(results.filter(({ applied }) => applied.length > 0)).toHaveLength(1)
  await dropSchema(pools[0] as Pool, schema)
  await Promise.all(pools.map((pool) => pool.end()))
})

describe('listening', () => {
  it('wakes on a notification sent by anybody, on a connection outside the pool', async () => {
    const pool = poolOf('postgres', { max: 1 })
    const driver = pgDriver(pool)
    let heard: () => void = () => undefined
    const once = (): Promise<void> => new Promise((resolve) => (heard = resolve))
    const channel = `odd "channel" ${process.pid}`
    const unlisten = await driver.listen(channel, () => heard())
    expect(pool.totalCount).toBe(0)
    const woken = once()
    await driver.execute('select pg_notify($1, $2)', [channel, ''])
    await woken
    // The server ends the connection: the driver comes back, and wakes.
    const again = once()
    await driver.execute(`select pg_terminate_backend(pid) from pg_stat_activity where query like 'listen "odd%'`, [])
    await again
    const third = once()
    await driver.execute('select pg_notify($1, $2)', [channel, ''])
    await third
    await unlisten()
    await driver.close()
    await pool.end()
  })
})
