// Who may do what: roles with nothing but the printed grants, printed migrations, owners, and schemas that are behind or ahead.
import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { checkMigrations, pgDriver, postgresStore, printGrants, printMigrations } from 'fairlead/postgres'
import { Pool } from 'pg'
import { afterAll, expect, it } from 'vitest'
import { migrateBy } from '../../../src/adapters/postgres/migrate.ts'
import { MIGRATIONS } from '../../../src/adapters/postgres/migrations/index.ts'
import { digestOf } from '../../../src/core/digest.ts'
import { at, drain, ownStore, quoted, row } from './own-store.ts'

if (at === undefined) throw new Error('PostgreSQL is not up: test/services/up postgres')
const { host, port } = at
const own = ownStore()
const run = promisify(execFile)
const roles: string[] = []
const schemas: string[] = []

const roleNamed = async (prefix: string): Promise<{ readonly role: string; readonly pool: Pool }> => {
  const role = `${prefix} ${randomUUID().slice(0, 8)}`
  await own.pool.query(`create role ${quoted(role)} login noinherit`)
  roles.push(role)
  return { role, pool: new Pool({ host, port, user: role, database: 'postgres', max: 4 }) }
}

afterAll(async () => {
  for (const schema of schemas) await own.pool.query(`drop schema if exists ${quoted(schema)} cascade`)
  for (const role of roles) await own.pool.query(`drop owned by ${quoted(role)}; drop role ${quoted(role)}`)
})

it('does all that it does at run time with the printed grants and nothing else', async () => {
  const { role, pool } = await roleNamed('ro"le $1')
  // As strict as a database can be.
  await own.run('revoke execute on all functions in schema @ from public')
  const driver = pgDriver(pool)
  const store = postgresStore(driver, { schema: own.name, archive: true })
  await expect(store.check()).rejects.toMatchObject({ code: 'FORBIDDEN' })
  await own.pool.query(printGrants({ schema: own.name, role }))
  await store.check()
  expect(await store.migrate()).toEqual({ applied: [] })
  const { outbox, inbox, idempotency, states, checkpoints } = store
  await store.transaction((tx) =>
    outbox.append(
      tx,
      ['1', '2', '3', '4', '5'].map((id) => row(id, id)),
    ),
  )
  const relay = await outbox.lease('relay', 60_000)
  const rows = await outbox.pending(relay, 3)
  const [a, b, c] = rows.map(({ sequence }) => sequence) as [bigint, bigint, bigint]
  await outbox.settle(relay, [
    { sequence: a, verdict: 'dead', reason: 'x', blocksKey: true },
    { sequence: b, verdict: 'retry', reason: 'x', delayMs: 0 },
    { sequence: c, verdict: 'hold', delayMs: 0 },
  ])
  expect(await outbox.redrive('all')).toBe(1)
  expect(await outbox.skip(['1'])).toBe(1)
  expect(await drain(store, relay)).toEqual(['2', '3', '4', '5'])
  expect(await outbox.purge({ olderThanMs: 0, limit: 10 })).toBe(4)
  expect(await outbox.purge({ olderThanMs: 0, limit: 10, dead: true })).toBe(0)
  for await (const _ of outbox.dead(1)) expect.unreachable()
  expect(await outbox.stats()).toMatchObject({ backlog: 0 })
  await outbox.announce?.()
  await outbox.release(relay)
  await store.transaction((tx) => inbox.claim(tx, 'c', [{ source: 's', id: '1' }]))
  await inbox.started('c', { source: 's', id: '1' })
  await inbox.started('c', { source: 's', id: '1' })
  await inbox.finished('c', { source: 's', id: '1' })
  await inbox.park('c', 'k', 60_000)
  expect(await inbox.parked('c', ['k'])).toEqual(['k'])
  await inbox.unpark('c', 'k')
  expect(await inbox.purge(0, 10)).toBe(1)
  await store.transaction(async (tx) => {
    await idempotency.reserve(tx, 's', 'k', 'h')
    await idempotency.complete(tx, 's', 'k', Buffer.from('a'))
    await states.save(tx, 'k', '1', 0, {}, { correlations: ['x'], wakeAt: 1 })
    await states.save(tx, 'k', '1', 1, {}, { correlations: ['y'] })
    expect(await states.find(tx, 'k', 'y')).toBe('1')
  })
  expect(await idempotency.purge(0, 10)).toBe(1)
  await states.due('k', 1, 1)
  for await (const state of states.list('k', 1)) expect(state.version).toBe(2)
  await store.transaction((tx) => states.save(tx, 'k', '1', 2, {}, { done: true }))
  expect(await states.purge('k', 0, 10)).toBe(1)
  const leases = await checkpoints.lease('c', 'm', ['1'], 1_000)
  await checkpoints.release('c', leases)
  await pool.query(`select ${own.schema}.publish('queue', 'q', 't', '{}')`)
  // And no more.
  for (const sql of [
    'create table @.mine (a int)',
    'drop table @.outbox',
    'truncate @.outbox',
    'alter table @.outbox add b int',
    `update @.migration set checksum = ''`,
    `insert into @.owner (owner) values ('me')`,
    'delete from @.outbox_lease',
    `update @.outbox set id = ''`,
  ])
    await expect(pool.query(sql.replace('@', () => own.schema))).rejects.toMatchObject({
      code: expect.stringMatching(/^42501$/),
    })
  await driver.close()
  await pool.end()
})

