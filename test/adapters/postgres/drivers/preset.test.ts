import { describe, expect, it } from 'vitest'
import { createPreset, type Preset } from '../../../../src/adapters/postgres/drivers/preset.ts'
import {
  drizzleDriver,
  knexDriver,
  kyselyDriver,
  pgliteDriver,
  postgresJsDriver,
  prismaDriver,
  typeormDriver,
} from '../../../../src/adapters/postgres/index.ts'
import { fakeClock } from '../../../../src/testing/fake-clock.ts'
import { databaseError, FakeClient } from '../fake-pool.ts'

interface FakeTx {
  over: boolean
}
const never = new Promise<never>(() => undefined)
const lost = (): Error => new Error('Connection terminated unexpectedly')

/** A driver as they all are: it begins, and commits or rolls back by what the work does. */
const fake = (
  more: Partial<Preset<FakeTx>> = {},
  { commit = async () => undefined as unknown, rollback = async () => undefined as unknown } = {},
) => {
  const seen: string[] = []
  const preset: Preset<FakeTx> = {
    name: 'fakeDriver',
    async begin(work) {
      const tx: FakeTx = { over: false }
      seen.push('begin')
      try {
        const value = await work(tx)
        seen.push('commit')
        await commit()
        return value
      } catch (error) {
        seen.push('rollback')
        await rollback()
        throw error
      } finally {
        tx.over = true
      }
    },
    isOpen: (candidate) => (candidate as FakeTx).over === false,
    async run(_tx, text) {
      seen.push(text)
      return { rows: [], affected: 0 }
    },
    async runAlone(text) {
      seen.push(text)
      return { rows: [], affected: 0 }
    },
    ...more,
  }
  const clock = fakeClock()
  const driver = createPreset(preset, { clock, connectWithinMs: 1_000, answerWithinMs: 2_000 })
  return { driver, clock, seen }
}
const swallow = async (work: Promise<unknown>): Promise<void> => void (await work.catch(() => undefined))

describe('waits', () => {
  it('for a transaction so long; one that comes later is rolled back without its work', async () => {
    let come: () => void = () => undefined
    let worked = false
    const outcomes: unknown[] = []
    const { driver, clock } = fake({
      async begin(work) {
        await new Promise<void>((resolve) => (come = resolve))
        await work({ over: false }).catch((error: Error) => outcomes.push(error.message))
        return undefined as never
      },
    })
    const asked = expect(driver.transaction(async () => (worked = true))).rejects.toMatchObject({
      code: 'CONNECT_TIMEOUT',
      effect: 'none',
    })
    await clock.advance(1_000)
    await asked
    come()
    await clock.advance(0)
    expect(worked).toBe(false)
    expect(outcomes).toEqual(['the transaction came too late'])
    expect(clock.pending).toBe(0)
  })
  it('for the answer to COMMIT so long: nobody knows then', async () => {
    const { driver, clock } = fake({}, { commit: () => never })
    const asked = expect(driver.transaction(async () => 1)).rejects.toMatchObject({
      code: 'TIMED_OUT',
      effect: 'unknown',
      transport: 'postgres',
    })
    await clock.advance(1_999)
    await clock.advance(1)
    await asked
    expect(clock.pending).toBe(0)
  })
  it('not long for a ROLLBACK, and says why there was one', async () => {
    const { driver, clock } = fake({}, { rollback: () => never })
    const mine = new Error('no stock')
    const asked = expect(driver.transaction(() => Promise.reject(mine))).rejects.toBe(mine)
    await clock.advance(5_000)
    await asked
  })
  it('closes the connection of a single statement that is not answered, where it can be reached', async () => {
    const client = Object.assign(new FakeClient(() => never), { ended: 0, end: async () => void client.ended++ })
    const answered = Object.assign(new FakeClient(() => undefined), {
      ended: 0,
      end: async () => void answered.ended++,
    })
    let turn: typeof client = client
    const { driver, clock } = fake({
      async runAlone(text, _params, shown) {
        shown(turn)
        const { rows } = await turn.query({ text })
        return { rows, affected: 0 }
      },
    })
    const asked = expect(driver.execute('select 1', [])).rejects.toMatchObject({ code: 'TIMED_OUT' })
    await clock.advance(2_000)
    await asked
    expect(client.ended).toBe(1)
    turn = answered
    await driver.execute('select 1', [])
    await clock.advance(2_000)
    expect(answered.ended).toBe(0)
  })
  it('runs no single statement over a connection that comes too late', async () => {
    let come: () => void = () => undefined
    const client = new FakeClient(() => undefined)
    const { driver, clock } = fake({
      async runAlone(text, _params, shown) {
        await new Promise<void>((resolve) => (come = resolve))
        shown(client)
        await client.query({ text })
        return { rows: [], affected: 0 }
      },
    })
    const asked = expect(driver.execute('select 1', [])).rejects.toMatchObject({ code: 'TIMED_OUT' })
    await clock.advance(2_000)
    await asked
    come()
    await clock.advance(1)
    expect(client.seen).toEqual([])
  })
  it('for a statement so long', async () => {
    const { driver, clock } = fake({ runAlone: () => never })
    const asked = expect(driver.execute('select 1', [])).rejects.toMatchObject({ code: 'TIMED_OUT', effect: 'unknown' })
    await clock.advance(2_000)
    await asked
  })
  it('as long as it takes for the work', async () => {
    const { driver, clock } = fake()
    let done: (value: number) => void = () => undefined
    const asked = driver.transaction(() => new Promise<number>((resolve) => (done = resolve)))
    await clock.advance(600_000)
    expect(clock.pending).toBe(0)
    done(7)
    expect(await asked).toBe(7)
  })
})

