import { describe, expect, it } from 'vitest'
import { pgDriver } from '../../../src/adapters/postgres/index.ts'
import { fakeClock } from '../../../src/testing/fake-clock.ts'
import { databaseError, done, FakeClient, fakePool } from './fake-pool.ts'

const never = new Promise<never>(() => undefined)
const lost = (): Error => new Error('Connection terminated unexpectedly')

describe('single statements', () => {
  it('gives the client back as it was, with no listener left on it', async () => {
    const client = new FakeClient(() => ({ rows: [{ a: 1 }], rowCount: 1, command: 'SELECT' }))
    expect(await pgDriver(fakePool(client)).execute('select 1', [])).toEqual({ rows: [{ a: 1 }], affected: 1 })
    expect(client.released).toEqual([undefined])
    expect(client.listenerCount('error')).toBe(0)
  })
  it('a server that lets us in and shuts down in one breath ends a statement, and not the process', async () => {
    const client = new FakeClient(() => lost())
    type Done = (error: unknown, client?: FakeClient) => void
    // As pg-pool does it: its own listener is off when it calls back, and the same packet goes on to say that the server shuts down.
    const connect = (done?: Done): Promise<FakeClient> => {
      if (done === undefined) {
        const taken = Promise.resolve(client)
        client.breaks(databaseError('57P01', 'terminating connection due to administrator command', 'FATAL'))
        return taken
      }
      done(undefined, client)
      client.breaks(databaseError('57P01', 'terminating connection due to administrator command', 'FATAL'))
      return undefined as never
    }
    const asked = pgDriver({ connect }).execute('select 1', [])
    await expect(asked).rejects.toMatchObject({ code: 'CONNECTION_LOST' })
    expect(client.released).toEqual([true])
    expect(client.listenerCount('error')).toBe(0)
  })
  it('a pool that has no connection to give says why', async () => {
    const connect = (done?: (error: unknown) => void): Promise<FakeClient> => {
      done?.(new Error('timeout exceeded when trying to connect'))
      return undefined as never
    }
    await expect(pgDriver({ connect }).execute('select 1', [])).rejects.toMatchObject({
      code: 'SELF_EXHAUSTED',
      effect: 'none',
    })
  })
  it('keeps the connection after a refused statement, and closes it after anything else', async () => {
    const errors = [databaseError('23505'), databaseError('57P01', 'bye', 'FATAL'), lost(), new TypeError('circular')]
    const effects: unknown[] = []
    const released: unknown[] = []
    for (const error of errors) {
      const client = new FakeClient(() => error)
      await pgDriver(fakePool(client))
        .execute('insert', [])
        .catch((failure) => effects.push([failure.code, failure.effect]))
      released.push(...client.released)
    }
    expect(effects).toEqual([
      ['CONFLICT', 'none'],
      ['CONNECTION_LOST', 'unknown'],
      ['CONNECTION_LOST', 'unknown'],
      ['PROGRAMMING_ERROR', 'unknown'],
    ])
    expect(released).toEqual([undefined, true, true, true])
  })
  it('gives up a connection that does not answer', async () => {
    const clock = fakeClock()
    const client = new FakeClient(() => never)
    const asked = pgDriver(fakePool(client), { clock, answerWithinMs: 1_000 }).execute('select 1', [])
    const failing = expect(asked).rejects.toMatchObject({ code: 'TIMED_OUT', effect: 'unknown', transport: 'postgres' })
    await clock.advance(999)
    expect(client.released).toEqual([])
    await clock.advance(1)
    await failing
    expect(client.released).toEqual([true])
    expect(clock.pending).toBe(0)
  })
  it('waits for a connection for so long, and gives one back that comes too late', async () => {
    const clock = fakeClock()
    const client = new FakeClient(() => undefined)
    let give: (client: FakeClient) => void = () => undefined
    const pool = { connect: () => new Promise<FakeClient>((resolve) => (give = resolve)) }
    const asked = pgDriver(pool, { clock, connectWithinMs: 50 }).execute('select 1', [])
    const failing = expect(asked).rejects.toMatchObject({ code: 'CONNECT_TIMEOUT', effect: 'none' })
    await clock.advance(50)
    await failing
    give(client)
    await clock.advance(0)
    expect(client.released).toEqual([undefined])
    expect(client.seen).toEqual([])
  })
  it('does not use a connection that was given back in the middle of a transaction', async () => {
    const leaked = new FakeClient(() => undefined)
    leaked.status = 'T'
    const clean = new FakeClient(() => undefined)
    await pgDriver(fakePool(leaked, clean)).execute('insert', [])
    expect(leaked.released).toEqual([true])
    expect(leaked.seen).toEqual([])
    expect(clean.seen).toEqual(['insert'])
    // A pool that has nothing else does not keep us busy for ever.
    const failing = pgDriver(fakePool(leaked)).execute('insert', [])
    await expect(failing).rejects.toMatchObject({ code: 'PROGRAMMING_ERROR', effect: 'none' })
  })
})