it('lets a role that only publishes do that and nothing else', async () => {
  const { role, pool } = await roleNamed('publisher')
  await own.pool.query(printGrants({ schema: own.name, role, to: 'publish' }))
  const driver = pgDriver(pool)
  const store = postgresStore(driver, { schema: own.name })
  await store.transaction((tx) => store.outbox.append(tx, [row('p1', 'k'), row('p2')]))
  await pool.query(`select ${own.schema}.publish('queue', 'q', 't', '{}', key => 'k')`)
  await expect(store.outbox.stats()).rejects.toMatchObject({ code: 'FORBIDDEN' })
  await expect(store.outbox.lease('r', 60_000)).rejects.toMatchObject({ code: 'FORBIDDEN' })
  await expect(pool.query(`select body from ${own.schema}.outbox`)).rejects.toThrow(/permission denied/)
  await driver.close()
  await pool.end()
})

it.each([undefined, `sh'o\\p`])('prints migrations that psql runs, for the owner %s', async (owner) => {
  const schema = `psql ${randomUUID().slice(0, 8)} "q" $1 \\ 'é`
  schemas.push(schema)
  const file = join(mkdtempSync(join(tmpdir(), 'fairlead-sql-')), 'all.sql')
  writeFileSync(file, printMigrations({ schema, owner }))
  await run('psql', [
    '--no-psqlrc',
    '--quiet',
    '--single-transaction',
    '--set=ON_ERROR_STOP=1',
    `--host=${host}`,
    `--port=${port}`,
    '--username=postgres',
    `--file=${file}`,
    'postgres',
  ])
  rmSync(dirname(file), { recursive: true })
  const store = own.open({ schema, owner })
  await store.check()
  expect(await store.migrate()).toEqual({ applied: [] })
  await store.transaction((tx) => store.outbox.append(tx, [row('1', 'k')]))
  expect(await drain(store, await store.outbox.lease('r', 60_000))).toEqual(['1'])
})

it('works in a schema of 63 bytes, and wakes those who listen there and nobody else', async () => {
  const schema = `${'ä'.repeat(25)}${randomUUID().slice(0, 13)}`
  schemas.push(schema)
  const store = own.open({ schema })
  await store.migrate()
  let woken = 0
  const stop = await store.outbox.listen?.(() => woken++)
  const before = woken
  await own.store.outbox.announce?.()
  await store.outbox.announce?.()
  await expect.poll(() => woken).toBe(before + 1)
  await stop?.()
})

it('belongs to one owner', async () => {
  const schema = `owned ${randomUUID().slice(0, 8)}`
  schemas.push(schema)
  const shop = own.open({ schema, owner: 'shop' })
  await expect(shop.check()).rejects.toMatchObject({ code: 'INCOMPATIBLE' })
  // One of them comes first; the other one is told.
  const ends = await Promise.allSettled([shop.migrate(), own.open({ schema, owner: 'billing' }).migrate()])
  expect(ends.filter(({ status }) => status === 'rejected')).toHaveLength(1)
  const [{ owner }] = (await own.pool.query(`select owner from ${quoted(schema)}.owner`)).rows as [{ owner: string }]
  const other = owner === 'shop' ? 'billing' : 'shop'
  await own.open({ schema, owner }).migrate()
  await own.open({ schema, owner }).check()
  await own.open({ schema }).check()
  for (const refused of [own.open({ schema, owner: other }).migrate(), own.open({ schema, owner: other }).check()])
    await expect(refused).rejects.toMatchObject({
      code: 'INCOMPATIBLE',
      message: expect.stringMatching(new RegExp(`belongs to ${owner}.*schema of its own`)),
    })
})

