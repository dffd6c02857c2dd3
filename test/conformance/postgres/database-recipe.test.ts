// The database recipe against a real PostgreSQL: a slow query is cancelled at the server, not only forgotten here.

import type { FairleadError } from 'fairlead'
import { Pool } from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { stockClient } from '../../../examples/wrap-database.ts'
import { server } from '../../services/servers.ts'

const at = server('postgres')

describe('recipe database', () => {
  let pool: Pool
  let locker: Pool
  beforeAll(async () => {
    if (at === undefined) throw new Error('PostgreSQL is not up')
    const address = { host: at.host, port: at.port, user: 'postgres', database: 'postgres', max: 4 }
    pool = new Pool(address)
    locker = new Pool(address)
    await locker.query('drop table if exists stock')
    await locker.query('create table stock (sku text primary key, level int not null)')
    await locker.query(`insert into stock values ('A-1', 7)`)
  })
  afterAll(async () => {
    await locker.query('drop table if exists stock')
    await Promise.all([pool.end(), locker.end()])
  })

  it('answers, and a missing row is an answer that is not retried', async () => {
    const stock = stockClient(pool)
    expect(await stock('A-1')).toEqual({ sku: 'A-1', level: 7 })
    const { error } = (await stock.result('B-2')) as { error: FairleadError }
    expect(error).toMatchObject({ code: 'NOT_FOUND', attempt: 1 })
  })

  it('ends a query that waits for a lock, at the server too, and answers with the last good value', async () => {
    const stock = stockClient(pool)
    await stock('A-1')
    const lock = await locker.connect()
    try {
      await lock.query('begin')
      await lock.query('lock table stock in access exclusive mode')
      expect(await stock.detailed('A-1')).toMatchObject({
        value: { level: 7 },
        from: 'lastGood',
        error: { code: 'ATTEMPT_TIMEOUT', effect: 'unknown' },
      })
      let waiting = 1
      for (const end = Date.now() + 10_000; waiting > 0 && Date.now() < end; )
        waiting = Number(
          (await lock.query(`select count(*) as n from pg_stat_activity where wait_event_type = 'Lock'`)).rows[0].n,
        )
      expect(waiting).toBe(0)
    } finally {
      await lock.query('rollback')
      lock.release()
    }
  })
})
