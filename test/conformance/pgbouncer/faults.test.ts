// What PgBouncer says when what stands behind it fails, and what may have been done then: it says nearly all of it with one SQLSTATE.
import { Pool, type PoolConfig } from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { pgDriver } from '../../../src/adapters/postgres/index.ts'
import type { FairleadError } from '../../../src/errors/index.ts'
import { type PgBouncerInstance, startPgBouncer } from '../../services/pgbouncer-instance.ts'
import { type PostgresInstance, startPostgres } from '../../services/postgres-instance.ts'

const failureOf = async (work: Promise<unknown>): Promise<FairleadError> => {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown as FairleadError,
  )
  expect(error).toMatchObject({ transport: 'postgres' })
  expect(error?.code).not.toBe('CALL_FAILED')
  return error as FairleadError
}

describe('faults behind PgBouncer', () => {
  let instance: PostgresInstance
  let bouncer: PgBouncerInstance
  const pools: Pool[] = []
  const open = (options: PoolConfig = {}): Pool => {
    const pool = new Pool({
      host: bouncer.host,
      port: bouncer.port,
      user: 'postgres',
      database: 'postgres',
      max: 3,
      ...options,
    })
    pool.on('error', () => undefined)
    pools.push(pool)
    return pool
  }
  beforeAll(async () => {
    instance = await startPostgres()
    bouncer = await startPgBouncer(instance, {
      default_pool_size: '2',
      max_client_conn: '20',
      query_wait_timeout: '5',
      server_login_retry: '1',
    })
  })
  afterEach(async () => {
    await Promise.all(pools.splice(0).map((pool) => pool.end()))
  })
  afterAll(async () => {
    await bouncer.remove()
    await instance.remove()
  })

  it('who it does not know, and a database that is not there', async () => {
    const stranger = await failureOf(pgDriver(open({ user: 'stranger' })).execute('select 1', []))
    expect(stranger).toMatchObject({ code: 'UNAUTHENTICATED', effect: 'none' })
    const nowhere = await failureOf(pgDriver(open({ database: 'nope' })).execute('select 1', []))
    expect(nowhere).toMatchObject({ code: 'NOT_FOUND', effect: 'none' })
  })
  it('no connection to the server is free in time', async () => {
    const pool = open()
    const driver = pgDriver(pool)
    let release: () => void = () => undefined
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    let holding: () => void = () => undefined
    const both = new Promise<void>((resolve) => {
      holding = resolve
    })
    let count = 0
    const busy = Promise.all(
      [1, 2].map(() =>
        driver.transaction(async (tx) => {
          await tx.query('select 1')
          if (++count === 2) holding()
          await held
        }),
      ),
    )
    await Promise.race([both, busy])
    try {
      const error = await failureOf(driver.execute('select 1', []))
      expect(error).toMatchObject({ code: 'UNAVAILABLE', effect: 'none', overload: true })
    } finally {
      release()
      await busy
    }
  })
  it('a named prepared statement does not last, and ours have no names', async () => {
    const pool = open()
    const driver = pgDriver(pool)
    await driver.execute('deallocate all', [])
    const error = await failureOf(driver.execute('execute nothing', []))
    expect(error).toMatchObject({ code: 'BAD_REQUEST', message: expect.stringContaining('pooler') })
    const { rows } = await driver.execute('select count(*)::int4 as n from pg_prepared_statements', [])
    expect(rows).toEqual([{ n: 0 }])
  })
  it.each(['fast', 'immediate'] as const)(
    'the server is stopped (%s) in the middle of a statement, and stays away',
    async (mode) => {
      const driver = pgDriver(open())
      const text = 'select pg_sleep(20)'
      const alone = failureOf(driver.execute(text, []))
      const inside = failureOf(driver.transaction((tx) => tx.query(text)))
      const watcher = new Pool({
        host: instance.host,
        port: instance.port,
        user: 'postgres',
        database: 'postgres',
        max: 1,
      })
      watcher.on('error', () => undefined)
      for (let seen = 0; seen < 2; ) {
        const { rows } = await watcher.query(`select count(*)::int as n from pg_stat_activity where query = '${text}'`)
        seen = rows[0].n
      }
      await watcher.end()
      await instance.stop(mode)
      expect(await alone).toMatchObject({ code: 'CONNECTION_LOST', effect: 'unknown', transient: true })
      expect(await inside).toMatchObject({ code: 'CONNECTION_LOST', effect: 'none', retryable: true })
      const away = await failureOf(driver.execute('select 1', []))
      expect(away).toMatchObject({ effect: 'none', transient: true })
      expect(['CONNECTION_REFUSED', 'UNAVAILABLE']).toContain(away.code)
      await instance.start()
      for (let tries = 0; ; tries++) {
        const error = await driver.execute('select 1', []).then(
          () => undefined,
          (thrown: FairleadError) => thrown,
        )
        if (error === undefined) break
        expect(tries).toBeLessThan(50)
        expect(error.code).not.toBe('CALL_FAILED')
        await new Promise((resolve) => setTimeout(resolve, 200))
      }
    },
  )
  // The last one: it takes a while until clients that left are counted no more.
  it('too many clients', async () => {
    const held = await Promise.all(Array.from({ length: 20 }, () => open({ max: 1 }).connect()))
    const error = await failureOf(pgDriver(open()).execute('select 1', []))
    expect(error).toMatchObject({ code: 'UNAVAILABLE', effect: 'none', overload: true })
    for (const client of held) client.release()
  })
})
