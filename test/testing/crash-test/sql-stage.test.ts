// Handlers in the user's own SQL, on his own dialect: right ones pass, wrong ones are found, and no run sees anything of another.
import assert from 'node:assert/strict'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { sqliteStore } from '../../../src/adapters/sqlite/index.ts'
import { createConsumer, createOutbox, createPublisher, createRelay, queue } from '../../../src/messaging/index.ts'
import { type CrashTestFailure, type CrashWorld, crashTest, sqlStage } from '../../../src/testing/crash-test/index.ts'
import { type Dialect, dialects, emptySqlite, pglite, sqlite } from './sql-dialects.ts'

const Orders = queue('orders', { placed: z.object({ orderId: z.string() }) })
const ORDERS = 'create table orders (id text primary key, state text not null)'
const INVOICES = 'create table invoices (order_id text not null)'

const failureOf = async (running: Promise<unknown>): Promise<CrashTestFailure> => {
  const error = await running.then(
    () => expect.unreachable('it passed'),
    (error: unknown) => error,
  )
  expect((error as Error).name, String(error)).toBe('CrashTestFailure')
  return error as CrashTestFailure
}

/** A shop that places an order and says so, and a billing that writes the invoice once, each on a database of its own. */
const ordering = (dialect: Dialect, publish: 'in the transaction' | 'before the commit') => {
  const shopStage = dialect.stage(ORDERS)
  const billingStage = sqlite.stage(INVOICES)
  return (world: CrashWorld) => {
    const shop = world.database('shop', shopStage)
    const billing = world.database('billing', billingStage)
    world.service('shop', async ({ store: storeOf, transport, options, clock, newId, serve }) => {
      const store = storeOf(shop)
      const outbox = createOutbox(store, options)
      const publisher = createPublisher({ transport, source: '/shop', clock, newId })
      serve('place', (orderId: string) =>
        store.transaction(async (tx) => {
          await store.run(tx, "insert into orders (id, state) values ($1, 'placed')", [orderId])
          const message = { type: 'placed', key: orderId, data: { orderId } } as const
          if (publish === 'in the transaction') await outbox.publish(tx, Orders, message)
          else await publisher.publish(Orders, message)
        }),
      )
      await createRelay({ outbox, transport, ...options }).start()
    })
    world.service('billing', async (own) => {
      const store = own.store(billing)
      const consumer = createConsumer({
        ...{ transport: own.transport, channel: Orders, inbox: store, ...own.options },
        handlers: {
          placed: async ({ data }, { tx }) => {
            await store.query(tx, 'insert into invoices (order_id) values ($1)', [data.orderId])
          },
        },
      })
      await consumer.start()
    })
    world.client('customer', async (own) => {
      await own.call('shop', 'place', 'A-1').catch(() => undefined)
    })
    return { shop, billing }
  }
}

const anInvoiceForEach = async ({ shop, billing }: ReturnType<ReturnType<typeof ordering>>): Promise<void> => {
  const orders = await shop.facts.query('select id from orders order by id')
  const invoices = await billing.facts.query('select order_id as id from invoices order by order_id')
  assert.deepEqual(invoices, orders, 'one invoice for each order')
}

/** Two orders, one after the other, each tried until it is acknowledged. */
const twoOrders = (dialect: Dialect) => {
  const stage = dialect.stage(ORDERS)
  return (world: CrashWorld) => {
    const shop = world.database('shop', stage)
    const acknowledged: string[] = []
    world.service('shop', (own) => {
      const store = own.store(shop)
      own.serve('place', (orderId: string) =>
        store.transaction(async (tx) => {
          await store.run(tx, "insert into orders (id, state) values ($1, 'placed')", [orderId])
        }),
      )
    })
    world.client('customer', async (own) => {
      for (const orderId of ['A-1', 'A-2'])
        await own.call('shop', 'place', orderId).then(
          () => acknowledged.push(orderId),
          () => undefined,
        )
    })
    return { shop, acknowledged }
  }
}

