import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { inTransaction } from '../../../src/adapters/sqlite/index.ts'
import { detached } from '../../../src/core/async-context.ts'
import { isFairleadError } from '../../../src/errors/index.ts'
import { fakeClock } from '../../../src/testing/fake-clock.ts'
import { type Driver, engines, type Handle, temporaryFolder } from './engines.ts'

type Tx = Parameters<Parameters<Driver['transaction']>[0]>[0]

const codeOf = async (work: Promise<unknown>): Promise<string> => {
  try {
    await work
    return 'no error'
  } catch (error) {
    return isFairleadError(error) ? `${error.code} ${error.effect}` : `foreign: ${String(error)}`
  }
}

describe.each(engines)('a driver over $name', (engine) => {
  const folderOf = (): string => {
    const folder = temporaryFolder()
    onTestFinished(folder.remove)
    return join(folder.path, 'test.db')
  }
  const opened = (path: string): Handle => {
    const handle = engine.open(path)
    onTestFinished(() => {
      try {
        handle.close()
      } catch {
        // The test has done so.
      }
    })
    return handle
  }
  const setUp = (options?: Parameters<typeof engine.driver>[1]) => {
    const path = folderOf()
    const handle = opened(path)
    handle.exec('create table t (a integer primary key, b)')
    const driver = engine.driver(handle, options)
    const numbers = async (): Promise<unknown> => (await driver.execute('select a from t order by a', [])).rows
    return { path, handle, driver, numbers }
  }
  const add = (tx: Tx, a: number): unknown => tx.prepare('insert into t (a) values (?)').run(a)

  it('commits what resolves, and rolls back what rejects, with the very same error', async () => {
    const { driver, numbers } = setUp()
    expect(
      await driver.transaction(async (tx) => {
        add(tx, 1)
        await driver.query(tx, 'insert into t (a) values (?)', [2])
        return 'done'
      }),
    ).toBe('done')
    const mine = new TypeError('mine')
    await expect(
      driver.transaction(async (tx) => {
        add(tx, 3)
        throw mine
      }),
    ).rejects.toBe(mine)
    expect(await numbers()).toEqual([{ a: 1 }, { a: 2 }])
  })

  it('lets transactions of asynchronous work take turns, in the order in which they came', async () => {
    const { driver, numbers } = setUp()
    const seen: string[] = []
    const turn = (name: string) =>
      driver.transaction(async (tx) => {
        seen.push(`${name} in`)
        add(tx, seen.length)
        for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve))
        seen.push(`${name} out`)
        if (name === 'b') throw new Error('b fails')
      })
    const all = Promise.allSettled(['a', 'b', 'c'].map(turn))
    const between = numbers()
    const written = driver.execute('insert into t (a) values (100)', [])
    const last = turn('d')
    await all
    await Promise.all([last, written])
    expect(seen).toEqual(['a in', 'a out', 'b in', 'b out', 'c in', 'c out', 'd in', 'd out'])
    // What only reads waits for the transaction that is open, and for none of those that wait themselves.
    expect(await between).toEqual([{ a: 1 }])
    expect(await numbers()).toEqual([{ a: 1 }, { a: 5 }, { a: 7 }, { a: 100 }])
  })

  it('refuses a transaction or a statement inside another, instead of waiting for ever', async () => {
    const { driver, handle } = setUp()
    const second = engine.driver(handle)
    await driver.transaction(async () => {
      expect(await codeOf(driver.transaction(async () => 1))).toBe('PROGRAMMING_ERROR none')
      expect(await codeOf(driver.execute('select 1', []))).toBe('PROGRAMMING_ERROR none')
      expect(await codeOf(second.transaction(async () => 1))).toBe('PROGRAMMING_ERROR none')
    })
    let later: Promise<unknown> | undefined
    await driver.transaction(async () => {
      later = detached(() => driver.execute('select 1 as one', []))
    })
    expect(await later).toMatchObject({ rows: [{ one: 1 }] })
  })

  it('gives a handle that is of no use after its transaction, not even within the next', async () => {
    const { driver, numbers } = setUp()
    let kept: Tx | undefined
    await driver.transaction(async (tx) => {
      kept = tx
      expect(tx[inTransaction]).toBe(true)
      expect(driver.isTransaction(tx)).toBe(true)
    })
    const old = kept as Tx
    const attempts = async (): Promise<void> => {
      expect(driver.isTransaction(old)).toBe(false)
      expect(await codeOf(driver.query(old, 'insert into t (a) values (7)', []))).toBe('TRANSACTION_REQUIRED none')
      expect(() => old.exec('insert into t (a) values (8)')).toThrow(/TRANSACTION_REQUIRED/)
      expect(() => old.prepare('select 1')).toThrow(/TRANSACTION_REQUIRED/)
    }
    await attempts()
    await driver.transaction(attempts)
    expect(await numbers()).toEqual([])
  })

  it('takes the handle itself for a transaction only while it has one of the caller', async () => {
    const { driver, handle, numbers } = setUp()
    const plain = handle as unknown as Tx
    expect(driver.isTransaction(plain)).toBe(false)
    expect(await codeOf(driver.query(plain, 'select 1', []))).toBe('TRANSACTION_REQUIRED none')
    await driver.transaction(async () => {
      expect(driver.isTransaction(plain)).toBe(false)
      expect(await codeOf(driver.query(plain, 'select 1', []))).toBe('TRANSACTION_REQUIRED none')
    })
    handle.exec('begin')
    expect(driver.isTransaction(plain)).toBe(true)
    await driver.query(plain, 'insert into t (a) values (1)', [])
    handle.exec('rollback')
    expect(await numbers()).toEqual([])
    for (const other of [null, undefined, 1, {}, opened(folderOf())]) expect(driver.isTransaction(other)).toBe(false)
  })

  it('waits for a transaction that the caller began, and not for ever', async () => {
    const clock = fakeClock()
    const { driver, handle, numbers } = setUp({ clock, busyWithinMs: 1_000 })
    handle.exec('begin')
    const refused = codeOf(driver.execute('insert into t (a) values (1)', []))
    await clock.advance(2_000)
    expect(await refused).toBe('TRANSACTION_CONFLICT none')
    const waiting = driver.transaction(async (tx) => add(tx, 2))
    await clock.advance(100)
    handle.exec('commit')
    await clock.advance(100)
    await waiting
    expect(await numbers()).toEqual([{ a: 2 }])
  })

  it('tells work that ended its transaction itself', async () => {
    const { driver, numbers } = setUp()
    expect(
      await codeOf(
        driver.transaction(async (tx) => {
          tx.exec('commit')
        }),
      ),
    ).toBe('PROGRAMMING_ERROR none')
    expect(
      await codeOf(
        driver.transaction(async (tx) => {
          tx.exec('rollback')
          add(tx, 1)
        }),
      ),
    ).toBe('PROGRAMMING_ERROR none')
    expect(await codeOf(driver.execute('begin', []))).toBe('PROGRAMMING_ERROR none')
    expect(await numbers()).toEqual([])
  })

  it('carries values as they are', async () => {
    const { driver } = setUp()
    const echo = async (value: unknown): Promise<unknown> =>
      (await driver.execute('select ? as v', [value])).rows[0]?.['v']
    const values = [null, '', 'zwölf \u{1F41F}', 0, -1, 2 ** 53 - 1, 1.5, 2n ** 63n - 1n, -(2n ** 63n)]
    for (const value of values) expect(await echo(value)).toEqual(value)
    expect(await echo(7n)).toBe(7)
    expect(await echo(true)).toBe(1)
    expect(await echo(undefined)).toBe(null)
    expect((await driver.execute('select typeof(?) as v', [2 ** 40])).rows).toEqual([{ v: 'integer' }])
    const bytes = new Uint8Array(Array.from({ length: 300 }, (_, i) => i)).subarray(3)
    for (const each of [bytes, Buffer.from(bytes), new Uint8Array(0), new TextEncoder().encode('')]) {
      const back = (await echo(each)) as Uint8Array
      expect(back).toBeInstanceOf(Uint8Array)
      expect([...back]).toEqual([...each])
    }
    for (const bad of ['a\0b', 2n ** 63n, ['a'], {}, new Date(0), () => 1, Symbol('s')])
      expect(await codeOf(echo(bad))).toBe('INVALID_INPUT none')
  })

  it('says how many rows a statement has changed, and gives what it returns', async () => {
    const { driver } = setUp()
    expect(await driver.execute('insert into t (a) values (1), (2), (3)', [])).toEqual({ rows: [], affected: 3 })
    expect(await driver.execute('update t set b = ? where a > ? returning a, b', ['x', 1])).toMatchObject({
      rows: [
        { a: 2, b: 'x' },
        { a: 3, b: 'x' },
      ],
      affected: 2,
    })
    expect((await driver.execute('delete from t', [])).affected).toBe(3)
    expect((await driver.execute('delete from t', [])).affected).toBe(0)
    for (let i = 0; i < 500; i++) await driver.execute(`select ${i} as i`, [])
    expect((await driver.execute('select 7 as i', [])).rows).toEqual([{ i: 7 }])
  })

  it('waits for another connection that writes, and says what became of it when that takes too long', async () => {
    const clock = fakeClock()
    const { driver, path, numbers } = setUp({ clock, busyWithinMs: 1_000 })
    const other = opened(path)
    other.exec('begin immediate')
    for (const attempt of [
      () => driver.transaction(async (tx) => add(tx, 1)),
      () => driver.execute('delete from t', []),
    ]) {
      const refused = codeOf(attempt())
      await clock.advance(1_500)
      expect(await refused).toBe('TRANSACTION_CONFLICT none')
    }
    const waiting = driver.transaction(async (tx) => add(tx, 2))
    await clock.advance(50)
    // Readers do not wait, not even for those of the same handle that do.
    expect(await numbers()).toEqual([])
    await clock.advance(500)
    other.exec('commit')
    await clock.advance(100)
    await waiting
    expect(await numbers()).toEqual([{ a: 2 }])
    expect(clock.pending).toBe(0)
  })

  it('does not block for as long as the handle is set to, and leaves its setting as it was', async () => {
    const { handle, driver, path } = setUp({ busyWithinMs: 1 })
    handle.exec('pragma busy_timeout = 60000')
    const other = opened(path)
    other.exec('begin immediate')
    expect(await codeOf(driver.transaction(async (tx) => add(tx, 1)))).toBe('TRANSACTION_CONFLICT none')
    expect(handle.prepare('pragma busy_timeout').get()).toMatchObject({ timeout: 60_000 })
    other.exec('commit')
  }, 30_000)

  it('keeps a transaction whose COMMIT meets readers, where there is no WAL', async () => {
    const path = folderOf()
    const handle = opened(path)
    handle.exec('pragma journal_mode = delete')
    handle.exec('create table t (a integer primary key, b)')
    const clock = fakeClock()
    const driver = engine.driver(handle, { clock, busyWithinMs: 1_000 })
    const reader = opened(path)
    reader.exec('pragma journal_mode = delete')
    reader.exec('begin')
    reader.prepare('select * from t').all()
    const refused = codeOf(driver.transaction(async (tx) => add(tx, 1)))
    await clock.advance(1_500)
    expect(await refused).toBe('TRANSACTION_CONFLICT none')
    const waiting = driver.transaction(async (tx) => add(tx, 2))
    await clock.advance(100)
    reader.exec('commit')
    await clock.advance(100)
    await waiting
    expect((await driver.execute('select a from t', [])).rows).toEqual([{ a: 2 }])
  })

  it('does not wait for its turn without end', async () => {
    const clock = fakeClock()
    const { driver, numbers } = setUp({ clock, turnWithinMs: 1_000 })
    let end = (): void => {}
    const long = driver.transaction(() => new Promise<void>((resolve) => (end = resolve)))
    const refused = codeOf(driver.execute('select 1', []))
    const served = driver.transaction(async (tx) => {
      add(tx, 1)
    })
    const both = codeOf(served)
    await clock.advance(1_000)
    expect(await refused).toBe('SELF_EXHAUSTED none')
    expect(await both).toBe('SELF_EXHAUSTED none')
    end()
    await long
    expect(await numbers()).toEqual([])
    expect(clock.pending).toBe(0)
  })

  it('undoes everything when the disk is full, also where the work swallowed it', async () => {
    const { driver, handle, numbers } = setUp()
    await driver.execute('insert into t (a) values (1)', [])
    const { page_count } = handle.prepare('pragma page_count').get() as { readonly page_count: number }
    handle.exec(`pragma max_page_count = ${Number(page_count) + 2}`)
    const fill = (tx: Tx, a: number): unknown =>
      tx.prepare('insert into t (a, b) values (?, ?)').run(a, new Uint8Array(50_000))
    const error: unknown = await driver.transaction(async (tx) => fill(tx, 2)).catch((error) => error)
    expect(error).toMatchObject({ code: 'SELF_EXHAUSTED', effect: 'none', transient: true, transport: 'sqlite' })
    expect(String(error)).toMatch(/the disk is full/)
    const swallowed = await codeOf(
      driver.transaction(async (tx) => {
        add(tx, 3)
        try {
          fill(tx, 4)
        } catch {
          // As work may do.
        }
        add(tx, 5)
      }),
    )
    // SQLite decides whether the statement or the whole transaction is undone; never is a part committed on its own.
    expect(['PROGRAMMING_ERROR none', 'no error']).toContain(swallowed)
    handle.exec('pragma max_page_count = 1000000')
    expect(await numbers()).toEqual(swallowed === 'no error' ? [{ a: 1 }, { a: 3 }, { a: 5 }] : [{ a: 1 }])
  })

  it('classifies errors of the database, those of the work as well, and gives a free handle on', async () => {
    const { driver, numbers } = setUp()
    await driver.execute('insert into t (a) values (1)', [])
    expect(await codeOf(driver.execute('insert into t (a) values (1)', []))).toBe('CONFLICT none')
    expect(await codeOf(driver.transaction(async (tx) => add(tx, 1)))).toBe('CONFLICT none')
    await driver.transaction(async (tx) => {
      expect(await codeOf(driver.query(tx, 'insert into t (a) values (1)', []))).toBe('CONFLICT none')
      add(tx, 2)
    })
    expect(await numbers()).toEqual([{ a: 1 }, { a: 2 }])
  })

  it('says that the handle is closed', async () => {
    const { driver, handle } = setUp()
    handle.close()
    expect(await codeOf(driver.execute('select 1', []))).toBe('SHUTDOWN none')
    expect(await codeOf(driver.transaction(async () => 1))).toBe('SHUTDOWN none')
  })

  it('passes on what the package has besides, bound to the handle', async () => {
    const { driver, handle } = setUp()
    const own = handle as unknown as Record<string, unknown>
    own['mine'] = { of: 'the user' }
    await driver.transaction(async (tx) => {
      const seen = tx as unknown as Record<string, unknown>
      expect(seen['mine']).toBe(own['mine'])
      expect('prepare' in tx).toBe(true)
      expect(tx).toBeInstanceOf((handle as object).constructor)
    })
  })
})

it.each([
  [{ busyWithinMs: 0 }, /busyWithinMs/],
  [{ turnWithinMs: -1 }, /turnWithinMs/],
  [{ busy: 1 }, /busy/],
])('refuses %j', (options, words) => {
  const folder = temporaryFolder()
  onTestFinished(folder.remove)
  const [engine] = engines
  const handle = engine?.open(join(folder.path, 'a.db')) as Handle
  onTestFinished(() => handle.close())
  expect(() => engine?.driver(handle, options as never)).toThrow(words)
  expect(() => engine?.driver({} as never)).toThrow(/handle/)
  expect(() => engine?.driver(null as never)).toThrow(/handle/)
})
