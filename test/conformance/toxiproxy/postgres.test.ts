// PostgreSQL behind a troubled network: connections refused, swallowed and cut, at each place where that changes what may have happened.
import { Client, Pool } from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import {
  type ListenState,
  type PgDriver,
  type PgDriverOptions,
  pgDriver,
} from '../../../src/adapters/postgres/index.ts'
import type { FairleadError } from '../../../src/errors/index.ts'
import { type PostgresInstance, startPostgres } from '../../services/postgres-instance.ts'
import { proxyTo, type ToxicProxy } from '../../services/toxiproxy.ts'

const failureOf = async (work: Promise<unknown>): Promise<FairleadError> => {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown as FairleadError,
  )
  expect(error).toMatchObject({ transport: 'postgres' })
  expect(error?.code).not.toBe('CALL_FAILED')
  return error as FairleadError
}

describe('PostgreSQL through a troubled network', () => {
  let instance: PostgresInstance
  let proxy: ToxicProxy
  /** Straight to the server. */
  let straight: Pool
  let pool: Pool
  let driver: PgDriver<import('pg').PoolClient>
  const open = (options: PgDriverOptions = {}): void => {
    driver = pgDriver(pool, { answerWithinMs: 3_000, connectWithinMs: 3_000, ...options })
  }

  beforeAll(async () => {
    instance = await startPostgres()
    proxy = await proxyTo(instance)
    straight = new Pool({ host: instance.host, port: instance.port, user: 'postgres', database: 'postgres' })
    await straight.query('create table written (n int primary key)')
  })
  beforeEach(() => {
    pool = new Pool({ host: proxy.host, port: proxy.port, user: 'postgres', database: 'postgres', max: 2 })
    pool.on('error', () => undefined)
    open()
  })
  afterEach(async () => {
    await proxy.mend()
    await driver.close()
    await pool.end()
  })
  afterAll(async () => {
    await straight.end()
    await proxy.remove()
    await instance.remove()
  })
  const isWritten = async (n: number): Promise<boolean> => {
    // What is under way at the server is waited for by its lock.
    const { rows } = await straight
      .query('lock table written; select 1')
      .then(() => straight.query('select from written where n = $1', [n]))
    return rows.length === 1
  }
  /** The pool comes to itself again: what it had is closed, and a new connection works. */
  const recovers = async (): Promise<void> => {
    await proxy.mend()
    expect((await driver.execute('select 1::int4 as n', [])).rows).toEqual([{ n: 1 }])
    expect(pool.waitingCount).toBe(0)
    expect(pool.idleCount).toBe(pool.totalCount)
  }

  it('refused: nothing was done', async () => {
    await proxy.refuse()
    expect(await failureOf(driver.execute('select 1', []))).toMatchObject({
      code: 'CONNECTION_REFUSED',
      effect: 'none',
    })
    await recovers()
  })
  it('cut while it connects: nothing was done', async () => {
    await proxy.toxic('reset_peer', { timeout: 0 })
    expect(await failureOf(driver.execute('select 1', []))).toMatchObject({ code: 'CONNECTION_LOST', effect: 'none' })
    await recovers()
  })
  it('swallowed while it connects: given up, nothing was done', async () => {
    await proxy.toxic('timeout', { timeout: 0 })
    const error = await failureOf(driver.transaction(async () => 1))
    expect(error).toMatchObject({ code: 'CONNECT_TIMEOUT', effect: 'none', retryable: true })
    await recovers()
  })
  it('the answer is swallowed: unknown, and it was done', async () => {
    await driver.execute('select 1', [])
    await proxy.toxic('timeout', { timeout: 0 })
    const error = await failureOf(driver.execute('insert into written values (1)', []))
    expect(error).toMatchObject({ code: 'TIMED_OUT', effect: 'unknown' })
    expect(await isWritten(1)).toBe(true)
    await recovers()
  })
  it('the statement is swallowed: unknown, and it was not done', async () => {
    await driver.execute('select 1', [])
    await proxy.toxic('timeout', { timeout: 0 }, 'upstream')
    const error = await failureOf(driver.execute('insert into written values (2)', []))
    expect(error).toMatchObject({ code: 'TIMED_OUT', effect: 'unknown' })
    expect(await isWritten(2)).toBe(false)
    await recovers()
  })
  it('cut in the middle of a statement: unknown', async () => {
    await driver.execute('select 1', [])
    const failing = failureOf(driver.execute('select pg_sleep(5)', []))
    await proxy.refuse()
    expect(await failing).toMatchObject({ code: 'CONNECTION_LOST', effect: 'unknown' })
    await recovers()
  })
  it.each(['query', 'raw'])('cut in the middle of a transaction (%s): nothing was done', async (how) => {
    const text = 'insert into written values (3); select pg_sleep(5)'
    const failing = failureOf(
      driver.transaction(async (tx) => {
        setImmediate(() => void proxy.refuse())
        await (how === 'raw' ? tx.query(text) : driver.query(tx, text, []))
      }),
    )
    expect(await failing).toMatchObject({ code: 'CONNECTION_LOST', effect: 'none', retryable: true })
    expect(await isWritten(3)).toBe(false)
    await recovers()
  })
  it.each([
    ['downstream', 4, true],
    ['upstream', 5, false],
  ] as const)('COMMIT or its answer is swallowed (%s): unknown, and both happen', async (stream, n, written) => {
    const failing = failureOf(
      driver.transaction(async (tx) => {
        await tx.query('insert into written values ($1)', [n])
        await proxy.toxic('timeout', { timeout: 0 }, stream)
      }),
    )
    expect(await failing).toMatchObject({ code: 'TIMED_OUT', effect: 'unknown' })
    expect(await isWritten(n)).toBe(written)
    await recovers()
  })
  it('cut between a statement and COMMIT: nothing was done, and the work is told', async () => {
    const failing = failureOf(
      driver.transaction(async (tx) => {
        await tx.query('insert into written values (6)')
        const gone = new Promise((resolve) => tx.once('error', resolve))
        await proxy.refuse()
        await gone
      }),
    )
    expect(await failing).toMatchObject({ code: 'CONNECTION_LOST', effect: 'none' })
    expect(await isWritten(6)).toBe(false)
    await recovers()
  })
  it('what the work throws comes out, although the ROLLBACK is swallowed', async () => {
    const mine = new Error('mine')
    const failing = driver.transaction(async (tx) => {
      await tx.query('insert into written values (7)')
      await proxy.toxic('timeout', { timeout: 0 })
      throw mine
    })
    await expect(failing).rejects.toBe(mine)
    expect(await isWritten(7)).toBe(false)
    await recovers()
  })
  it('finds a half-open listening connection, connects anew and wakes; then it hears again', async () => {
    const states: ListenState['state'][] = []
    let woken: () => void = () => undefined
    const wake = (): Promise<void> => new Promise((resolve) => (woken = resolve))
    open({
      heartbeatMs: 100,
      answerWithinMs: 200,
      onListenState: ({ state }) => states.push(state),
      listener: () => new Client({ host: proxy.host, port: proxy.port, user: 'postgres', database: 'postgres' }),
    })
    await driver.listen('orders', () => woken())
    await proxy.toxic('timeout', { timeout: 0 })
    const from = states.length
    // What is said now is lost, and nobody notices: only the heartbeat does.
    await straight.query(`select pg_notify('orders', '')`)
    while (!states.slice(from).includes('lost')) await new Promise((resolve) => setTimeout(resolve, 10))
    const again = wake()
    await proxy.mend()
    await again
    const heard = wake()
    await straight.query(`select pg_notify('orders', '')`)
    await heard
    await expect.poll(() => states.at(-1)).toBe('listening')
  })
})