/** Two processes take one each of what is left. */
const taking = (dialect: Dialect, how: 'read before' | 'read inside') => {
  const stage = dialect.stage('create table stock (left_over integer not null)', 'create table taken (id text)')
  return (world: CrashWorld) => {
    const stock = world.database('stock', stage)
    for (const [name, afterMs] of [
      ['stock-1', 0],
      ['stock-2', 700],
    ] as const) {
      world.service(name, (own) => {
        const store = own.store(stock)
        own.serve('take', async (orderId: string) => {
          const read = 'select left_over from stock'
          const before = (await store.alone(read, []))[0] ?? { left_over: 10 }
          await store.transaction(async (tx) => {
            const inside = (await store.query(tx, read, []))[0] ?? { left_over: 10 }
            const { left_over: left } = how === 'read before' ? before : inside
            await store.query(tx, 'delete from stock', [])
            await store.query(tx, 'insert into stock (left_over) values ($1)', [left - 1])
            await store.run(tx, 'insert into taken (id) values ($1)', [orderId])
          })
        })
      })
      world.client(`customer-of-${name}`, async (own) => {
        await own.sleep(afterMs)
        await own.call(name, 'take', name).catch(() => undefined)
      })
    }
    return stock
  }
}

const nothingMissing = async ({ facts }: ReturnType<ReturnType<typeof taking>>): Promise<void> => {
  const [stock = { left_over: 10 }] = await facts.query('select left_over from stock')
  const taken = await facts.query('select id from taken')
  assert.equal(Number(stock.left_over) + taken.length, 10, 'what is left and what was taken is all there was')
}

/** Money goes from one account to another: two statements, in one transaction or in two. */
const moving = (dialect: Dialect, commits: 'one' | 'one, whatever fails' | 'two') => {
  const stage = dialect.stage('create table moved (account text not null, cents integer not null)')
  return (world: CrashWorld) => {
    const bank = world.database('bank', stage)
    world.service('bank', (own) => {
      const store = own.store(bank)
      const note = (tx: unknown, account: string, cents: number) =>
        store.query(tx, 'insert into moved (account, cents) values ($1, $2)', [account, cents])
      own.serve('move', async () => {
        if (commits === 'two') {
          await store.transaction((tx) => note(tx, 'a', -5))
          await store.transaction((tx) => note(tx, 'b', 5))
        } else {
          await store.transaction(async (tx) => {
            const debit = note(tx, 'a', -5)
            await (commits === 'one' ? debit : debit.catch(() => undefined))
            await note(tx, 'b', 5)
          })
        }
      })
    })
    world.client('customer', async (own) => {
      await own.call('bank', 'move').catch(() => undefined)
    })
    return bank
  }
}

const nothingLost = async ({ facts }: ReturnType<ReturnType<typeof moving>>): Promise<void> => {
  const rows = await facts.query('select account from moved order by account')
  assert.ok(rows.length === 0 || rows.length === 2, `${rows.length} of two rows are there`)
}

