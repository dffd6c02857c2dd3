// The suite of every CheckpointStore on PostgreSQL, itself or through PgBouncer, and processes that fight over lanes.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Pool } from 'pg'
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest'
import { migrate, pgDriver, postgresCheckpoints } from '../../../src/adapters/postgres/index.ts'
import { testCheckpointStore } from '../../../src/testing/checkpoint-suite.ts'
import { server } from '../../services/servers.ts'
import { dropSchema, freshSchema, poolOf } from './ground.ts'

const script = fileURLToPath(new URL('checkpoints-process.ts', import.meta.url))
const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

export const describeCheckpoints = (name: string): void => {
  const schema = freshSchema('checkpoints')
  let pool: Pool
  beforeAll(async () => {
    pool = poolOf(name)
    await migrate(pgDriver(pool), { schema })
  })
  afterAll(async () => {
    await dropSchema(pool, schema)
    await pool.end()
  })

  testCheckpointStore(
    name,
    () => {
      const pools: Pool[] = []
      return {
        leaseMs: 2_000,
        open() {
          const own = poolOf(name)
          pools.push(own)
          return postgresCheckpoints(pgDriver(own), { schema })
        },
        close: async () => void (await Promise.all(pools.map((own) => own.end()))),
      }
    },
    { describe, test },
  )

  it('members that ask at once are given no lane twice', async () => {
    const pools = Array.from({ length: 6 }, () => poolOf(name, { max: 1 }))
    const stores = pools.map((own) => postgresCheckpoints(pgDriver(own), { schema }))
    const lanes = Array.from({ length: 12 }, (_, n) => `lane ${n}`)
    for (let round = 0; round < 30; round++) {
      const held = await Promise.all(
        stores.map((store, n) => store.lease(`burst ${round % 10}`, `m${n}`, lanes, 30_000)),
      )
      const given = held.flat().map(({ lane }) => lane)
      expect(given.length).toBe(new Set(given).size)
    }
    await Promise.all(pools.map((own) => own.end()))
  })

  describe('three processes, one of which is killed', () => {
    const lanes = ['a', 'b', 'c', 'd']
    const start = (member: string, seed: number): { child: ChildProcess; lines: Promise<string[]> } => {
      const told = { ...server(name), schema, member, seed, lanes, leaseMs: 100 }
      const child = spawn(process.execPath, ['--import', 'tsx', script, JSON.stringify(told)], {
        stdio: ['pipe', 'pipe', 'inherit'],
      })
      const lines: string[] = []
      createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) => lines.push(line))
      return { child, lines: once(child, 'exit').then(() => lines) }
    }
    it('never let an older holder write after a newer one, and leave no lane behind', async () => {
      const quoted = `"${schema.replaceAll('"', '""')}"`
      // What was written is what counts, whatever the processes believe.
      await pool.query(`
        create table ${quoted}.history (seq bigserial primary key, lane text, epoch bigint, position bigint);
        create function ${quoted}.note() returns trigger language plpgsql as $f$
        begin
          insert into ${quoted}.history (lane, epoch, position) values (new.lane, new.epoch, new.position::bigint);
          return null;
        end $f$;
        create trigger note after update of position on ${quoted}.lane for each row when (new.consumer = 'fight') execute function ${quoted}.note()`)
      const [first, ...others] = [start('m1', 1), start('m2', 2), start('m3', 3)]
      const written = async (): Promise<number> =>
        (await pool.query(`select count(*)::int as n from ${quoted}.history`)).rows[0].n
      while ((await written()) < 100) await wait(20)
      first?.child.kill('SIGKILL')
      const until = (await written()) + 300
      while ((await written()) < until) await wait(20)
      for (const { child } of others) child.stdin?.write('stop\n')
      const sums = (await Promise.all(others.map(({ lines }) => lines))).map((lines) =>
        JSON.parse(lines.at(-1) ?? '{}'),
      )
      const { rows } = await pool.query(`select lane, epoch::int, position::int from ${quoted}.history order by seq`)
      const newest = new Map<string, { epoch: number; position: number }>()
      const wrong: string[] = []
      for (const { lane, epoch, position } of rows) {
        const last = newest.get(lane) ?? { epoch: 0, position: 0 }
        if (epoch < last.epoch) wrong.push(`${lane}: epoch ${epoch} wrote after ${last.epoch}`)
        newest.set(lane, { epoch, position })
      }
      expect(wrong).toEqual([])
      expect([...newest.keys()].sort()).toEqual(lanes)
      // Otherwise nothing was fought over.
      expect(sums.reduce((sum, { fenced }) => sum + fenced, 0)).toBeGreaterThan(0)
      const checkpoints = postgresCheckpoints(pgDriver(pool), { schema })
      await wait(150)
      expect(await checkpoints.lease('fight', 'm4', lanes, 1_000)).toHaveLength(4)
    })
  })
}
