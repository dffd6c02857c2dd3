// Eight receivers in four processes that are killed one after another: nothing is lost, and no message of a key is handled before one that was sent before it.
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { migrate, type PgDriver, pgDriver, postgresTransport } from 'fairlead/postgres'
import { Pool } from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../../src/core/clock.ts'
import { createContext } from '../../../src/core/context.ts'
import { deadlineIn } from '../../../src/core/deadline.ts'
import type { Envelope } from '../../../src/core/message.ts'
import { server } from '../../services/servers.ts'

const script = fileURLToPath(new URL('receiver-process.ts', import.meta.url))
const at = server('postgres')
const schema = `chaos_${process.pid}`
const KEYS = 12
const MESSAGES = 2_400
const KILLS = 5
const LEASE_MS = 1_000

describe('receivers that are killed', () => {
  let pool: Pool
  let driver: PgDriver<object>
  const processes = new Set<ChildProcess>()
  const startOne = (): Promise<void> =>
    new Promise((ready, fail) => {
      const told = JSON.stringify({ ...at, schema, queue: 'work', leaseMs: LEASE_MS })
      const child = fork(script, [told], {
        execArgv: ['--import', 'tsx'],
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      })
      processes.add(child)
      child.once('message', () => ready())
      child.once('exit', (code) => {
        processes.delete(child)
        if (code !== null) fail(new Error(`a receiver ended with ${code}`))
      })
    })
  const handled = async (): Promise<number> =>
    Number((await pool.query(`select count(distinct (key, n)) as count from "${schema}".handled`)).rows[0]?.count)

  beforeAll(async () => {
    if (at === undefined) throw new Error('PostgreSQL is not up')
    pool = new Pool({ ...at, user: 'postgres', database: 'postgres', max: 4 })
    driver = pgDriver(pool)
    await migrate(driver, { schema })
    await pool.query(
      `create table "${schema}".handled (at bigint generated always as identity, key text, n int, holder int)`,
    )
  })
  afterAll(async () => {
    for (const child of processes) child.kill('SIGKILL')
    await pool.query(`drop schema if exists "${schema}" cascade`)
    await driver.close()
    await pool.end()
  })

  it('lose nothing, and keep the order of each key', { timeout: 120_000 }, async () => {
    const transport = postgresTransport(driver, { schema })
    const queue = { kind: 'queue', name: 'work' } as const
    await transport.prepare([queue], 'create')
    await Promise.all([startOne(), startOne(), startOne(), startOne()])
    let sent = 0
    const counts = new Map<string, number>()
    const sending = (async () => {
      while (sent < MESSAGES) {
        const envelopes: Envelope[] = []
        for (let each = 0; each < 8; each++, sent++) {
          const key = `key-${(sent * 7) % KEYS}`
          const n = counts.get(key) ?? 0
          counts.set(key, n + 1)
          envelopes.push({ id: `${key}/${n}`, key, attributes: {}, headers: {}, body: Buffer.from(String(n)) })
        }
        const { context } = createContext({
          service: 's',
          operation: 'o',
          deadline: deadlineIn(10_000, systemClock),
          idempotent: true,
        })
        for (const verdict of await transport.send(queue, envelopes, context)) expect(verdict.status).toBe('accepted')
      }
    })()
    for (let kills = 0; kills < KILLS; kills++) {
      const before = await handled()
      await expect
        .poll(handled, { timeout: 30_000, interval: 20 })
        .toBeGreaterThan(Math.min(before + 100, MESSAGES - 1))
      ;[...processes][kills % processes.size]?.kill('SIGKILL')
      await startOne()
    }
    await sending
    await expect.poll(handled, { timeout: 60_000, interval: 100 }).toBe(MESSAGES)
    const { rows } = await pool.query(
      `select key, n, lag(n) over (partition by key order by at) as before from (select key, n, min(at) as at from "${schema}".handled group by key, n) first order by at`,
    )
    const inversions = rows.filter(({ n, before }) => before !== null && n !== before + 1)
    expect(inversions).toEqual([])
    // Several took part, or their order would prove nothing; how many, is up to the machine.
    expect(new Set((await pool.query(`select distinct holder from "${schema}".handled`)).rows).size).toBeGreaterThan(1)
    await transport.close()
  })
})
