// A disk that is full: what did not fit is refused as a whole, or the server ends over it; either way nothing of it is kept, and everything goes on once there is room.
import { execFileSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import type { PoolConnection } from 'mysql2/promise'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { MysqlStore } from '../../../src/adapters/mysql/index.ts'
import { type MariadbInstance, startMariadb } from '../../services/mariadb-instance.ts'
import { type MariadbLab, mariadbLab, row } from './mariadb-lab.ts'

type Rows = readonly ReturnType<typeof row>[]

let instance: MariadbInstance
const folder = mkdtempSync(join(tmpdir(), 'fairlead-mariadb-'))
const ends: (() => Promise<unknown> | unknown)[] = []
beforeAll(async () => {
  // The smallest that fairlead takes for granted: no append of many messages may be one statement.
  instance = await startMariadb({ 'max-allowed-packet': '1M' }, folder)
  ends.push(() => instance.remove())
}, 60_000)
afterAll(async () => {
  // Each of them, whatever became of the others: what is left would be a mount.
  const failures: unknown[] = []
  for (const end of ends.reverse())
    try {
      await end()
    } catch (error) {
      failures.push(error)
    }
  expect(failures).toEqual([])
}, 60_000)

const newLab = async (): Promise<MariadbLab> => {
  const lab = await mariadbLab(instance)
  ends.push(() => lab.close())
  return lab
}

/** Puts a small disk there, of the server's user; false where this user may mount none. */
const mounted = (disk: string): boolean => {
  if (userInfo().uid !== 0) return false
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', disk], { stdio: 'ignore' })
  } catch {
    return false
  }
  try {
    execFileSync('chown', ['mysql', disk], { stdio: 'ignore' })
    return true
  } catch {
    unmounted(disk)
    return false
  }
}
// Whoever still has it open keeps it until it ends.
const unmounted = (disk: string): void => void execFileSync('umount', ['--lazy', disk])

/** A way for the tables of a lab to have no room, and then to have it again. */
interface Way {
  readonly disk: string
  /** Before the tables are made. */
  make(lab: MariadbLab): void
  full(lab: MariadbLab): Promise<() => Promise<void>>
}

const said: Way = {
  disk: 'the server says of itself that it is full',
  make: () => undefined,
  async full({ pool, database }) {
    await pool.query(
      `create trigger ${database}.refuse before insert on ${database}.fairlead_outbox for each row signal sqlstate 'HY000' set mysql_errno = 1114`,
    )
    return async () => void (await pool.query(`drop trigger ${database}.refuse`))
  },
}

const placeOf = ({ database }: MariadbLab): string => join(folder, 'data', database)
const small: Way = {
  disk: 'a small disk has no room left',
  // The tables alone are on it: a server whose logs do not fit any more ends.
  make(lab) {
    expect(mounted(placeOf(lab))).toBe(true)
    ends.push(() => unmounted(placeOf(lab)))
  },
  async full(lab) {
    const filler = join(placeOf(lab), 'filler')
    const open = openSync(filler, 'w')
    for (const size of [1_048_576, 4_096])
      try {
        while (writeSync(open, Buffer.alloc(size)) === size) {
          // On.
        }
      } catch {
        // A smaller piece may still fit.
      }
    // As long as it is open, its room is not given back.
    closeSync(open)
    return async () => {
      rmSync(filler)
      const { bavail, bsize } = statfsSync(placeOf(lab))
      expect(bavail * bsize).toBeGreaterThan(1_048_576)
    }
  },
}

// Whoever may mount none has the first way alone.
const probe = mkdtempSync(join(tmpdir(), 'fairlead-disk-'))
const mounts = mounted(probe)
if (mounts) unmounted(probe)
rmSync(probe, { recursive: true, force: true })

const messages = (name: string, count: number, bytes: number): Rows =>
  Array.from({ length: count }, (_, n) => row({ id: `${name} ${n}`, key: 'k', body: Buffer.alloc(bytes, n) }))

const append = (store: MysqlStore<PoolConnection>, rows: Rows): Promise<void> =>
  store.transaction((tx) => store.outbox.append(tx, rows))

const ids = async (store: MysqlStore<PoolConnection>, limit = 1_000): Promise<readonly string[]> => {
  const leases = await store.outbox.lease('r', 60_000)
  return (await store.outbox.pending(leases, limit)).map(({ envelope }) => envelope.id)
}

it('takes in one append many times what the server takes in one statement', { timeout: 60_000 }, async () => {
  const lab = await newLab()
  const store = lab.newStore()
  await store.migrate()
  const many = messages('m', 100, 40_000)
  await append(store, many)
  expect(await ids(store)).toEqual(many.map(({ envelope }) => envelope.id))
  await expect(append(store, messages('large', 1, 600_000))).rejects.toMatchObject({
    code: 'PAYLOAD_TOO_LARGE',
    effect: 'none',
    transient: false,
  })
})

it.each(mounts ? [said, small] : [said])(
  'refuses as a whole what does not fit: $disk',
  { timeout: 60_000 },
  async (way) => {
    const lab = await newLab()
    way.make(lab)
    const store = lab.newStore()
    await store.migrate()
    // InnoDB keeps some room in a large file for what undoes; in a small one see below.
    const before = messages('before', 100, 40_000)
    for (let from = 0; from < before.length; from += 10) await append(store, before.slice(from, from + 10))
    const room = await way.full(lab)
    await expect(append(store, messages('much', 400, 40_000))).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      effect: 'none',
      transient: true,
      details: { errno: 1114 },
    })
    await room()
    const after = messages('after', 25, 40_000)
    await append(store, after)
    expect(await ids(store)).toEqual([...before, ...after].map(({ envelope }) => envelope.id))
  },
)

it.each(mounts ? [small] : [])('keeps nothing of what a server ends over: $disk', { timeout: 90_000 }, async (way) => {
  const lab = await newLab()
  way.make(lab)
  const store = lab.newStore()
  await store.migrate()
  await append(store, messages('before', 1, 100))
  const room = await way.full(lab)
  // Where even undoing the statement takes a page that is not there, InnoDB ends the server: "Out of disk space in rollback".
  await expect(append(store, messages('much', 400, 40_000))).rejects.toMatchObject({ effect: 'none', transient: true })
  const asked = (): Promise<unknown> => lab.pool.query('select 1').catch(({ code }) => code)
  await expect.poll(asked, { timeout: 30_000 }).toBe('ECONNREFUSED')
  await room()
  await instance.restart('kill')
  await append(store, messages('after', 1, 100))
  expect(await ids(store)).toEqual(['before 0', 'after 0'])
})
