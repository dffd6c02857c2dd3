// The driver on a real server: values, transactions, what it makes of sessions that somebody has changed.
import { createPool } from 'mysql2'
import { createPool as createPromisePool } from 'mysql2/promise'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { classifyMysql, mysql2Driver, type RunOptions } from '../../../src/adapters/mysql/index.ts'
import { detached } from '../../../src/core/index.ts'
import { isFairleadError } from '../../../src/errors/index.ts'
import { type MariadbLab, mariadbAddress, mariadbLab } from './mariadb-lab.ts'

let lab: MariadbLab
beforeAll(async () => {
  lab = await mariadbLab()
  await lab.pool.query('create table t (n int primary key, x longtext) engine=InnoDB default charset utf8mb4')
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
const numbers = async () => (await lab.driver.execute('select n from t order by n', [])).rows.map(({ n }) => n)
const clear = () => lab.pool.query('delete from t')

describe('values', () => {
  const hostile = `it's "ä" \\ \\' 😀 \0 \n ; -- ? # /* %`
  const everything = new Uint8Array(Array.from({ length: 256 }, (_, n) => n))

  it.each([
    ['as they come', {}, ''],
    [
      'rounding numbers, dates as dates, rows as arrays',
      { supportBigNumbers: false, rowsAsArray: true, decimalNumbers: true },
      '',
    ],
    ['a connection in latin1', { charset: 'LATIN1_SWEDISH_CI' }, ''],
    ['backslashes that mean nothing', {}, "set session sql_mode = 'NO_BACKSLASH_ESCAPES,ANSI_QUOTES'"],
    ['oracle words', {}, "set session sql_mode = 'ORACLE'"],
    ['another time zone', { timezone: '+05:00' }, "set session time_zone = '-08:00'"],
    ['named places', { namedPlaceholders: true }, ''],
  ])('come back as they are: %s', async (_, options, setting) => {
    const pool = lab.newPool({ ...options, connectionLimit: 1 })
    if (setting !== '') await pool.query(setting)
    const driver = mysql2Driver(pool)
    const { rows, affected } = await driver.execute(
      `select ? as bytes, cast(? as binary) as text, ? as plain, ? as number, ? as yes, ? as nothing, ? as big, ? as bigger, -9223372036854775808 as least,
       cast('2026-01-02 03:04:05' as datetime) as at, ? as empty, ? as none, '?' as quoted -- ?
       /* ? */`,
      [
        everything,
        hostile,
        'plain text',
        1.5,
        true,
        null,
        9007199254740993n,
        '18446744073709551615',
        '',
        new Uint8Array(),
      ],
    )
    expect(affected).toBe(1)
    const row = rows[0] as Record<string, unknown>
    expect(Buffer.from(row['bytes'] as Uint8Array)).toEqual(Buffer.from(everything))
    expect(Buffer.from(row['text'] as Uint8Array).toString('utf8')).toBe(hostile)
    expect({ ...row, bytes: undefined, text: undefined, none: Buffer.from(row['none'] as Uint8Array).length }).toEqual({
      bytes: undefined,
      text: undefined,
      plain: 'plain text',
      number: '1.5',
      yes: 1,
      nothing: null,
      big: 9007199254740993n,
      bigger: '18446744073709551615',
      least: -9223372036854775808n,
      at: '2026-01-02 03:04:05',
      empty: '',
      none: 0,
      quoted: '?',
    })
  })
  it('refuses what no statement can carry, before anything is sent', async () => {
    for (const value of [undefined, {}, [], Symbol('x'), () => 1, Number.NaN, new Date(0)])
      expect(await rejection(lab.driver.execute('select ?', [value]))).toMatchObject({
        code: 'PROGRAMMING_ERROR',
        effect: 'none',
      })
    expect(await rejection(lab.driver.execute('select ?, ?', [1]))).toMatchObject({ code: 'PROGRAMMING_ERROR' })
    expect(await rejection(lab.driver.execute('select ?', [1, 2]))).toMatchObject({ code: 'PROGRAMMING_ERROR' })
  })
})

describe('transactions', () => {
  it('commits, rolls back, rejects with the very same error, and gives connections back', async () => {
    await clear()
    const driver = lab.newDriver({ connectionLimit: 1 })
    expect(
      await driver.transaction(async (tx) => {
        await driver.query(tx, 'insert into t (n) values (?)', [1])
        expect(driver.isTransaction(tx)).toBe(true)
        return 'done'
      }),
    ).toBe('done')
    const mine = new Error('mine')
    expect(
      await rejection(
        driver.transaction(async (tx) => {
          await tx.query('insert into t (n) values (2)')
          throw mine
        }),
      ),
    ).toBe(mine)
    expect(await numbers()).toEqual([1])
  })
  it('classifies what the database says, with effect none', async () => {
    const error = await rejection(lab.driver.transaction((tx) => tx.query('insert into t (n) values (1)')))
    expect(error).toMatchObject({
      code: 'CONFLICT',
      effect: 'none',
      transport: 'mysql',
      details: { errno: 1062, sqlState: '23000' },
    })
    expect((error as Error).message).not.toContain("'1'")
  })
  it('refuses one inside another, and allows it detached', async () => {
    const driver = lab.newDriver()
    const error = await rejection(driver.transaction(() => driver.transaction(async () => 1)))
    expect(error).toMatchObject({ code: 'PROGRAMMING_ERROR', effect: 'none' })
    expect(await driver.transaction(() => detached(() => driver.transaction(async () => 1)))).toBe(1)
  })
  it.each([
    ['COMMIT', 'commit'],
    ['ROLLBACK', 'rollback'],
    ['a statement that commits by itself', 'create table if not exists by_itself (n int)'],
  ])('notices %s in the work', async (_, statement) => {
    expect(await rejection(lab.driver.transaction((tx) => tx.query(statement)))).toMatchObject({
      code: 'PROGRAMMING_ERROR',
      effect: 'unknown',
    })
  })
  it('notices a deadlock that was swallowed: the server has rolled everything back', async () => {
    await clear()
    await lab.pool.query('insert into t (n) values (1), (2)')
    const driver = lab.newDriver()
    let arrived = 0
    let go: () => void = () => undefined
    const both = new Promise<void>((resolve) => {
      go = resolve
    })
    const one = (first: number, second: number) =>
      driver.transaction(async (tx) => {
        await tx.query(`update t set x = '${first}' where n = ${first}`)
        if (++arrived === 2) go()
        await both
        await tx.query(`update t set x = '${first}' where n = ${second}`).catch(() => undefined)
        await tx.query(`insert into t (n) values (${10 + first})`)
      })
    const ends = await Promise.allSettled([one(1, 2), one(2, 1)])
    const failed = ends.filter((end) => end.status === 'rejected')
    expect(failed).toHaveLength(1)
    expect(failed[0]?.reason).toMatchObject({ code: 'PROGRAMMING_ERROR', effect: 'unknown' })
  })
  it('notices at its next statement that the transaction is over', async () => {
    const driver = lab.newDriver()
    const error = await rejection(
      driver.transaction(async (tx) => {
        await tx.query('rollback')
        await driver.query(tx, 'update t set x = x', [])
      }),
    )
    expect(error).toMatchObject({ code: 'TRANSACTION_REQUIRED', effect: 'unknown' })
  })
  it('says of a deadlock that nothing was done, and that it may be run again', async () => {
    await clear()
    await lab.pool.query('insert into t (n) values (1), (2)')
    let arrived = 0
    let go: () => void = () => undefined
    const both = new Promise<void>((resolve) => {
      go = resolve
    })
    const one = (first: number, second: number) =>
      lab.driver.transaction(async (tx) => {
        await tx.query(`update t set x = '1' where n = ${first}`)
        if (++arrived === 2) go()
        await both
        await tx.query(`update t set x = '1' where n = ${second}`)
      })
    const failed = (await Promise.allSettled([one(1, 2), one(2, 1)])).filter((end) => end.status === 'rejected')
    expect(failed).toHaveLength(1)
    expect(failed[0]?.reason).toMatchObject({ code: 'TRANSACTION_CONFLICT', effect: 'none', transient: true })
  })
  it('knows transactions from what is none', async () => {
    const { driver, pool } = lab
    for (const each of [pool, {}, null, undefined, 1, 'tx']) {
      expect(driver.isTransaction(each)).toBe(false)
      expect(await rejection(driver.query(each as never, 'select 1', []))).toMatchObject({
        code: 'TRANSACTION_REQUIRED',
      })
    }
    const connection = await pool.getConnection()
    // It may have one: only the server knows.
    expect(driver.isTransaction(connection)).toBe(true)
    expect(await driver.inTransaction(connection)).toBe(false)
    expect(await rejection(driver.query(connection, 'insert into t (n) values (99)', []))).toMatchObject({
      code: 'TRANSACTION_REQUIRED',
      effect: 'none',
    })
    expect(await numbers()).not.toContain(99)
    await connection.query('start transaction')
    expect(await driver.inTransaction(connection)).toBe(true)
    expect((await driver.query(connection, 'insert into t (n) values (98)', [])).affected).toBe(1)
    await connection.query('rollback')
    await connection.query('set autocommit = 0')
    expect((await driver.query(connection, 'insert into t (n) values (97)', [])).affected).toBe(1)
    await connection.query('rollback')
    await connection.query('set autocommit = 1')
    connection.release()
    expect(driver.isTransaction(connection)).toBe(false)
    let over: unknown
    await driver.transaction(async (tx) => {
      over = tx
    })
    expect(driver.isTransaction(over)).toBe(false)
    expect(await rejection(driver.query(over as never, 'select 1', []))).toMatchObject({ code: 'TRANSACTION_REQUIRED' })
  })
  it('runs at the isolation it is asked for, once', async () => {
    await clear()
    const driver = lab.newDriver({ connectionLimit: 1 })
    let n = 0
    // Whether it sees what was committed after its first look.
    const seesMore = (options?: RunOptions) =>
      driver.transaction(async (tx) => {
        const count = async () => (await driver.query(tx, 'select count(*) as n from t', [])).rows[0]?.['n'] as number
        const before = await count()
        await lab.pool.query(`insert into t (n) values (${++n})`)
        return (await count()) > before
      }, options)
    expect(await seesMore({ isolation: 'read committed' })).toBe(true)
    expect(await seesMore()).toBe(false)
    for (const text of [
      'select 1',
      'do 0',
      'select n from t',
      'selec',
      'select * from not_there',
      'insert into t (n) values (1)',
    ]) {
      await driver.execute(text, [], { isolation: 'read committed' }).catch(() => undefined)
      expect(await seesMore(), text).toBe(false)
    }
  })
})

describe('sessions that somebody has changed', () => {
  it('commits single statements where autocommit is off', async () => {
    await clear()
    const pool = lab.newPool({ connectionLimit: 1 })
    await pool.query('set autocommit = 0')
    const driver = mysql2Driver(pool)
    await driver.execute('insert into t (n) values (1)', [])
    expect(await numbers()).toEqual([1])
    // A snapshot must not outlive its statement.
    expect((await driver.execute('select n from t', [])).rows).toHaveLength(1)
    await lab.driver.execute('insert into t (n) values (2)', [])
    expect((await driver.execute('select n from t', [])).rows).toHaveLength(2)
  })
  it('does not commit into a transaction that somebody left open', async () => {
    await clear()
    const pool = lab.newPool({ connectionLimit: 1 })
    const driver = mysql2Driver(pool)
    // Known from before, so that it is not asked again.
    await driver.execute('select 1', [])
    const leak = await pool.getConnection()
    await leak.query('start transaction')
    await leak.query('insert into t (n) values (50)')
    leak.release()
    await driver.execute('insert into t (n) values (1)', [])
    expect(await numbers()).toEqual([1])
    const again = await pool.getConnection()
    await again.query('start transaction')
    await again.query('insert into t (n) values (51)')
    again.release()
    await driver.execute('insert into t (n) values (2)', [], { isolation: 'read committed' })
    expect(await numbers()).toEqual([1, 2])
  })
})

describe('pools', () => {
  it('refuses what is no pool of promises', () => {
    const { host, port } = mariadbAddress()
    const callbacks = createPool({ host, port, user: 'root' })
    for (const pool of [callbacks, undefined, {}, { query: () => undefined }])
      expect(() => mysql2Driver(pool as never)).toThrow(/INVALID_OPTIONS/)
    expect(() => mysql2Driver(callbacks.promise() as never)).not.toThrow()
    callbacks.end()
  })
  it('says what is wrong with a connection', async () => {
    const { host, port } = mariadbAddress()
    const at = (options: object) => {
      const pool = createPromisePool({ host, port, user: 'root', connectionLimit: 1, ...options })
      return rejection(mysql2Driver(pool).execute('select 1', [])).finally(() => pool.end())
    }
    expect(await at({ user: 'nobody', password: 'wrong' })).toMatchObject({ code: 'UNAUTHENTICATED', effect: 'none' })
    expect(await at({ database: 'not_there' })).toMatchObject({ code: 'NOT_FOUND', effect: 'none' })
    expect(await at({ port: 1 })).toMatchObject({ code: 'CONNECTION_REFUSED', effect: 'none' })
    expect(await at({ ssl: {} })).toMatchObject({ code: 'TLS_FAILED', effect: 'none' })
    const pool = createPromisePool({ host, port, user: 'root' })
    await pool.end()
    expect(await rejection(mysql2Driver(pool).execute('select 1', []))).toMatchObject({
      code: 'SHUTDOWN',
      effect: 'none',
    })
    const narrow = createPromisePool({ host, port, user: 'root', connectionLimit: 1, waitForConnections: false })
    const taken = await narrow.getConnection()
    expect(await rejection(mysql2Driver(narrow).execute('select 1', []))).toMatchObject({
      code: 'SELF_EXHAUSTED',
      effect: 'none',
    })
    taken.release()
    await narrow.end()
  })
  it('classifies what the server says of statements', async () => {
    const said = async (sql: string) => {
      const error = await rejection(lab.driver.execute(sql, []))
      return isFairleadError(error) ? `${error.code} ${error.effect}` : error
    }
    expect(await said('select * from not_there')).toBe('NOT_FOUND none')
    expect(await said('select nothing_such from t')).toBe('NOT_FOUND none')
    expect(await said('selec 1')).toBe('BAD_REQUEST none')
    expect(await said('set statement max_statement_time = 0.05 for select sleep(5)')).toBe('TIMED_OUT none')
    expect(await said("signal sqlstate '45000' set message_text = 'no'")).toBe('UNPROCESSABLE none')
    expect(await said('kill connection_id()')).toBe('CONNECTION_LOST unknown')
    expect(classifyMysql(new Error('Pool is closed.'))).toMatchObject({ code: 'SHUTDOWN' })
  })
})
