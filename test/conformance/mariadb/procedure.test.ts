// Publishing from SQL: a procedure that triggers and other languages call, and whose messages are read as all others are.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { printMysqlProcedure } from '../../../src/adapters/mysql/index.ts'
import { type MariadbLab, mariadbLab, row } from './mariadb-lab.ts'

let lab: MariadbLab
const prefix = 'it`s_'
beforeAll(async () => {
  lab = await mariadbLab()
  await lab.newStore({ prefix, owner: 'shop' }).migrate()
  await lab.pool.query(printMysqlProcedure({ prefix, database: lab.database }))
  await lab.pool.query('create table orders (id varchar(20) primary key, total int) engine=InnoDB')
  for (const when of ['insert', 'update'])
    await lab.pool.query(
      `create trigger placed_${when} after ${when} on orders for each row call \`it\`\`s_publish\`('topic', 'orders', 'order.placed', json_object('id', new.id, 'total', new.total), new.id, null, null)`,
    )
})
afterAll(() => lab.close())

describe('the procedure', () => {
  it('publishes from a trigger, as part of the commit, in order per key, as the store does', async () => {
    const store = lab.newStore({ prefix, owner: 'shop' })
    const same = (over: object) => row({ key: 'ö1', ...over })
    await store.transaction(async (tx) => {
      await tx.query("insert into orders values ('ö1', 1), ('o2', 2)")
      await store.outbox.append(tx, [same({ id: 'by hand' })])
      await tx.query("update orders set total = 3 where id = 'ö1'")
    })
    await store
      .transaction(async (tx) => {
        await tx.query('update orders set total = 9')
        throw new Error('no')
      })
      .catch(() => undefined)
    const leases = await store.outbox.lease('relay', 60_000)
    const rows = await store.outbox.pending(leases, 10)
    expect(rows.map(({ envelope }) => envelope.key)).toEqual(['ö1', 'o2', 'ö1', 'ö1'])
    // One key is in one partition and blocks as one, whoever published.
    expect(new Set([0, 2, 3].map((n) => rows[n]?.partition)).size).toBe(1)
    const [first] = rows
    expect(first).toMatchObject({
      channel: { kind: 'topic', name: 'orders' },
      envelope: {
        attributes: { specversion: '1.0', source: '/shop', type: 'order.placed', datacontenttype: 'application/json' },
        headers: {},
      },
    })
    expect(JSON.parse(new TextDecoder().decode(first?.envelope.body))).toEqual({ id: 'ö1', total: 1 })
    expect(Number.isNaN(Date.parse(first?.envelope.attributes['time'] ?? ''))).toBe(false)
    await store.outbox.settle(leases, [
      { sequence: first?.sequence as bigint, verdict: 'dead', reason: 'test', blocksKey: true },
    ])
    expect((await store.outbox.pending(leases, 10)).map(({ envelope }) => envelope.key)).toEqual(['o2'])
    // The same row of the table of locks: the second one waits, here in vain.
    const [one, two] = [await lab.pool.getConnection(), await lab.pool.getConnection()]
    await one.query('start transaction')
    await store.outbox.append(one, [row({ key: 'ö1' }, 'orders')])
    await two.query('set innodb_lock_wait_timeout = 0')
    await two.query('start transaction')
    await expect(two.query("update orders set total = 4 where id = 'ö1'")).rejects.toMatchObject({ errno: 1205 })
    await two.query("update orders set total = 4 where id = 'o2'")
    for (const each of [one, two]) {
      await each.query('rollback')
      each.destroy()
    }
  })
  it('refuses what no message can be', async () => {
    const call = (...values: (string | null)[]) => lab.pool.query('call `it``s_publish`(?, ?, ?, ?, ?, ?, ?)', values)
    for (const values of [
      ['mail', 'c', 't', null, null, null, null],
      ['queue', '', 't', null, null, null, null],
      ['queue', 'c', null, null, null, null, null],
      ['queue', 'c', 't', null, '', null, null],
      ['queue', 'c', 't', null, null, 'x'.repeat(257), null],
    ])
      await expect(call(...values)).rejects.toMatchObject({ sqlState: '45000' })
    await call('queue', 'mail', 'sent', null, null, 'm1', '/mail')
    const store = lab.newStore({ prefix })
    expect(await store.outbox.skip(['m1'])).toBe(1)
  })
})