describe.each(dialects)('$name', (dialect) => {
  it('passes a right handler: order and message in one commit, and an inbox', async () => {
    const report = await crashTest(ordering(dialect, 'in the transaction'), anInvoiceForEach, {
      schedules: dialect.few,
    })
    expect(report.schedules).toBe(dialect.few)
    expect(report.faults).toBeGreaterThan(dialect.few)
  }, 120_000)

  it('keeps what was committed when the next transaction is refused, or its process dies, before it begins', async () => {
    const kept = async ({ shop, acknowledged }: ReturnType<ReturnType<typeof twoOrders>>): Promise<void> => {
      const rows = (await shop.facts.query('select id from orders')).map(({ id }) => id)
      assert.deepEqual(
        acknowledged.filter((id) => !rows.includes(id)),
        [],
        'acknowledged, and not there',
      )
    }
    const report = await crashTest(twoOrders(dialect), kept, { schedules: 100, faults: 2, kinds: ['crash', 'refused'] })
    expect(report.faults).toBeGreaterThan(50)
  }, 120_000)

  it('finds publish before commit, and names the line', async () => {
    const failure = await failureOf(crashTest(ordering(dialect, 'before the commit'), anInvoiceForEach))
    expect(failure.schedule.faults.length).toBeLessThanOrEqual(2)
    expect(failure.story).toMatch(/sql-stage\.test\.ts:\d+:\d+\)? .*(publish|store\.(transaction|run))\(/)
  }, 120_000)

  it('finds read, modify, write without a version', async () => {
    const failure = await failureOf(crashTest(taking(dialect, 'read before'), nothingMissing, { kinds: ['pause'] }))
    expect(failure.schedule.faults.length).toBe(1)
    expect(failure.story).toContain('stands still')
  }, 120_000)

  it('passes what reads in the transaction that writes', async () => {
    const report = await crashTest(taking(dialect, 'read inside'), nothingMissing, { schedules: dialect.few })
    expect(report.schedules).toBe(dialect.few)
  }, 120_000)

  it('leaves nothing behind of a transaction that a crash, or a lost connection, has ended between two statements', async () => {
    const kinds = ['crash', 'refused', 'lost-reply'] as const
    const report = await crashTest(moving(dialect, 'one'), nothingLost, { schedules: 2 * dialect.few, kinds })
    expect(report.faults).toBeGreaterThan(2 * dialect.few)
    // Who goes on as if nothing had happened is not committed either: the transaction is gone with its connection.
    await crashTest(moving(dialect, 'one, whatever fails'), nothingLost, { schedules: 2 * dialect.few, kinds })
    const failure = await failureOf(crashTest(moving(dialect, 'two'), nothingLost, { kinds: ['crash'] }))
    expect(failure.story).toMatch(/bank is killed right (before|after) bank\./)
  }, 120_000)

  it('begins each run with empty tables, and ids from 1', async () => {
    const ids =
      dialect === sqlite ? 'integer primary key autoincrement' : 'bigint generated by default as identity primary key'
    const stage = dialect.stage(`create table numbers (id ${ids}, name text)`)
    const seen: unknown[] = []
    await crashTest(
      (world) => {
        const database = world.database('numbers', stage)
        world.service('writer', async (own) => {
          const store = own.store(database)
          const insert = 'insert into numbers (name) values ($1)'
          for (const name of ['one', 'two']) await store.transaction((tx) => store.run(tx, insert, [name]))
        })
        return database
      },
      async ({ facts }) => {
        const rows = await facts.query('select id, name from numbers order by id')
        seen.push(rows.map(({ id, name }) => `${Number(id)} ${name}`).join())
      },
      { schedules: 10, faults: 0 },
    )
    expect(seen.length).toBeGreaterThanOrEqual(10)
    expect(new Set(seen)).toEqual(new Set(['1 one,2 two']))
  }, 60_000)

  it('goes the same way with the same seed, whatever was run before', async () => {
    const once = async (): Promise<readonly unknown[]> => {
      const all: unknown[] = []
      const see = async (facts: ReturnType<ReturnType<typeof ordering>>): Promise<void> => {
        all.push(await facts.shop.facts.query('select id, state from orders'))
        all.push(await facts.billing.facts.query('select consumer, id, at from fairlead_inbox'))
      }
      const report = await crashTest(ordering(dialect, 'in the transaction'), see, { schedules: 10, seed: 77 })
      return [...all, report]
    }
    const first = await once()
    expect(await once()).toEqual(first)
  }, 120_000)

  it('refuses what one connection cannot do, and what is over', async () => {
    const stage = dialect.stage(ORDERS)
    const said: string[] = []
    const saying = async (work: () => Promise<unknown>): Promise<void> => {
      said.push(
        await work().then(
          () => 'went well',
          ({ code, effect }) => `${code} ${effect}`,
        ),
      )
    }
    await crashTest(
      (world) => {
        const database = world.database('shop', stage)
        said.length = 0
        world.service('shop', async (own) => {
          const store = own.store(database)
          const insert = 'insert into orders (id, state) values ($1, $2)'
          let kept: unknown
          await store.transaction(async (tx) => {
            kept = tx
            await saying(() => store.transaction(async () => undefined))
            await saying(() => store.alone('select 1 as one', []))
            await store.run(tx, insert, ['A-1', 'placed'])
          })
          await saying(() => store.query(kept, insert, ['A-2', 'placed']))
          await saying(() => store.run(kept, insert, ['A-3', 'placed']))
          await saying(() => store.transaction((tx) => store.query(tx, insert, ['A-1', 'again'])))
          await saying(() => store.alone('select nothing from nowhere', []))
          await saying(() => store.alone(insert, ['A-4', 'placed']))
          await saying(() =>
            store.transaction(async (tx) => {
              await store.run(tx, insert, ['A-5', 'placed'])
              await store.query(tx, insert, ['A-4', 'again']).catch(() => undefined)
            }),
          )
        })
        return database
      },
      async ({ facts }) => {
        const ids = (await facts.query('select id from orders order by id')).map(({ id }) => id)
        // SQLite undoes the statement that failed, PostgreSQL the whole transaction.
        assert.deepEqual(ids, dialect === sqlite ? ['A-1', 'A-4', 'A-5'] : ['A-1', 'A-4'])
      },
      { schedules: 5, faults: 0 },
    )
    expect(said).toEqual([
      'PROGRAMMING_ERROR none',
      'PROGRAMMING_ERROR none',
      'TRANSACTION_REQUIRED none',
      'TRANSACTION_REQUIRED none',
      'CONFLICT none',
      expect.stringContaining(' none'),
      'went well',
      dialect === sqlite ? 'went well' : 'PROGRAMMING_ERROR none',
    ])
  }, 60_000)

  it('undoes a transaction that throws, and lets the next one have its turn', async () => {
    const stage = dialect.stage(ORDERS)
    await crashTest(
      (world) => {
        const database = world.database('shop', stage)
        world.service('shop', async (own) => {
          const store = own.store(database)
          const insert = (id: string) => (tx: unknown) =>
            store.query(tx, 'insert into orders (id, state) values ($1, $1)'.replace('$1)', '$2)'), [id, 'placed'])
          const mine = new Error('mine')
          const fails = store.transaction(async (tx) => {
            await insert('A-1')(tx)
            throw mine
          })
          const waits = store.transaction(insert('A-2'))
          assert.equal(await fails.catch((error: unknown) => error), mine)
          await waits
        })
        return database
      },
      async ({ facts }) => assert.deepEqual(await facts.query('select id from orders'), [{ id: 'A-2' }]),
      { schedules: 5, faults: 0 },
    )
  }, 60_000)
})

