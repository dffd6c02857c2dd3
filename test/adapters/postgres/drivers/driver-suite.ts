// What holds for every driver of dialect `postgres`, whatever is underneath. One table, one suite.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { migrate } from '../../../../src/adapters/postgres/index.ts'
import { inherited, withInherited } from '../../../../src/core/async-context.ts'
import { isFairleadError } from '../../../../src/errors/index.ts'
import type { Opened, Subject } from './subjects.ts'

interface Address {
  readonly host: string
  readonly port: number
}

const failure = async (work: Promise<unknown>): Promise<any> => {
  try {
    await work
  } catch (error) {
    return error
  }
  throw new Error('it did not fail')
}

/** @param atEnd statements of the server itself, from a connection that is not the driver's */
export const describeDriver = (
  subject: Subject,
  address: () => Address,
  admin?: (text: string) => Promise<unknown>,
): void => {
  describe(subject.name, () => {
    const schema = `drv_${subject.name.replace(/\W+/g, '_').toLowerCase()}_${process.pid}`
    let opened: Opened
    let driver: Opened['driver']
    const numbers = async (): Promise<unknown[]> =>
      (await driver.execute(`select n from ${schema}.t order by n`, [])).rows.map(({ n }) => n)
    const insert = (tx: unknown, n: number) => driver.query(tx, `insert into ${schema}.t values ($1)`, [n])

    beforeAll(async () => {
      opened = await subject.open(address())
      driver = opened.driver
      await driver.transaction((tx) =>
        driver.query(
          tx,
          `drop schema if exists ${schema} cascade; create schema ${schema};
           create table ${schema}.t (n int primary key deferrable initially deferred);
           create table ${schema}.kinds (b bytea, t text, i int8, f bool, l text[], j jsonb)`,
          [],
        ),
      )
    })
    afterAll(async () => {
      await driver.execute(`drop schema if exists ${schema} cascade`, []).catch(() => undefined)
      await driver.close()
      await opened.close()
    })

    const bytes = new Uint8Array([0, 1, 39, 92, 127, 128, 255])
    const text = `it's "ä" \\ \t 😀 $1 ? %s`
    const list = ['a,b', 'c"d', 'e\\f', '', 'NULL', '{}', 'ü 😀']
    const big = 9_007_199_254_740_993n

    it.each(['execute', 'query'])('takes and gives every kind of value as it is (%s)', async (how) => {
      const run = (what: string, params: readonly unknown[]) =>
        how === 'execute' ? driver.execute(what, params) : driver.transaction((tx) => driver.query(tx, what, params))
      const { rows, affected } = await run(
        `select $1::bytea as some_bytes, $2::text as some_text, $3::int8 as a_big, $4::int8 as n8, $5::int4 as n4, $6::float8 as f8,
          $7::boolean as yes, $8::boolean as no, $9::text as nothing, $10::text[] = $11::text[] as same, cardinality($12::text[]) as none,
          $13::jsonb as some_json, $14::bytea as no_bytes, true as truth, 9007199254740993::int8 as bigger, '?' as mark,
          '{"a":1}'::jsonb ? 'a' as has, octet_length($1::bytea) as length, ($10::text[])[2] as second, $15::int8 is null as nil`,
        [
          bytes,
          text,
          big,
          12,
          7,
          1.5,
          true,
          false,
          null,
          list,
          list,
          [],
          JSON.stringify({ a: [1, 'x'], some_key: null }),
          new Uint8Array(0),
          null,
        ],
      )
      expect(affected).toBe(1)
      const [{ some_bytes, no_bytes, a_big, bigger, n8, ...rest }] = rows as [Record<string, unknown>]
      expect(some_bytes).toBeInstanceOf(Uint8Array)
      expect([...(some_bytes as Uint8Array)]).toEqual([...bytes])
      expect((no_bytes as Uint8Array).length).toBe(0)
      // Whole numbers of 8 bytes come as bigint or text; a number would be rounded.
      expect([String(a_big), String(bigger), String(n8)]).toEqual([String(big), String(big), '12'])
      expect(typeof bigger).not.toBe('number')
      expect(rest).toEqual({
        some_text: text,
        n4: 7,
        f8: 1.5,
        yes: true,
        no: false,
        nothing: null,
        same: true,
        none: 0,
        some_json: { a: [1, 'x'], some_key: null },
        truth: true,
        mark: '?',
        has: true,
        length: 7,
        second: 'c"d',
        nil: true,
      })
    })
    it('writes every kind into columns, without casts', async () => {
      const values = [bytes, text, big, true, list, JSON.stringify([{ a: 1 }])]
      const into = `insert into ${schema}.kinds values ($1, $2, $3, $4, $5, $6)`
      await driver.transaction((tx) => driver.query(tx, into, values))
      await driver.execute(into, [null, null, null, null, null, null])
      const { rows } = await driver.execute(
        `select encode(b, 'hex') as hex, t, i::text as i, f, l = $1 as l, j->0->>'a' as j from ${schema}.kinds where t is not null`,
        [list],
      )
      expect(rows).toEqual([{ hex: '0001275c7f80ff', t: text, i: String(big), f: true, l: true, j: '1' }])
      const counted = `select count(*) as n from ${schema}.kinds where t = any($1::text[]) or b is null`
      expect(String((await driver.execute(counted, [[text]])).rows[0]?.['n'])).toBe('2')
    })
    it('says how many rows there were', async () => {
      const said: number[] = []
      await failure(
        driver.transaction(async (tx) => {
          const run = async (what: string, params: readonly unknown[] = []) =>
            void said.push((await driver.query(tx, what, params)).affected)
          await run(`insert into ${schema}.t select generate_series(100, 104)`)
          await run(`update ${schema}.t set n = n + 100 where n > $1`, [101])
          await run(`delete from ${schema}.t where n = any(array[100, 101]) returning n`)
          await run(`with gone as (delete from ${schema}.t where n > $1 returning n) select n from gone`, [203])
          await run(
            `with gone as (delete from ${schema}.t where n > $1 returning n) insert into ${schema}.t select n + 1 from gone`,
            [202],
          )
          await run(`delete from ${schema}.t where n = 0`)
          throw new Error('undo')
        }),
      )
      expect(said).toEqual([5, 3, 2, 1, 1, 0])
    })
    it('commits, and rolls back with what the work threw, untouched', async () => {
      const answer = await driver.transaction(async (tx) => {
        await insert(tx, 1)
        await opened.own(tx, `insert into ${schema}.t values (2)`)
        return { done: true }
      })
      expect(answer).toEqual({ done: true })
      const mine = Object.assign(new Error('no stock', { cause: { code: '23505', severity: 'ERROR' } }), {
        code: 'NO_STOCK',
      })
      const thrown = await failure(
        driver.transaction(async (tx) => {
          await insert(tx, 3)
          throw mine
        }),
      )
      expect(thrown).toBe(mine)
      await expect(driver.transaction(() => Promise.reject(undefined))).rejects.toBe(undefined)
      expect(await numbers()).toEqual([1, 2])
    })
    it('says that a constraint looked at by COMMIT was broken: nothing was done', async () => {
      const error = await failure(driver.transaction((tx) => insert(tx, 1)))
      expect(error).toMatchObject({
        code: 'CONFLICT',
        effect: 'none',
        transport: 'postgres',
        details: { sqlState: '23505' },
      })
      expect(await numbers()).toEqual([1, 2])
    })
    it('tells errors of the database in its own words, those of statements of the user as well', async () => {
      const zero = 'select 1 / 0 as n'
      const expected = { code: 'UNPROCESSABLE', effect: 'none', transport: 'postgres', details: { sqlState: '22012' } }
      const all = [
        await failure(driver.execute(zero, [])),
        await failure(driver.transaction((tx) => driver.query(tx, zero, []))),
        await failure(driver.transaction((tx) => opened.own(tx, zero))),
      ]
      for (const error of all) {
        expect(isFairleadError(error)).toBe(true)
        expect(error).toMatchObject({ ...expected, message: '[UNPROCESSABLE] division by zero' })
      }
      const conflict = await failure(
        driver.transaction((tx) => opened.own(tx, `do $$ begin raise exception 'x' using errcode = '40001'; end $$`)),
      )
      expect(conflict).toMatchObject({ code: 'TRANSACTION_CONFLICT', effect: 'none' })
      const missing = await failure(driver.execute('select * from nowhere.at_all where a = $1', ['secret']))
      expect(missing).toMatchObject({ code: 'NOT_FOUND', effect: 'none' })
      expect(missing.message).not.toContain('secret')
    })
    it('does not call committed what PostgreSQL has rolled back, because a failure was swallowed', async () => {
      const error = await failure(
        driver.transaction(async (tx) => {
          await insert(tx, 4)
          await opened.own(tx, 'select 1 / 0').catch(() => undefined)
        }),
      )
      expect(error).toMatchObject({ code: subject.swallowed, effect: 'none' })
      expect(await numbers()).toEqual([1, 2])
    })
    if (subject.noticesEnd)
      it('notices that the work has ended the transaction itself', async () => {
        const error = await failure(
          driver.transaction(async (tx) => {
            await insert(tx, 5)
            await opened.own(tx, 'rollback')
          }),
        )
        expect(error).toMatchObject({ code: 'PROGRAMMING_ERROR', effect: 'unknown' })
        expect(await numbers()).toEqual([1, 2])
      })
    it('knows an open transaction, and that one is over', async () => {
      const kept: unknown[] = []
      await driver.transaction(async (tx) => {
        kept.push(tx)
        expect(driver.isTransaction(tx)).toBe(true)
      })
      await failure(driver.transaction((tx) => Promise.reject(kept.push(tx))))
      for (const other of [...kept, ...opened.others, {}, null, undefined, 'tx', () => undefined]) {
        expect(driver.isTransaction(other)).toBe(false)
        const error = await failure(driver.query(other, `insert into ${schema}.t values (5)`, []))
        expect(error).toMatchObject({ code: 'TRANSACTION_REQUIRED', effect: 'none' })
      }
      expect(await numbers()).toEqual([1, 2])
    })
    it('takes part in a transaction that the user began, as long as it is open', async () => {
      let stale: unknown
      await opened.begin(async (tx) => {
        stale = tx
        expect(driver.isTransaction(tx)).toBe(true)
        expect((await driver.query(tx, 'select $1::int4 as n', [7])).rows).toEqual([{ n: 7 }])
        await insert(tx, 6)
        await insert(tx, 7)
      })
      await failure(
        opened.begin(async (tx) => {
          await insert(tx, 8)
          throw new Error('undo')
        }),
      )
      if (subject.noticesEnd) expect(driver.isTransaction(stale)).toBe(false)
      expect(await failure(insert(stale, 9))).toMatchObject({ code: 'TRANSACTION_REQUIRED', effect: 'none' })
      expect(await numbers()).toEqual([1, 2, 6, 7])
      await driver.execute(`delete from ${schema}.t where n > 2`, [])
    })
    it('refuses a transaction inside another one, and begins one after it', async () => {
      const error = await failure(driver.transaction(() => driver.transaction(async () => 1)))
      expect(error).toMatchObject({ code: 'PROGRAMMING_ERROR', effect: 'none' })
      let later: (() => Promise<number>) | undefined
      await driver.transaction(async () => {
        // In the async context of the transaction, after it.
        later = () => driver.transaction(async () => 2)
      })
      expect(await later?.()).toBe(2)
    })
    if (subject.embedded)
      it('refuses a statement of its own inside a transaction: it would wait for ever', async () => {
        const error = await failure(driver.transaction(() => driver.execute('select 1', [])))
        expect(error).toMatchObject({ code: 'PROGRAMMING_ERROR', effect: 'none' })
      })
    it('keeps the async context of whoever began it', async () => {
      const cause = { id: 'message-1' }
      const seen = await withInherited({ cause }, () => driver.transaction(async () => inherited()?.cause))
      expect(seen).toBe(cause)
      expect(await driver.transaction(async () => inherited()?.cause)).toBe(undefined)
    })
    it('runs many at once on few connections', async () => {
      const answers = await Promise.all(
        Array.from({ length: 60 }, (_, n) =>
          n % 2 === 0
            ? driver.execute('select $1::int4 as n', [n])
            : driver.transaction((tx) => driver.query(tx, 'select $1::int4 as n', [n])),
        ),
      )
      expect(answers.map(({ rows }) => rows[0]?.['n'])).toEqual(Array.from({ length: 60 }, (_, n) => n))
    })
    it('migrates a schema, once', async () => {
      const { applied } = await migrate(driver, { schema: `${schema}_m` })
      expect(applied.length).toBeGreaterThan(1)
      expect(await migrate(driver, { schema: `${schema}_m` })).toEqual({ applied: [] })
      await driver.execute(`drop schema ${schema}_m cascade`, [])
    })
    it('calls a function that answers nothing', async () => {
      await driver.execute('select pg_notify($1, $2)', ['nobody', ''])
      await driver.transaction((tx) => driver.query(tx, 'select pg_advisory_xact_lock($1)', [7]))
    })
    it(`${subject.listens ? 'listens' : 'does not listen by itself'}`, async () => {
      expect(typeof driver.listen).toBe(subject.listens ? 'function' : 'undefined')
      if (driver.listen === undefined) return
      const channel = `drv ${schema}`
      let hear: () => void = () => undefined
      let heard = 0
      const next = (): Promise<void> => new Promise((resolve) => (hear = resolve))
      let woken = next()
      const stop = await driver.listen(channel, () => {
        heard++
        hear()
      })
      // It may wake at once, because something may have been missed.
      if (heard > 0) woken = next()
      await driver.execute('select pg_notify($1, $2)', [channel, ''])
      await woken
      await stop()
      const before = heard
      await driver.execute('select pg_notify($1, $2)', [channel, ''])
      await driver.execute('select 1', [])
      expect(heard).toBe(before)
    })

    if (admin === undefined) return

    describe('trouble', () => {
      const pidOf = async (tx: unknown): Promise<number> =>
        Number((await driver.query(tx, 'select pg_backend_pid() as pid', [])).rows[0]?.['pid'])
      const gone = async (pid: number): Promise<void> => {
        await admin(`select pg_terminate_backend(${pid}, 5000)`)
      }

      it.each(subject.diesOfLoss ? (['query'] as const) : (['own', 'query'] as const))(
        'a connection lost before COMMIT was sent: nothing was done (%s)',
        async (how) => {
          const error = await failure(
            driver.transaction(async (tx) => {
              await insert(tx, 10)
              await gone(await pidOf(tx))
              const what = `insert into ${schema}.t values (11)`
              await (how === 'own' ? opened.own(tx, what) : driver.query(tx, what, []))
            }),
          )
          expect(error).toMatchObject({ code: 'CONNECTION_LOST', effect: 'none' })
          expect(await numbers()).toEqual([1, 2])
        },
      )
      it('a connection lost that nobody noticed: it is not called committed', async () => {
        const error = await failure(
          driver.transaction(async (tx) => {
            await insert(tx, 12)
            await gone(await pidOf(tx))
          }),
        )
        expect(isFairleadError(error)).toBe(true)
        expect(error.code).toBe('CONNECTION_LOST')
        expect(await numbers()).toEqual([1, 2])
      })
      it('a connection lost while COMMIT is under way: nobody knows', async () => {
        await admin(
          `create or replace function ${schema}.slow() returns trigger language plpgsql as $$ begin perform pg_sleep(30); return null; end $$`,
        )
        await admin(`create table if not exists ${schema}.slow_t (n int)`)
        await admin(
          `create constraint trigger slow after insert on ${schema}.slow_t deferrable initially deferred for each row execute function ${schema}.slow()`,
        )
        let pid = 0
        const committing = failure(
          driver.transaction(async (tx) => {
            pid = await pidOf(tx)
            await driver.query(tx, `insert into ${schema}.slow_t values (1)`, [])
          }),
        )
        // Nothing else tells when a COMMIT is under way.
        const asleep = (): Promise<any> =>
          admin(`select pg_sleep(0.01), pid from pg_stat_activity where pid = ${pid} and wait_event = 'PgSleep'`)
        while ((await asleep()).length === 0);
        await gone(pid)
        expect(await committing).toMatchObject({ code: 'CONNECTION_LOST', effect: 'unknown' })
        await admin(`drop table ${schema}.slow_t`)
      })
      it('an error of another connection stays what it is there', async () => {
        const error = await failure(
          driver.transaction(async () => {
            throw Object.assign(new Error('Connection terminated unexpectedly'))
          }),
        )
        expect(error).toMatchObject({ code: 'CONNECTION_LOST', effect: 'unknown' })
      })
      it('no server: nothing was done', async () => {
        const away = await subject.open({ host: '127.0.0.1', port: 1 })
        expect(await failure(away.driver.execute('select 1', []))).toMatchObject({
          effect: 'none',
          transport: 'postgres',
        })
        expect(await failure(away.driver.transaction(async () => 1))).toMatchObject({
          effect: 'none',
          transport: 'postgres',
        })
        await away.driver.close()
        await away.close()
      })
      it('goes on afterwards', async () => {
        await driver.transaction((tx) => insert(tx, 20))
        expect(await numbers()).toEqual([1, 2, 20])
      })
    })
  })
}