describe('the end of a transaction', () => {
  it.each([
    ['the connection breaks during COMMIT', lost(), 'CONNECTION_LOST', 'unknown'],
    ['the server is shut down during COMMIT', databaseError('57P01', 'bye', 'FATAL'), 'CONNECTION_LOST', 'unknown'],
    ['COMMIT is refused', databaseError('40001'), 'TRANSACTION_CONFLICT', 'none'],
    ['COMMIT is refused by a constraint', databaseError('23503'), 'CONFLICT', 'none'],
  ])('when %s: exact effect', async (_, error, code, effect) => {
    const { driver } = fake({}, { commit: () => Promise.reject(error) })
    await expect(driver.transaction(async () => 1)).rejects.toMatchObject({ code, effect })
  })
  it('is not a success because the driver takes it for one', async () => {
    const { driver } = fake({
      begin: (work) => work({ over: false }).catch(() => undefined as never),
    })
    await expect(driver.transaction(() => Promise.reject(undefined))).rejects.toBe(undefined)
  })
  it('hides nothing of the work behind a ROLLBACK that fails too', async () => {
    const { driver } = fake({}, { rollback: () => Promise.reject(lost()) })
    const mine = new Error('no stock')
    await expect(driver.transaction(() => Promise.reject(mine))).rejects.toBe(mine)
  })
  it('is asked for only where the driver would not tell', async () => {
    const told = fake()
    await told.driver.transaction(async () => 1)
    expect(told.seen).toEqual(['begin', 'commit'])
    const silent = fake({ silentRollback: true })
    await silent.driver.transaction(async () => 1)
    expect(silent.seen).toEqual(['begin', 'select 1', 'commit'])
  })
  it('is seen on the client where there is one: asked for after a refused statement only', async () => {
    const client: FakeClient = new FakeClient((text) =>
      text === 'select 1' && client.status === 'E' ? databaseError('25P02') : undefined,
    )
    const { driver, seen } = fake({ clientOf: () => client as never })
    client.status = 'T'
    await driver.transaction(async () => 1)
    expect(client.seen).toEqual([])
    // A statement was refused behind a savepoint.
    await driver.transaction(async () => void client.connection.emit('errorMessage', databaseError('23505')))
    expect(client.seen).toEqual(['select 1'])
    expect(seen).toEqual(['begin', 'commit', 'begin', 'commit'])
    const failing = driver.transaction(async () => {
      client.status = 'E'
    })
    await expect(failing).rejects.toMatchObject({ code: 'PROGRAMMING_ERROR', effect: 'none' })
    client.status = 'I'
    const ended = driver.transaction(async () => 1)
    await expect(ended).rejects.toMatchObject({ code: 'PROGRAMMING_ERROR', effect: 'unknown' })
    expect(client.listenerCount('error') + client.connection.listenerCount('errorMessage')).toBe(0)
  })
  it('is over for a driver that has given up: nothing is done on its connection any more', async () => {
    let giveUp: (error: Error) => void = () => undefined
    let told = false
    let tx: unknown
    const { driver, seen } = fake({
      endsEarly: true,
      begin: (work) =>
        Promise.race([
          work({ over: false }).then(
            (value) => {
              told = true
              return value
            },
            (error) => {
              told = true
              throw error
            },
          ),
          new Promise<never>((_, reject) => (giveUp = reject)),
        ]),
    })
    let go: () => void = () => undefined
    const failing = driver.transaction(async (own) => {
      tx = own
      await new Promise<void>((resolve) => (go = resolve))
      await driver.query(own, 'insert', []).catch(() => undefined)
    })
    await Promise.resolve()
    giveUp(Object.assign(new Error('write CONNECTION_CLOSED'), { code: 'CONNECTION_CLOSED' }))
    await expect(failing).rejects.toMatchObject({ code: 'CONNECTION_LOST', effect: 'none' })
    expect(driver.isTransaction(tx)).toBe(false)
    go()
    await new Promise((resolve) => setImmediate(resolve))
    expect(told).toBe(false)
    expect(seen).toEqual([])
  })
})

