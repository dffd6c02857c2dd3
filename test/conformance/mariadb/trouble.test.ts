// A server of its own that is killed, cut off and silenced: what was committed stays, and the effect of what was under way is told as it is.
import { testStore } from 'fairlead/testing'
import type { PoolConnection } from 'mysql2/promise'
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest'
import { mysql2Driver, mysqlStore } from '../../../src/adapters/mysql/index.ts'
import { type MariadbInstance, startMariadb } from '../../services/mariadb-instance.ts'
import { proxyTo, type ToxicProxy } from '../../services/toxiproxy.ts'
import { type MariadbLab, mariadbLab, row } from './mariadb-lab.ts'
import { storeLab } from './store-lab.ts'

let instance: MariadbInstance
let proxy: ToxicProxy
let lab: MariadbLab
let direct: MariadbLab
beforeAll(async () => {
  // As some have it set: a statement that waited too long undoes its whole transaction.
  instance = await startMariadb({ 'innodb-rollback-on-timeout': 'ON', 'innodb-lock-wait-timeout': '2' })
  proxy = await proxyTo(instance)
  lab = await mariadbLab(proxy)
  direct = await mariadbLab(instance)
  await lab.pool.query('create table t (n int primary key) engine=InnoDB')
}, 60_000)
afterAll(async () => {
  await proxy.mend()
  await lab.close()
  await direct.close()
  await proxy.remove()
  await instance.remove()
})

const rejection = async (work: Promise<unknown>): Promise<unknown> => {
  try {
    await work
  } catch (error) {
    return error
  }
  throw new Error('it did not reject')
}
const isThere = async (n: number): Promise<boolean> => {
  const [rows] = await direct.pool.query(`select n from ${lab.database}.t where n = ${n}`)
  return (rows as unknown[]).length > 0
}

await testStore('mariadb that is killed', () => storeLab(instance, { restart: () => instance.restart('kill') }), {
  describe,
  test,
  only: ['over the death of the database'],
})

describe('a connection in trouble', () => {
  it('says unknown when the answer to COMMIT is swallowed, and none before', async () => {
    const driver = lab.newDriver({}, { answerWithinMs: 3_000 })
    const error = await rejection(
      driver.transaction(async (tx) => {
        await driver.query(tx, 'insert into t (n) values (1)', [])
        const { query } = tx as PoolConnection
        // Only what the server answers to COMMIT is lost: it has done it.
        tx.query = (async (text: { sql: string }) => {
          if (text.sql === 'commit') await proxy.toxic('timeout', { timeout: 0 }, 'downstream')
          return query.call(tx, text)
        }) as never
      }),
    )
    expect(error).toMatchObject({ code: 'TIMED_OUT', effect: 'unknown', transport: 'mysql' })
    await proxy.mend()
    expect(await isThere(1)).toBe(true)
  })
  it('says unknown when the connection breaks at COMMIT', async () => {
    const error = await rejection(
      lab.driver.transaction(async (tx) => {
        await lab.driver.query(tx, 'insert into t (n) values (2)', [])
        const { query } = tx as PoolConnection
        tx.query = (async (text: { sql: string }) => {
          if (text.sql === 'commit') await proxy.toxic('reset_peer', { timeout: 0 }, 'downstream')
          return query.call(tx, text)
        }) as never
      }),
    )
    expect(error).toMatchObject({ code: 'CONNECTION_LOST', effect: 'unknown' })
    await proxy.mend()
  })
  it('says none when it breaks before COMMIT was sent, whoever notices', async () => {
    for (const swallowed of [false, true]) {
      const error = await rejection(
        lab.driver.transaction(async (tx) => {
          await lab.driver.query(tx, 'insert into t (n) values (3)', [])
          await proxy.refuse()
          await proxy.mend()
          const next = tx.query('insert into t (n) values (4)')
          await (swallowed ? next.catch(() => undefined) : next)
        }),
      )
      expect(error).toMatchObject({ code: 'CONNECTION_LOST', effect: 'none' })
    }
    expect(await isThere(3)).toBe(false)
  })
  it('says unknown of a single statement that broke off, and gives the connection up', async () => {
    const driver = lab.newDriver({ connectionLimit: 1 }, { answerWithinMs: 3_000, connectWithinMs: 10_000 })
    await driver.execute('select 1', [])
    await proxy.toxic('timeout', { timeout: 0 }, 'downstream')
    expect(await rejection(driver.execute('insert into t (n) values (5)', []))).toMatchObject({
      code: 'TIMED_OUT',
      effect: 'unknown',
    })
    await proxy.mend()
    expect((await driver.execute('select 1 as one', [])).rows).toEqual([{ one: 1 }])
  })
  it('goes on by itself when the server was killed and is back', async () => {
    const store = mysqlStore(lab.driver)
    await store.migrate()
    await store.transaction((tx) => store.outbox.append(tx, [row({ id: 'before', key: 'k' })]))
    const leases = await store.outbox.lease('relay', 60_000)
    await instance.stop('kill')
    expect(await rejection(store.outbox.pending(leases, 10))).toMatchObject({ transport: 'mysql', transient: true })
    await instance.start()
    await store.transaction((tx) => store.outbox.append(tx, [row({ id: 'after', key: 'k' })]))
    const rows = await store.outbox.pending(leases, 10)
    expect(rows.map(({ envelope }) => envelope.id)).toEqual(['before', 'after'])
    expect(rows[0]?.sequence).toBeLessThan(rows[1]?.sequence as bigint)
  })
})

describe('innodb_rollback_on_timeout', () => {
  it('makes of a busy message a conflict: the transaction is gone', async () => {
    const store = mysqlStore(mysql2Driver(direct.newPool()))
    await store.migrate()
    const message = { source: '/s', id: 'a' }
    const first = await direct.pool.getConnection()
    await first.query('start transaction')
    expect(await store.inbox.claim(first, 'c', [message])).toEqual(['first'])
    const error = await rejection(store.transaction((tx) => store.inbox.claim(tx, 'c', [message])))
    expect(error).toMatchObject({ code: 'TRANSACTION_CONFLICT', effect: 'none', transient: true })
    await first.query('commit')
    first.release()
    expect(await store.transaction((tx) => store.inbox.claim(tx, 'c', [message]))).toEqual(['duplicate'])
  })
})
