// A disk that is full: what did not fit is refused as a whole, and everything goes on once there is room.
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { pgDriver, postgresStore } from 'fairlead/postgres'
import { Pool, type PoolClient } from 'pg'
import { afterAll, expect, it } from 'vitest'
import type { Store } from '../../../src/core/contracts/store.ts'
import { type PostgresInstance, startPostgres } from '../../services/postgres-instance.ts'
import { drain, row } from './own-store.ts'

const ends: (() => Promise<unknown> | unknown)[] = []
afterAll(async () => {
  for (const end of ends.reverse()) await end()
})

/** A small disk of its own; undefined where this user may mount none. */
const smallDisk = (): string | undefined => {
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-disk-'))
  ends.push(() => rmSync(folder, { recursive: true, force: true }))
  if (userInfo().uid !== 0) return undefined
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', folder], { stdio: 'ignore' })
  } catch {
    return undefined
  }
  // Whoever still has it open keeps it until it ends.
  ends.push(() => execFileSync('umount', ['--lazy', folder]))
  execFileSync('chown', ['postgres', folder])
  chmodSync(folder, 0o700)
  return folder
}

/** Fills what the tables are on, and the way to make room again. Where no disk can be had, the server says of itself that it is full. */
const fill = async (
  instance: PostgresInstance,
  pool: Pool,
): Promise<{ readonly store: Store<PoolClient>; readonly full: () => Promise<() => Promise<void>> }> => {
  const disk = smallDisk()
  if (disk !== undefined) await pool.query(`create tablespace small location '${disk}'`)
  const served = new Pool({
    host: instance.host,
    port: instance.port,
    user: 'postgres',
    database: 'postgres',
    ...(disk === undefined ? undefined : { options: '-c default_tablespace=small' }),
  })
  ends.push(() => served.end())
  const driver = pgDriver(served)
  const store = postgresStore(driver)
  await store.migrate()
  if (disk === undefined)
    return {
      store,
      async full() {
        await pool.query(`create function refuse() returns trigger language plpgsql as
          $body$ begin raise 'could not extend file: No space left on device' using errcode = '53100'; end $body$`)
        await pool.query(
          'create trigger refuse before insert on fairlead.outbox for each statement execute function refuse()',
        )
        return async () => void (await pool.query('drop trigger refuse on fairlead.outbox'))
      },
    }
  return {
    store,
    async full() {
      await pool.query('create table filler (b bytea) tablespace small')
      await pool.query('alter table filler alter b set storage external')
      for (const size of [1_000_000, 10_000, 1_000])
        while (await fits(pool, size)) {
          // On.
        }
      return async () => void (await pool.query('drop table filler'))
    },
  }
}

const fits = async (pool: Pool, bytes: number): Promise<boolean> => {
  const work = pool.query(`insert into filler values (convert_to(repeat('x', ${bytes}), 'UTF8'))`)
  return work.then(
    () => true,
    () => false,
  )
}

it('refuses as a whole what does not fit, and goes on once there is room', async () => {
  const instance = await startPostgres()
  ends.push(() => instance.remove())
  const pool = new Pool({ host: instance.host, port: instance.port, user: 'postgres', database: 'postgres' })
  pool.on('error', () => undefined)
  const { store, full } = await fill(instance, pool)
  await store.transaction((tx) => store.outbox.append(tx, [row('before', 'k')]))
  const room = await full()
  const many = Array.from({ length: 200 }, (_, n) => ({
    ...row(`r${n}`, 'k'),
    envelope: { ...row(`r${n}`, 'k').envelope, body: Buffer.alloc(20_000, n) },
  }))
  await expect(store.transaction((tx) => store.outbox.append(tx, many))).rejects.toMatchObject({
    code: 'UNAVAILABLE',
    effect: 'none',
    transient: true,
    details: { sqlState: '53100' },
  })
  await room()
  await store.transaction((tx) => store.outbox.append(tx, [row('after', 'k')]))
  expect(await drain(store, await store.outbox.lease('r', 10_000))).toEqual(['before', 'after'])
  await pool.end()
}, 60_000)