describe('transactions', () => {
  it('commits and gives back what the work gave', async () => {
    const client = new FakeClient(() => undefined)
    const driver = pgDriver(fakePool(client))
    const result = await driver.transaction(async (tx) => {
      expect(driver.isTransaction(tx)).toBe(true)
      await driver.query(tx, 'insert', [])
      return 7
    })
    expect(result).toBe(7)
    expect(client.seen).toEqual(['begin', 'insert', 'commit'])
    expect(client.released).toEqual([undefined])
    expect(client.listenerCount('error') + client.connection.listenerCount('errorMessage')).toBe(0)
    expect(driver.isTransaction(client)).toBe(false)
  })
  it('stays committed when the work has given the client back itself', async () => {
    const client = new FakeClient(() => undefined)
    client.release = () => {
      throw new Error('Release called on client which has already been released to the pool.')
    }
    expect(await pgDriver(fakePool(client)).transaction(async () => 7)).toBe(7)
  })
  it('rolls back, and lets what the work threw out untouched', async () => {
    const client = new FakeClient(() => undefined)
    const mine = Object.assign(new Error('no stock'), { name: 'OutOfStock' })
    await expect(pgDriver(fakePool(client)).transaction(() => Promise.reject(mine))).rejects.toBe(mine)
    expect(client.seen).toEqual(['begin', 'rollback'])
    expect(client.released).toEqual([undefined])
  })
  it('says why it failed, not that the ROLLBACK failed too, and closes the connection then', async () => {
    const client = new FakeClient((text) => (text === 'rollback' ? lost() : undefined))
    const mine = new Error('no stock')
    await expect(pgDriver(fakePool(client)).transaction(() => Promise.reject(mine))).rejects.toBe(mine)
    expect(client.released).toEqual([true])
  })
  it('does not wait for ever for a ROLLBACK', async () => {
    const clock = fakeClock()
    const client = new FakeClient((text) => (text === 'rollback' ? never : undefined))
    const mine = new Error('no stock')
    const failing = expect(pgDriver(fakePool(client), { clock }).transaction(() => Promise.reject(mine))).rejects.toBe(
      mine,
    )
    await clock.advance(5_000)
    await failing
    expect(client.released).toEqual([true])
  })
  it.each([
    ['the connection breaks during COMMIT', lost(), 'CONNECTION_LOST', 'unknown', true],
    [
      'the server is shut down during COMMIT',
      databaseError('57P01', 'bye', 'FATAL'),
      'CONNECTION_LOST',
      'unknown',
      true,
    ],
    ['COMMIT is refused', databaseError('40001'), 'TRANSACTION_CONFLICT', 'none', undefined],
    ['a deferred constraint fails at COMMIT', databaseError('23503'), 'CONFLICT', 'none', undefined],
  ])('when %s: exact effect', async (_, error, code, effect, destroyed) => {
    const client = new FakeClient((text) => (text === 'commit' ? error : undefined))
    await expect(pgDriver(fakePool(client)).transaction(async () => 1)).rejects.toMatchObject({ code, effect })
    expect(client.released).toEqual([destroyed])
  })
  it('gives a COMMIT that is never answered up, effect unknown', async () => {
    const clock = fakeClock()
    const client = new FakeClient((text) => (text === 'commit' ? never : undefined))
    const failing = expect(
      pgDriver(fakePool(client), { clock, answerWithinMs: 100 }).transaction(async () => 1),
    ).rejects.toMatchObject({ code: 'TIMED_OUT', effect: 'unknown' })
    await clock.advance(100)
    await failing
    expect(client.released).toEqual([true])
  })
  it.each([
    ['BEGIN is never answered', 'begin'],
    ['a statement loses the connection', 'insert'],
  ])('when %s: nothing was done, since COMMIT was never sent', async (_, where) => {
    const clock = fakeClock()
    const client: FakeClient = new FakeClient((text) => {
      if (text !== where) return undefined
      if (where === 'begin') return never
      const error = lost()
      client.breaks(error)
      return error
    })
    const driver = pgDriver(fakePool(client), { clock, answerWithinMs: 100 })
    const failing = expect(driver.transaction(async (tx) => tx.query({ text: 'insert' }))).rejects.toMatchObject({
      transient: true,
      effect: 'none',
    })
    await clock.advance(100)
    await failing
    expect(client.released).toEqual([true])
  })
  it('classifies what the database said to a statement of the work itself', async () => {
    const client = new FakeClient((text) => (text === 'insert' ? databaseError('40P01') : undefined))
    const failing = pgDriver(fakePool(client)).transaction((tx) => tx.query({ text: 'insert' }))
    await expect(failing).rejects.toMatchObject({ code: 'TRANSACTION_CONFLICT', effect: 'none', retryable: true })
    expect(client.released).toEqual([undefined])
  })
  it('knows nothing of what became of another connection that the work used', async () => {
    const client = new FakeClient(() => undefined)
    const failing = pgDriver(fakePool(client)).transaction(() => Promise.reject(lost()))
    await expect(failing).rejects.toMatchObject({ code: 'CONNECTION_LOST', effect: 'unknown' })
    expect(client.released).toEqual([undefined])
  })
  it('notices that the connection broke while the work did something else', async () => {
    const client = new FakeClient(() => undefined)
    const failing = pgDriver(fakePool(client)).transaction(async () => client.breaks(lost()))
    await expect(failing).rejects.toMatchObject({ code: 'CONNECTION_LOST', effect: 'none' })
    expect(client.seen).toEqual(['begin'])
    expect(client.released).toEqual([true])
  })
  it.each([true, false])(
    'does not say committed what PostgreSQL rolled back for a swallowed failure (status known: %s)',
    async (known) => {
      const client = new FakeClient((text) => {
        if (text === 'insert') return databaseError('23505')
        return text === 'commit' ? done('ROLLBACK') : undefined
      })
      // An older pg cannot say in which state the transaction is: then only the answer to COMMIT does.
      if (!known) Object.defineProperty(client, 'getTransactionStatus', { value: undefined })
      const failing = pgDriver(fakePool(client)).transaction(async (tx) => {
        await tx.query({ text: 'insert' }).catch(() => undefined)
      })
      const what = { code: 'PROGRAMMING_ERROR', effect: 'none', message: expect.stringContaining('swallowed') }
      await expect(failing).rejects.toMatchObject(what)
      expect(client.seen).toEqual(['begin', 'insert', known ? 'rollback' : 'commit'])
      expect(client.released).toEqual([known ? undefined : true])
    },
  )
  it('is refused inside another one of the same driver, and not beside or after it', async () => {
    const clients = [1, 2, 3].map(() => new FakeClient(() => undefined))
    const driver = pgDriver(fakePool(...clients))
    let later: (() => Promise<number>) | undefined
    const nested = driver.transaction(async () => {
      later = () => driver.transaction(async () => 3)
      await driver.transaction(async () => 1)
    })
    await expect(nested).rejects.toMatchObject({ code: 'PROGRAMMING_ERROR', effect: 'none' })
    expect(await Promise.all([driver.transaction(async () => 1), driver.transaction(async () => 2)])).toEqual([1, 2])
    expect(await later?.()).toBe(3)
  })
  it('refuses a statement without a transaction', async () => {
    const client = new FakeClient(() => undefined)
    const driver = pgDriver(fakePool(client))
    const ended = await driver.transaction(async (tx) => tx)
    await expect(driver.query(ended, 'insert', [])).rejects.toMatchObject({
      code: 'TRANSACTION_REQUIRED',
      effect: 'none',
    })
    for (const other of [undefined, null, 7, {}, { query() {}, totalCount: 1, release() {} }, { query() {} }])
      expect(driver.isTransaction(other)).toBe(false)
    // The user's own BEGIN counts, also when it failed since.
    client.status = 'E'
    expect(driver.isTransaction(client)).toBe(true)
    // One that cannot say is believed if it is a client.
    expect(driver.isTransaction({ query() {}, release() {} })).toBe(true)
  })
})

describe('options', () => {
  it('are checked', () => {
    const pool = fakePool()
    expect(() => pgDriver(pool, { answerWithinMs: 0 })).toThrow(/answerWithinMs/)
    expect(() => pgDriver(pool, { heartBeatMs: 1 } as object)).toThrow(/heartBeatMs/)
    expect(() => pgDriver({} as typeof pool)).toThrow(/Pool/)
  })
})
