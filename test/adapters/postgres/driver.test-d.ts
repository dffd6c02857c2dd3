import type { Pool, PoolClient } from 'pg'
import { describe, expectTypeOf, it } from 'vitest'
import { type PgDriver, type PgTx, pgDriver } from '../../../src/adapters/postgres/index.ts'
import type { SqlDriver } from '../../../src/core/contracts/store.ts'

declare const pool: Pool

describe('the transaction type', () => {
  it('is the client of the pool, through the overloads of pg', () => {
    expectTypeOf<PgTx<Pool>>().toEqualTypeOf<PoolClient>()
    expectTypeOf(pgDriver(pool)).toEqualTypeOf<PgDriver<PoolClient>>()
    expectTypeOf(pgDriver(pool)).toExtend<SqlDriver<PoolClient>>()
    expectTypeOf(pgDriver(pool).transaction<number>)
      .parameter(0)
      .parameter(0)
      .toEqualTypeOf<PoolClient>()
  })
  it('is not the pool', () => {
    const driver = pgDriver(pool)
    // @ts-expect-error a pool is no transaction
    void driver.query(pool, 'select 1', [])
    // @ts-expect-error a single client is no pool: two transactions would mix on it
    pgDriver({} as import('pg').Client)
  })
})
