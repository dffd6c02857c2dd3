// What a process needs that only works with the tables, and what migrating needs.
import type { PoolConnection } from 'mysql2/promise'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type MysqlStore, mysql2Driver, mysqlStore } from '../../../src/adapters/mysql/index.ts'
import { type MariadbLab, mariadbLab, row } from './mariadb-lab.ts'

let lab: MariadbLab
let store: MysqlStore<PoolConnection>
const user = `worker_${process.pid}_${Math.floor(Math.random() * 1e6)}`

beforeAll(async () => {
  lab = await mariadbLab()
  await mysqlStore(lab.driver, { owner: 'shop' }).migrate()
  await lab.pool.query(`create user '${user}'@'%' identified by 'secret'`)
  // As docs and the docstring of mysqlStore say: these four, on its tables, and no more.
  const [tables] = await lab.pool.query('show tables')
  for (const table of (tables as Record<string, string>[]).flatMap((each) => Object.values(each)))
    await lab.pool.query(`grant select, insert, update, delete on \`${lab.database}\`.\`${table}\` to '${user}'@'%'`)
  store = mysqlStore(mysql2Driver(lab.newPool({ user, password: 'secret' })), { owner: 'shop', archive: true })
})
afterAll(async () => {
  await lab.pool.query(`drop user '${user}'@'%'`)
  await lab.close()
})

const rejection = async (work: Promise<unknown>): Promise<unknown> => {
  try {
    await work
  } catch (error) {
    return error
  }
  throw new Error('it did not reject')
}

describe('with SELECT, INSERT, UPDATE and DELETE on the tables', () => {
  it('does everything but making tables', async () => {
    await store.check()
    expect(await store.migrate()).toEqual({ applied: [] })
    const message = { source: '/s', id: 'a' }
    await store.transaction(async (tx) => {
      expect(await store.inbox.claim(tx, 'c', [message])).toEqual(['first'])
      expect(await store.idempotency.reserve(tx, 's', 'k', 'h')).toEqual({ state: 'first' })
      await store.idempotency.complete(tx, 's', 'k', new Uint8Array([1]))
      expect(await store.states.save(tx, 'kind', 'id', 0, {}, { correlations: ['x'], wakeAt: 1 })).toBe(true)
      expect(await store.states.save(tx, 'kind', 'id', 1, {}, { done: true })).toBe(true)
      await store.outbox.append(tx, [row({ id: 'a', key: 'k' }), row({ id: 'b' }), row({ id: 'c' })])
    })
    expect(await store.inbox.started('c', message)).toBe(1)
    await store.inbox.finished('c', message)
    await store.inbox.park('c', 'k', 60_000)
    await store.inbox.unpark('c', 'k')
    const leases = await store.outbox.lease('r', 10_000)
    const rows = await store.outbox.pending(leases, 10)
    const [a, b, c] = rows.map(({ sequence }) => sequence) as [bigint, bigint, bigint]
    expect(
      await store.outbox.settle(leases, [
        { sequence: a, verdict: 'dead', reason: 'x', blocksKey: true },
        { sequence: b, verdict: 'published' },
        { sequence: c, verdict: 'retry', delayMs: 0, reason: 'x' },
      ]),
    ).toBe(3)
    expect(await store.outbox.redrive('all')).toBe(1)
    expect(await store.outbox.skip(['a', 'c'])).toBe(2)
    expect(await store.outbox.purge({ olderThanMs: 0, limit: 10 })).toBe(1)
    expect(await store.outbox.stats()).toMatchObject({ backlog: 0, dead: 0, blockedKeys: 0 })
    await store.outbox.release(leases)
    const [lane] = await store.checkpoints.lease('c', 'm', ['l'], 60_000)
    expect(await store.checkpoints.save('c', lane as NonNullable<typeof lane>, 'p')).toBe(true)
    await store.checkpoints.release('c', [lane as NonNullable<typeof lane>])
    expect(await store.inbox.purge(0, 10)).toBe(1)
    expect(await store.idempotency.purge(0, 10)).toBe(1)
    expect(await store.states.purge('kind', 0, 10)).toBe(1)
  })
  it('is refused where it would have to make tables, and says so', async () => {
    const elsewhere = mysqlStore(mysql2Driver(lab.newPool({ user, password: 'secret' })), { prefix: 'other_' })
    expect(await rejection(elsewhere.migrate())).toMatchObject({ code: 'FORBIDDEN', effect: 'none' })
  })
  it('refuses tables of another owner', async () => {
    const other = mysqlStore(lab.driver, { owner: 'bank' })
    for (const work of [() => other.check(), () => other.migrate()])
      expect(await rejection(work())).toMatchObject({
        code: 'INCOMPATIBLE',
        message: expect.stringContaining('belong to shop, and not to bank'),
      })
  })
})