describe('PGlite', () => {
  it('has the time and the chance of the run', async () => {
    const table = 'create table times (at timestamptz default now(), moved timestamptz, chance float8, id uuid)'
    const insert = 'insert into times (moved, chance, id) values (clock_timestamp(), random(), gen_random_uuid())'
    const select = "select *, to_char(at at time zone 'utc', 'YYYY-MM-DD HH24:MI') as minute from times"
    const stage = pglite.stage(table)
    const once = async (): Promise<readonly string[]> => {
      const seen: string[] = []
      await crashTest(
        (world) => {
          const database = world.database('times', stage)
          world.service('clock', async (own) => {
            const store = own.store(database)
            await own.sleep(120_000)
            await store.alone(insert, [])
          })
          return database
        },
        async ({ facts }) => {
          const [row] = await facts.query(select)
          seen.push(JSON.stringify(row))
          assert.equal(row?.minute, '2026-01-01 00:02')
        },
        { schedules: 2, faults: 0 },
      )
      return seen
    }
    const first = await once()
    expect(first.length).toBeGreaterThanOrEqual(2)
    expect(await once()).toEqual(first)
  }, 120_000)
})

describe('sqlStage', () => {
  it('says what is wrong with its options', async () => {
    const store = (): never => expect.unreachable()
    expect(() => sqlStage({ driver: {} as never, store })).toThrow(/INVALID_OPTIONS.*driver/s)
    expect(() => sqlStage({ driver: { dialect: 'mysql' } as never, store })).toThrow(/INVALID_OPTIONS.*driver/s)
    expect(() => sqlStage({ driver: () => ({}) as never, store: undefined as never })).toThrow(
      /INVALID_OPTIONS.*store/s,
    )
    expect(() => sqlStage({ driver: () => ({}) as never, store, more: 1 } as never)).toThrow(/INVALID_OPTIONS.*more/s)
  })

  it('can be opened again where opening has failed', async () => {
    let tries = 0
    const stage = sqlStage({
      driver: () => {
        if (++tries === 1) throw new Error('the file is locked')
        return emptySqlite()
      },
      store: (driver, { clock }) => sqliteStore(driver, { clock }),
    })
    const system = (world: CrashWorld): void => {
      world.database('shop', stage)
      world.service('shop', () => {})
    }
    const run = (): Promise<unknown> => crashTest(system, () => {}, { schedules: 1 })
    await expect(run()).rejects.toThrow('the file is locked')
    await expect(run()).resolves.toMatchObject({ schedules: 1 })
  })

  it('is one database: two names are refused', async () => {
    const stage = sqlite.stage()
    const running = crashTest(
      (world) => {
        world.database('one', stage)
        world.database('two', stage)
        world.service('idle', () => undefined)
      },
      () => undefined,
    )
    await expect(running).rejects.toMatchObject({ code: 'INVALID_OPTIONS', message: expect.stringContaining('two') })
    // And it can be used again.
    const again = await crashTest(
      (world) => {
        const { name } = world.database('one', stage)
        world.service('idle', () => undefined)
        return name
      },
      () => undefined,
      { schedules: 2 },
    )
    expect(again.schedules).toBe(2)
  })
})
