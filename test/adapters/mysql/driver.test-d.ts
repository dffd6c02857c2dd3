import { createPool, type Pool, type PoolConnection } from 'mysql2/promise'
import { describe, expectTypeOf, it } from 'vitest'
import { mysql2Driver, mysqlStore } from '../../../src/adapters/mysql/index.ts'
import type { SqlDriver, Store } from '../../../src/core/contracts/store.ts'
import { topic } from '../../../src/messaging/index.ts'
import { createOutbox } from '../../../src/messaging/outbox/outbox.ts'

declare const pool: Pool

describe('types', () => {
  it('has the connection of the pool as its transaction, exactly', () => {
    const driver = mysql2Driver(createPool({}))
    expectTypeOf(driver).toExtend<SqlDriver<PoolConnection>>()
    driver.transaction(async (tx) => {
      expectTypeOf(tx).toEqualTypeOf<PoolConnection>()
    })
    const store = mysqlStore(driver)
    expectTypeOf(store).toExtend<Store<PoolConnection>>()
    store.transaction(async (tx) => {
      expectTypeOf(tx).toEqualTypeOf<PoolConnection>()
    })
  })
  it('does not take a pool for a transaction', () => {
    const store = mysqlStore(mysql2Driver(pool))
    // @ts-expect-error a pool is no transaction
    store.outbox.append(pool, [])
    // @ts-expect-error a pool is no transaction
    store.inbox.claim(pool, 'c', [])
    const outbox = createOutbox(store)
    const orders = topic('orders', {})
    // @ts-expect-error a pool is no transaction
    outbox.publish(pool, orders, [])
  })
  it('takes a pool only', () => {
    // @ts-expect-error a connection is no pool
    mysql2Driver({} as PoolConnection)
  })
})
