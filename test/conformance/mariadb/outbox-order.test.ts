// What only MySQL and MariaDB have to be proven for: order of commit by sequence, and no deadlocks, with 16 writers and relays that settle meanwhile, in both isolation levels.
import type { PoolConnection } from 'mysql2/promise'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type MysqlStore, mysql2Driver, mysqlStore } from '../../../src/adapters/mysql/index.ts'
import type { PendingRow } from '../../../src/core/contracts/store.ts'
import { seededRandom } from '../../../src/testing/index.ts'
import { type MariadbLab, mariadbLab, row } from './mariadb-lab.ts'

const WRITERS = 16
const ROUNDS = 25
const KEYS = 10

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

describe.each([
  ['REPEATABLE READ', `set session transaction isolation level repeatable read`],
  ['READ COMMITTED', `set session transaction isolation level read committed`],
  [
    'REPEATABLE READ with snapshot isolation (the default of MariaDB 11.6 and later)',
    'set session innodb_snapshot_isolation = on',
  ],
])('in %s', (_, setting) => {
  let lab: MariadbLab
  let store: MysqlStore<PoolConnection>
  beforeAll(async () => {
    lab = await mariadbLab()
    const pool = lab.newPool({ connectionLimit: WRITERS + 4 })
    pool.on('connection', (connection) => void connection.query(setting))
    store = mysqlStore(mysql2Driver(pool))
    await store.migrate()
    await lab.pool.query(
      'create table commits (n bigint auto_increment primary key, id varchar(50), k varchar(10)) engine=InnoDB',
    )
    await lab.pool.query('create table business (k varchar(10) primary key, n int not null) engine=InnoDB')
  })
  afterAll(() => lab.close())

  it('orders rows of a key as their transactions were committed, without a deadlock, while a relay settles', async () => {
    const random = seededRandom(7)
    const failures: string[] = []
    let writing = WRITERS
    const published: PendingRow[] = []

    const writer = async (name: number): Promise<void> => {
      for (let round = 0; round < ROUNDS; round++) {
        const keys = Array.from({ length: 3 }, () => `k${Math.floor(random() * KEYS)}`)
        const rows = keys.map((key, at) => row({ id: `${name}-${round}-${at}`, key }))
        try {
          await store.transaction(async (tx) => {
            // A snapshot from before the locks.
            await tx.query('select count(*) from business')
            if (random() < 0.3) await pause(random() * 5)
            store.beforeCommit(tx, () => store.outbox.append(tx, rows))
            // A slow commit: others draw their sequences meanwhile.
            store.beforeCommit(tx, () => pause(random() < 0.3 ? random() * 10 : 0))
          })
        } catch (error) {
          failures.push(String(error))
        }
      }
      writing--
    }
    // What order commits had is seen from outside: rows become visible when they are committed.
    const seen = new Map<string, bigint>()
    const inversions: string[] = []
    const relay = async (): Promise<void> => {
      const leases = await store.outbox.lease('relay', 60_000)
      for (;;) {
        const last = writing === 0
        const rows = await store.outbox.pending(leases, 1_000)
        for (const each of rows) {
          const key = each.envelope.key as string
          const before = seen.get(key) ?? -1n
          if (each.sequence < before) inversions.push(`${key}: ${each.sequence} after ${before}`)
          seen.set(key, each.sequence)
        }
        published.push(...rows)
        const settled = await store.outbox.settle(
          leases,
          rows.map(({ sequence }) => ({ sequence, verdict: 'published' as const })),
        )
        expect(settled).toBe(rows.length)
        if (last && rows.length === 0) return
      }
    }
    await Promise.all([relay(), ...Array.from({ length: WRITERS }, (_, name) => writer(name))])
    expect(failures).toEqual([])
    expect(inversions).toEqual([])
    expect(published).toHaveLength(WRITERS * ROUNDS * 3)
    expect(await store.outbox.stats()).toEqual({ backlog: 0, dead: 0, blockedKeys: 0, oldestMs: 0 })
  })
})