it('says of a schema that is behind or ahead what to do', async () => {
  const schema = `step ${randomUUID().slice(0, 8)}`
  schemas.push(schema)
  const store = own.open({ schema })
  await expect(store.check()).rejects.toMatchObject({
    code: 'INCOMPATIBLE',
    message: expect.stringMatching(/003-outbox/),
  })
  await expect(store.outbox.stats()).rejects.toMatchObject({ message: expect.stringMatching(/migrate/) })
  await expect(store.transaction((tx) => store.outbox.append(tx, [row('1')]))).rejects.toMatchObject({
    effect: 'none',
    message: expect.stringMatching(/migrate/),
  })
  await store.migrate()
  await own.pool.query(`insert into ${quoted(schema)}.migration (number, name, checksum) values (99, '099-later', 'x')`)
  await expect(store.check()).rejects.toMatchObject({ code: 'INCOMPATIBLE', message: expect.stringMatching(/newer/) })
  await expect(store.migrate()).rejects.toMatchObject({ code: 'INCOMPATIBLE' })
  await own.pool.query(`delete from ${quoted(schema)}.migration where number in (99, 7)`)
  await expect(checkMigrations(own.driver, { schema })).rejects.toMatchObject({
    message: expect.stringMatching(/007-owner/),
  })
})

it('goes on with the states of a schema that it brings up to date', async () => {
  const schema = `old ${randomUUID().slice(0, 8)}`
  schemas.push(schema)
  await migrateBy(own.driver, schema, MIGRATIONS.slice(0, 7))
  const store = own.open({ schema })
  const saved = await own.pool.query(
    `select ${quoted(schema)}.state_save('k', $1, 'one', 0, '{"n":1}', 5, array[$2]::bytea[], false) as saved`,
    [digestOf('one'), digestOf('waits')],
  )
  expect(saved.rows).toEqual([{ saved: true }])
  await expect(store.check()).rejects.toMatchObject({ message: expect.stringMatching(/lacks 008-steps/) })
  const opening = store.states.claiming?.('shop', { source: '/', id: '1' }, 'k', { correlation: 'waits' })
  const open = () =>
    store.transaction(async (_, opened) => (opened === undefined ? undefined : opening?.found(opened)), {
      opening: opening?.statement,
    })
  await expect(open()).rejects.toMatchObject({ code: 'CHANNEL_NOT_FOUND', message: expect.stringMatching(/migrate/) })
  expect((await store.migrate()).applied[0]).toBe('008-steps')
  await store.check()
  expect(await open()).toEqual({ id: 'one', version: 1, state: { n: 1 } })
  await store.transaction(async (tx) => {
    expect(await store.states.save(tx, 'k', 'one', 1, { n: 2 }, { correlations: 'kept' })).toBe(true)
    expect(await store.states.find(tx, 'k', 'waits')).toBe('one')
  })
})

it('counts what was done before the step that keeps when from that step on', async () => {
  const schema = `undated ${randomUUID().slice(0, 8)}`
  schemas.push(schema)
  await migrateBy(own.driver, schema, MIGRATIONS.slice(0, 9))
  const save = (id: string, done: boolean) =>
    own.pool.query(`select ${quoted(schema)}.state_save('k', $1, $2, 0, '{}', null, '{}', $3)`, [
      digestOf(id),
      id,
      done,
    ])
  await save('over', true)
  await save('open', false)
  await save('still open', false)
  const [{ before }] = (await own.pool.query('select clock_timestamp() as before')).rows as [{ before: Date }]
  const store = own.open({ schema })
  expect((await store.migrate()).applied[0]).toBe('010-done-states')
  const [{ at: doneAt, now }] = (
    await own.pool.query(
      `select done_at as at, clock_timestamp() as now from ${quoted(schema)}.state where id = 'over'`,
    )
  ).rows as [{ at: Date; now: Date }]
  expect(doneAt.getTime()).toBeGreaterThanOrEqual(before.getTime())
  expect(doneAt.getTime()).toBeLessThanOrEqual(now.getTime())
  // That of one that was not done then means nothing.
  await own.pool.query(`update ${quoted(schema)}.state set done_at = done_at - interval '1 day'`)
  await store.transaction((tx) => store.states.save(tx, 'k', 'open', 1, {}, { done: true }))
  expect(await store.states.purge('k', 3_600_000, 10)).toBe(1)
  for (const [id, version] of [
    ['open', 2],
    ['still open', 1],
  ] as const)
    expect(await store.transaction((tx) => store.states.load(tx, 'k', id))).toMatchObject({ version })
})
