import { describe, expect, it } from 'vitest'
import { mysql2Driver, mysqlStore } from '../../../src/adapters/mysql/index.ts'
import { fakeClock } from '../../../src/testing/index.ts'
import { fakePool } from './fake-pool.ts'

const never = (): Promise<never> => new Promise(() => undefined)
const rejection = async (work: Promise<unknown>): Promise<unknown> => {
  try {
    await work
  } catch (error) {
    return error
  }
  throw new Error('it did not reject')
}

describe('mysql2Driver', () => {
  it('waits for a connection so long, and gives back one that comes later', async () => {
    const clock = fakeClock()
    const pool = fakePool()
    const given = await pool.getConnection()
    let give: (connection: typeof given) => void = () => undefined
    const driver = mysql2Driver(
      {
        getConnection: () =>
          new Promise<typeof given>((resolve) => {
            give = resolve
          }),
      },
      { clock, connectWithinMs: 500 },
    )
    const error = rejection(driver.execute('select 1', []))
    await clock.advance(500)
    expect(await error).toMatchObject({ code: 'CONNECT_TIMEOUT', effect: 'none', transport: 'mysql' })
    give(given)
    await clock.advance(1)
    expect(given.ended).toBe('released')
  })
  it.each([
    ['START TRANSACTION', 'start transaction', 'none'],
    ['COMMIT', 'commit', 'unknown'],
    ['the look before COMMIT', 'do 0', 'none'],
  ])('gives a connection up that does not answer to %s', async (_, statement, effect) => {
    const clock = fakeClock()
    const pool = fakePool((sql) => (sql === statement || sql === 'rollback' ? never() : undefined))
    const driver = mysql2Driver(pool, { clock, answerWithinMs: 500 })
    const error = rejection(driver.transaction(async () => 'done'))
    await clock.advance(500)
    await clock.advance(5_000)
    expect(await error).toMatchObject({ code: 'TIMED_OUT', effect })
    expect(pool.made.map(({ ended }) => ended)).toEqual(['destroyed'])
  })
  it('waits for the work as long as it takes, and leaves its statements alone', async () => {
    const clock = fakeClock()
    const pool = fakePool()
    const driver = mysql2Driver(pool, { clock, answerWithinMs: 500 })
    let end: (value: string) => void = () => undefined
    const done = driver.transaction(
      () =>
        new Promise<string>((resolve) => {
          end = resolve
        }),
    )
    await clock.advance(60_000)
    end('late')
    expect(await done).toBe('late')
    expect(pool.log).toEqual(['start transaction', 'do 0', 'commit'])
    expect(pool.made.map(({ ended }) => ended)).toEqual(['released'])
  })
  it('gives a connection up that does not answer to a statement of our own transactions, at once', async () => {
    const clock = fakeClock()
    const pool = fakePool((sql) => (sql === 'select 1 for update' ? never() : undefined))
    const driver = mysql2Driver(pool, { clock, answerWithinMs: 500 })
    const error = rejection(driver.transaction((tx) => driver.query(tx, 'select 1 for update', []), { bounded: true }))
    await clock.advance(500)
    expect(await error).toMatchObject({ code: 'TIMED_OUT', effect: 'none', transport: 'mysql' })
    // No ROLLBACK is sent behind it.
    expect(pool.log).toEqual(['start transaction', 'select 1 for update'])
    expect(pool.made.map(({ ended }) => ended)).toEqual(['destroyed'])
  })
  it('ends a lease, and gives its connection up, where the database does not answer', async () => {
    const clock = fakeClock()
    const pool = fakePool((sql) => (/ for update$/.test(sql) ? never() : undefined))
    const store = mysqlStore(mysql2Driver(pool, { clock, answerWithinMs: 500 }), { clock })
    const error = rejection(store.outbox.lease('relay', 10_000))
    await clock.advance(500)
    expect(await error).toMatchObject({ code: 'TIMED_OUT', effect: 'none' })
    expect(pool.made.map(({ ended }) => ended)).toEqual(['destroyed'])
  })
  it('does not send COMMIT over a connection that was lost while the work did something else', async () => {
    const pool = fakePool()
    const driver = mysql2Driver(pool)
    const lost = Object.assign(new Error('Connection lost'), { code: 'PROTOCOL_CONNECTION_LOST' })
    const error = await rejection(
      driver.transaction(async (tx) => {
        tx.emit('error', lost)
      }),
    )
    expect(error).toMatchObject({ code: 'CONNECTION_LOST', effect: 'none', cause: lost })
    expect(pool.log).toEqual(['start transaction'])
    expect(pool.made.map(({ ended }) => ended)).toEqual(['destroyed'])
    expect(pool.made[0]?.listenerCount('error')).toBe(0)
  })
  it('looks elsewhere when a connection was given back in the middle of a transaction, and not for ever', async () => {
    let leaks = 2
    const pool = fakePool((sql) => {
      if (sql.startsWith('set transaction') && leaks-- > 0)
        throw Object.assign(new Error("Transaction characteristics can't be changed"), {
          errno: 1568,
          sqlState: '25001',
        })
      return undefined
    })
    const driver = mysql2Driver(pool)
    expect(await driver.transaction(async () => 1, { isolation: 'read committed' })).toBe(1)
    expect(pool.made.map(({ ended }) => ended)).toEqual(['destroyed', 'destroyed', 'released'])
    leaks = Number.POSITIVE_INFINITY
    expect(await rejection(driver.transaction(async () => 1, { isolation: 'read committed' }))).toMatchObject({
      code: 'PROGRAMMING_ERROR',
      effect: 'none',
    })
  })
  it('ends a session that failed, and with it what it had locked', async () => {
    const pool = fakePool((sql) => {
      if (sql === 'selec') throw Object.assign(new Error('syntax'), { errno: 1064, sqlState: '42000' })
      return undefined
    })
    const driver = mysql2Driver(pool)
    expect(await rejection(driver.session(1_000, (run) => run('selec')))).toMatchObject({ code: 'BAD_REQUEST' })
    expect(await driver.session(1_000, async (run) => (await run('do 1')).affected)).toBe(0)
    expect(pool.made.map(({ ended }) => ended)).toEqual(['destroyed', 'released'])
  })
  it('refuses options that make no sense', () => {
    const pool = fakePool()
    for (const options of [{ connectWithinMs: 0 }, { answerWithinMs: -1 }, { answerWithin: 5 }])
      expect(() => mysql2Driver(pool, options as never)).toThrow(/INVALID_OPTIONS/)
  })
})
