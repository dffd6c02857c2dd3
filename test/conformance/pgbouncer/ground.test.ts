// The same through PgBouncer in transaction mode: no statement has a name, and nothing stays behind in a session.
import { Client } from 'pg'
import { describe, expect, it } from 'vitest'
import { pgDriver } from '../../../src/adapters/postgres/index.ts'
import { server } from '../../services/servers.ts'
import { describeGround, poolOf } from '../postgres/ground.ts'

describeGround('pgbouncer')

describe('listening', () => {
  it('is refused, because notifications do not pass', async () => {
    const pool = poolOf('pgbouncer')
    const states: string[] = []
    const driver = pgDriver(pool, { onListenState: ({ state }) => states.push(state) })
    await expect(driver.listen('orders', () => undefined)).rejects.toMatchObject({ code: 'CAPABILITY_MISSING' })
    expect(states).toEqual(['unavailable'])
    await driver.close()
    await pool.end()
  })
  it('works with a connection of its own to PostgreSQL', async () => {
    const pool = poolOf('pgbouncer')
    const at = server('postgres')
    const listener = () => new Client({ host: at?.host, port: at?.port, user: 'postgres', database: 'postgres' })
    const driver = pgDriver(pool, { listener })
    let heard: () => void = () => undefined
    await driver.listen('orders', () => heard())
    const woken = new Promise<void>((resolve) => (heard = resolve))
    await driver.execute(`select pg_notify('orders', '')`, [])
    await woken
    await driver.close()
    await pool.end()
  })
})
