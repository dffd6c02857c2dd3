// Every way in which a real PostgreSQL fails us, and what is said of it: code, and what the database did. Nothing may be unclassified.
import { randomBytes } from 'node:crypto'
import { Pool, type PoolConfig } from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { migrate, type PgDriver, pgDriver, postgresCheckpoints } from '../../../src/adapters/postgres/index.ts'
import type { FairleadError } from '../../../src/errors/index.ts'
import { type PostgresInstance, startPostgres } from '../../services/postgres-instance.ts'

const failureOf = async (work: Promise<unknown>): Promise<FairleadError> => {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown as FairleadError,
  )
  expect(error).toBeDefined()
  expect(error).toMatchObject({ transport: 'postgres' })
  expect(error?.code).not.toBe('CALL_FAILED')
  return error as FairleadError
}

describe('faults of a real server', () => {
  let instance: PostgresInstance
  const pools: Pool[] = []
  const open = (options: PoolConfig = {}) => {
    const pool = new Pool({
      host: instance.host,
      port: instance.port,
      user: 'postgres',
      database: 'postgres',
      max: 3,
      ...options,
    })
    // What idle connections say when the server goes is nobody's failure.
    pool.on('error', () => undefined)
    pools.push(pool)
    return pool
  }
  let pool: Pool
  let driver: PgDriver<import('pg').PoolClient>

  beforeAll(async () => {
    instance = await startPostgres({ max_connections: '13', superuser_reserved_connections: '3' })
    const first = new Pool({ host: instance.host, port: instance.port, user: 'postgres', database: 'postgres' })
    await first.query('create table things (n int primary key, name text)')
    await first.query('create role nologin nologin; create role app login; grant select on things to app')
    await first.end()
  })
  beforeEach(() => {
    pool = open()
    driver = pgDriver(pool)
  })
  afterEach(async () => {
    await Promise.all(pools.splice(0).map((each) => each.end()))
  })
  afterAll(() => instance.remove())

  const refused = async (options: PoolConfig, code: string) => {
    const other = pgDriver(open(options))
    expect(await failureOf(other.execute('select 1', []))).toMatchObject({ code, effect: 'none' })
    expect(await failureOf(other.transaction(async () => 1))).toMatchObject({ code, effect: 'none' })
  }

  it('who may not log in', async () => {
    await refused({ user: 'nologin' }, 'UNAUTHENTICATED')
    await refused({ user: 'nobody-at-all' }, 'UNAUTHENTICATED')
  })
  it('a database that is not there', () => refused({ database: 'nope' }, 'NOT_FOUND'))
  it('too many connections', async () => {
    const held = await Promise.all(Array.from({ length: 10 }, () => open({ max: 1 }).connect()))
    const app = pgDriver(open({ user: 'app' }))
    const error = await failureOf(app.execute('select 1', []))
    expect(error).toMatchObject({ code: 'UNAVAILABLE', effect: 'none', retryable: true, overload: true })
    for (const client of held) client.release(true)
  })
  it('a pool without a free connection', async () => {
    const full = open({ max: 1 })
    const client = await full.connect()
    // For whoever waits for it; making the first one may take longer.
    full.options.connectionTimeoutMillis = 50
    expect(await failureOf(pgDriver(full).execute('select 1', []))).toMatchObject({
      code: 'SELF_EXHAUSTED',
      effect: 'none',
    })
    client.release()
  })
  it('a pool that was ended', async () => {
    const ended = open()
    await ended.end()
    pools.pop()
    expect(await failureOf(pgDriver(ended).execute('select 1', []))).toMatchObject({ code: 'SHUTDOWN', effect: 'none' })
  })
  it.each([
    ['a missing table', 'select * from nope', 'NOT_FOUND'],
    ['a missing schema', 'create table nope.x (n int)', 'NOT_FOUND'],
    ['a missing function', 'select nope(1)', 'NOT_FOUND'],
    ['broken SQL', 'selec 1', 'BAD_REQUEST'],
    ['a value out of range', 'select 1/0', 'UNPROCESSABLE'],
    ['text with a NUL', `select E'a\\000b'`, 'UNPROCESSABLE'],
    ['a missing value', 'insert into things values (null)', 'UNPROCESSABLE'],
    ['something too large', `select repeat('x', 1073741824)`, 'PAYLOAD_TOO_LARGE'],
    ['a statement that takes too long', `set statement_timeout = '20ms'; select pg_sleep(5)`, 'TIMED_OUT'],
    ['an answer that the user cancels', 'select pg_cancel_backend(pg_backend_pid()), pg_sleep(5)', 'CANCELLED'],
    ['a read-only server', 'set transaction read only; delete from things', 'MISDIRECTED'],
    ['a statement of nobody', 'execute nothing', 'BAD_REQUEST'],
    ['an error of a function', `do $$ begin raise exception 'no'; end $$`, 'UNPROCESSABLE'],
  ])('%s', async (_, text, code) => {
    expect(await failureOf(driver.execute(text, []))).toMatchObject({ code, effect: 'none' })
    expect(await failureOf(driver.transaction((tx) => tx.query(text)))).toMatchObject({ code, effect: 'none' })
    expect((await driver.execute('select 1::int4 as n', [])).rows).toEqual([{ n: 1 }])
  })
  it('what a role may not do', async () => {
    const app = pgDriver(open({ user: 'app' }))
    const error = await failureOf(app.execute('insert into things values (1)', []))
    expect(error).toMatchObject({ code: 'FORBIDDEN', effect: 'none' })
  })
  it('a duplicate, by the name of its constraint', async () => {
    await driver.execute('insert into things values (1)', [])
    const error = await failureOf(driver.execute('insert into things values (1)', []))
    expect(error).toMatchObject({ code: 'CONFLICT', effect: 'none', details: { constraint: 'things_pkey' } })
  })
  it('a deadlock, for one of the two; and it may do it again', async () => {
    await driver.execute('insert into things values (11), (12)', [])
    let ready = 0
    let both: () => void = () => undefined
    const met = new Promise<void>((resolve) => (both = resolve))
    const touch = (first: number, second: number) =>
      driver.transaction(async (tx) => {
        await tx.query('update things set name = $2 where n = $1', [first, 'x'])
        if (++ready === 2) both()
        await met
        await tx.query('update things set name = $2 where n = $1', [second, 'x'])
      })
    const results = await Promise.allSettled([touch(11, 12), touch(12, 11)])
    const failed = results.filter(({ status }) => status === 'rejected')
    expect(failed).toMatchObject([
      { reason: { code: 'TRANSACTION_CONFLICT', effect: 'none', retryable: true, details: { sqlState: '40P01' } } },
    ])
  })
  it('a serialization failure, at a statement and at COMMIT', async () => {
    await driver.execute('insert into things values (21), (22)', [])
    const codes: string[] = []
    const swap = async (mine: number, other: number, meet: () => Promise<void>) =>
      driver.transaction(async (tx) => {
        await tx.query('set transaction isolation level serializable')
        await tx.query('select name from things where n = $1', [other])
        await tx.query('update things set name = $2 where n = $1', [mine, 'y'])
        await meet()
      })
    let here = 0
    let go: () => void = () => undefined
    const all = new Promise<void>((resolve) => (go = resolve))
    const meet = () => {
      if (++here === 2) go()
      return all
    }
    for (const result of await Promise.allSettled([swap(21, 22, meet), swap(22, 21, meet)]))
      if (result.status === 'rejected') codes.push(`${result.reason.code} ${result.reason.effect}`)
    expect(codes).toEqual(['TRANSACTION_CONFLICT none'])
  })
  it('a lock that is not to be had', async () => {
    await driver.execute('insert into things values (31)', [])
    await driver.transaction(async (tx) => {
      await tx.query('select from things where n = 31 for update')
      const text = 'select from things where n = 31 for update nowait'
      expect(await failureOf(driver.execute(text, []))).toMatchObject({ code: 'TRANSACTION_CONFLICT', effect: 'none' })
    })
  })
  it('a transaction that stood idle for too long', async () => {
    let gone: () => void = () => undefined
    const closed = new Promise<void>((resolve) => (gone = resolve))
    const error = await failureOf(
      driver.transaction(async (tx) => {
        tx.once('error', () => gone())
        await tx.query(`set local idle_in_transaction_session_timeout = '20ms'`)
        await closed
        await tx.query('select 1')
      }),
    )
    expect(error).toMatchObject({ effect: 'none', transient: true })
    expect((await driver.execute('select 1::int4 as n', [])).rows).toEqual([{ n: 1 }])
  })
  it('a name that is too long for an index', async () => {
    await migrate(driver, { schema: 'large' })
    const checkpoints = postgresCheckpoints(driver, { schema: 'large' })
    const leasing = checkpoints.lease('c', 'm', [randomBytes(20_000).toString('hex')], 1_000)
    expect(await failureOf(leasing)).toMatchObject({ code: 'PAYLOAD_TOO_LARGE', effect: 'none' })
  })
  it('a schema that nobody has migrated', async () => {
    const checkpoints = postgresCheckpoints(driver, { schema: 'nowhere' })
    const lease = { lane: 'a', epoch: 1n, until: 0 }
    const calls = [
      () => checkpoints.load('c', 'a'),
      () => checkpoints.lease('c', 'm', ['a'], 1_000),
      () => checkpoints.save('c', lease, 'x'),
      () => checkpoints.release('c', [lease]),
    ]
    for (const call of calls) {
      const error = await failureOf(call())
      expect(error).toMatchObject({ code: 'CHANNEL_NOT_FOUND', effect: 'none' })
      expect(error.message).toContain('migrate(driver, { schema: "nowhere" })')
    }
  })

  describe('when the server goes', () => {
    afterEach(() => instance.start().catch(() => undefined))

    /** A statement of its own, and one in a transaction, both under way. */
    const underWay = async () => {
      const text = 'select pg_sleep(20)'
      const outcomes = [
        failureOf(driver.execute(text, [])),
        failureOf(driver.transaction((tx) => driver.query(tx, text, []))),
        failureOf(driver.transaction((tx) => tx.query(text))),
      ]
      const watcher = open({ max: 1 })
      for (let seen = 0; seen < 3; ) {
        const { rows } = await watcher.query(`select count(*)::int as n from pg_stat_activity where query = '${text}'`)
        seen = rows[0].n
      }
      return outcomes
    }

    it.each(['fast', 'immediate'] as const)(
      'by a stop that is %s: unknown what a statement did, none in a transaction',
      async (mode) => {
        const [alone, inside, raw] = await underWay()
        await instance.stop(mode)
        expect(await alone).toMatchObject({ code: 'CONNECTION_LOST', effect: 'unknown', transient: true })
        expect(await inside).toMatchObject({ code: 'CONNECTION_LOST', effect: 'none', transient: true })
        expect(await raw).toMatchObject({ code: 'CONNECTION_LOST', effect: 'none', transient: true })
        const stopped = { code: 'CONNECTION_REFUSED', effect: 'none', retryable: true }
        expect(await failureOf(driver.execute('select 1', []))).toMatchObject(stopped)
        expect(await failureOf(driver.transaction(async () => 1))).toMatchObject(stopped)
      },
    )
    it('by a restart: the same driver goes on', async () => {
      await driver.execute('select 1', [])
      await instance.restart()
      for (let tries = 0; ; tries++) {
        try {
          await driver.execute('select 1', [])
          break
        } catch (error) {
          // The pool has not noticed yet that its idle connections are gone.
          expect(tries).toBeLessThan(5)
          expect((error as FairleadError).code).toBe('CONNECTION_LOST')
        }
      }
    })
    it('slowly: it lets nobody in any more', async () => {
      const client = await pool.connect()
      client.on('error', () => undefined)
      const stopping = instance.stop('smart')
      // A new connection each time: those that are in may stay.
      const late = pgDriver(open({ maxUses: 1 }))
      let error: unknown
      while (error === undefined)
        error = await late.execute('select 1', []).then(
          () => undefined,
          (thrown: unknown) => thrown,
        )
      expect(error).toMatchObject({ code: 'UNAVAILABLE', effect: 'none', details: { sqlState: '57P03' } })
      client.release(true)
      await stopping
    })
    it('in the middle of listening: it comes back, and wakes', async () => {
      const states: string[] = []
      let heard: () => void = () => undefined
      const listening = pgDriver(pool, { onListenState: ({ state }) => states.push(state) })
      await listening.listen('orders', () => heard())
      const back = new Promise<void>((resolve) => (heard = resolve))
      await instance.restart('immediate')
      await back
      const woken = new Promise<void>((resolve) => (heard = resolve))
      await open().query(`select pg_notify('orders', '')`)
      await woken
      expect(states[0]).toBe('listening')
      expect(states).toContain('lost')
      expect(states.at(-1)).toBe('listening')
      await listening.close()
    })
  })
})
