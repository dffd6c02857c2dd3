// Several relays in processes of their own on PostgreSQL: one is killed between sending and settling, one joins, one leaves. Nothing is lost, and no key is out of order.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Pool, PoolClient } from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { pgDriver, postgresStore } from '../../../src/adapters/postgres/index.ts'
import type { Store } from '../../../src/core/contracts/store.ts'
import { topic } from '../../../src/messaging/index.ts'
import { createOutbox } from '../../../src/messaging/outbox/index.ts'
import { server } from '../../services/servers.ts'
import { dropSchema, freshSchema, poolOf } from './ground.ts'

const script = fileURLToPath(new URL('relay-process.ts', import.meta.url))
const Numbers = topic('numbers', { number: z.object({ n: z.number() }) })
const LEASE_MS = 1_500
const KEYS = 40

const schema = freshSchema('relay')
let pool: Pool
let store: Store<PoolClient>
const children: ChildProcess[] = []

beforeAll(async () => {
  pool = poolOf('postgres', { max: 12 })
  store = postgresStore(pgDriver(pool), { schema })
  await store.migrate()
  await pool.query(`create table "${schema}".arrived (n bigserial primary key, id text not null, key text, relay int)`)
})
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL')
  await dropSchema(pool, schema)
  await pool.end()
})

async function relay(diesAfter = 0): Promise<ChildProcess> {
  const told = JSON.stringify({ ...server('postgres'), schema, leaseMs: LEASE_MS, diesAfter })
  const child = spawn(process.execPath, ['--import', 'tsx', script, told], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  children.push(child)
  await once(child, 'message')
  return child
}

// Writers whose transactions last for different times: what commits late has numbers below those that were read already.
async function publish(from: number, to: number): Promise<void> {
  const outbox = createOutbox(store)
  const next: number[] = Array.from({ length: KEYS }, () => 0)
  const write = async (writer: number): Promise<void> => {
    for (let at = from + writer; at < to; at += 8) {
      const key = at % KEYS
      await store.transaction(async (tx) => {
        await tx.query('select pg_sleep($1)', [(at % 5) / 1_000])
        // Only one writer has a key, so this is the order of its commits.
        const n = from + (next[key] as number)
        next[key] = (next[key] as number) + 1
        await outbox.publish(tx, Numbers, { type: 'number', id: `${key}:${n}`, key: `k-${key}`, data: { n } })
      })
    }
  }
  await Promise.all(Array.from({ length: 8 }, (_, writer) => write(writer)))
}

async function drained(): Promise<void> {
  const end = Date.now() + 60_000
  while ((await store.outbox.stats()).backlog > 0) {
    if (Date.now() > end) throw new Error('it took too long')
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

describe('relays in several processes', () => {
  it('lose nothing and keep the order of each key, though one is killed before it could settle', async () => {
    const first = await relay()
    // It is there before anything is published: a fast machine would have nothing left for it to die of.
    const doomed = await relay(20)
    for (let holders = 0; holders < 2; await new Promise((resolve) => setTimeout(resolve, 20)))
      holders = (await pool.query(`select count(distinct relay)::int as n from "${schema}".outbox_lease`)).rows[0].n
    const publishing = publish(0, 1_200)
    await relay()
    if (doomed.exitCode === null && doomed.signalCode === null) await once(doomed, 'exit')
    expect(doomed.signalCode).toBe('SIGKILL')
    await publishing
    await drained()
    // One leaves in good order: the rest goes on at once.
    const left = once(first, 'exit')
    first.send('close')
    await publish(1_200, 1_600)
    await left
    await drained()

    const { rows } = await pool.query<{ id: string }>(`select id from "${schema}".arrived order by n`)
    const firsts = [...new Set(rows.map(({ id }) => id))]
    expect(firsts).toHaveLength(1_600)
    for (let key = 0; key < KEYS; key++) {
      const own = firsts.filter((id) => id.startsWith(`${key}:`)).map((id) => Number(id.slice(id.indexOf(':') + 1)))
      expect(own).toEqual([...own].sort((a, b) => a - b))
    }
    const { rows: relays } = await pool.query<{ relay: number }>(`select distinct relay from "${schema}".arrived`)
    expect(relays.length).toBeGreaterThanOrEqual(3)
  }, 180_000)
})