describe('a connection error that comes out of the work', () => {
  it('did nothing if it is ours that is lost', async () => {
    const { driver } = fake({ run: () => Promise.reject(lost()) })
    await expect(driver.transaction(() => Promise.reject(lost()))).rejects.toMatchObject({ effect: 'none' })
  })
  it('may have done something if ours is alive', async () => {
    const { driver, seen } = fake()
    await expect(driver.transaction(() => Promise.reject(lost()))).rejects.toMatchObject({ effect: 'unknown' })
    expect(seen).toEqual(['begin', 'select 1', 'rollback'])
    const failed = fake({ run: () => Promise.reject(databaseError('25P02')) })
    await expect(failed.driver.transaction(() => Promise.reject(lost()))).rejects.toMatchObject({ effect: 'unknown' })
  })
  it('did nothing if ours does not answer', async () => {
    const { driver, clock } = fake({ run: () => never })
    const asked = expect(driver.transaction(() => Promise.reject(lost()))).rejects.toMatchObject({ effect: 'none' })
    await clock.advance(2_000)
    await asked
  })
})

it('asks the database about transactions that it did not begin, and not about its own', async () => {
  const asked: unknown[] = []
  const { driver } = fake({
    async verify(tx) {
      asked.push(tx)
    },
  })
  await driver.transaction(async (tx) => void (await driver.query(tx, 'insert', [])))
  expect(asked).toEqual([])
  const theirs = { over: false }
  await driver.query(theirs, 'insert', [])
  expect(asked).toEqual([theirs])
})

it('releases what it waits with when begin throws at once', async () => {
  const { driver, clock } = fake({
    begin() {
      throw new Error('Knex: Timeout acquiring a connection. The pool is probably full.')
    },
  })
  await expect(driver.transaction(async () => 1)).rejects.toMatchObject({ code: 'SELF_EXHAUSTED', effect: 'none' })
  await swallow(driver.transaction(async () => 1))
  expect(clock.pending).toBe(0)
})

it.each([
  ['postgresJsDriver', postgresJsDriver],
  ['pgliteDriver', pgliteDriver],
  ['drizzleDriver', drizzleDriver],
  ['kyselyDriver', kyselyDriver],
  ['knexDriver', knexDriver],
  ['typeormDriver', typeormDriver],
  ['prismaDriver', prismaDriver],
] as const)('%s refuses what it cannot speak through, and options that it does not know', (_, driver) => {
  for (const wrong of [
    undefined,
    null,
    {},
    () => undefined,
    { transaction() {}, $client: { connect() {}, processID: 1 } },
  ])
    expect(() => (driver as (db: never) => unknown)(wrong as never)).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTIONS' }),
    )
})

it('refuses unknown options, and ones out of range', () => {
  const knex = { transaction: async () => undefined as never, client: { acquireConnection() {} } }
  expect(() => knexDriver(knex, { conectWithinMs: 1 } as never)).toThrow(
    expect.objectContaining({ code: 'INVALID_OPTIONS' }),
  )
  expect(() => knexDriver(knex, { answerWithinMs: -1 })).toThrow(expect.objectContaining({ code: 'INVALID_OPTIONS' }))
})
