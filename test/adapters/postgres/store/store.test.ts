import { describe, expect, it } from 'vitest'
import { postgresStore, printGrants, printMigrations } from '../../../../src/adapters/postgres/index.ts'
import { statementsOf } from '../../../../src/adapters/postgres/migrate.ts'
import { MIGRATIONS } from '../../../../src/adapters/postgres/migrations/index.ts'
import { appendParams } from '../../../../src/adapters/postgres/store/outbox-rows.ts'
import { bytesOf, storable } from '../../../../src/adapters/postgres/store/values.ts'
import { wakeName } from '../../../../src/adapters/postgres/store/wake-name.ts'
import type { OutboxRow, SqlDriver } from '../../../../src/core/contracts/store.ts'
import { digestOf } from '../../../../src/core/digest.ts'

const row = (id: string, bytes: number): OutboxRow => ({
  channel: { kind: 'queue', name: 'q' },
  envelope: { id, attributes: {}, headers: {}, body: Buffer.alloc(bytes) },
})

const driver = (executed: string[] = []): SqlDriver<object> => ({
  dialect: 'postgres',
  transaction: (work) => work({}),
  isTransaction: (candidate): candidate is object => typeof candidate === 'object',
  query: async () => ({ rows: [], affected: 0 }),
  execute: async (text) => {
    executed.push(text)
    return { rows: [], affected: 0 }
  },
})

describe('options of the store', () => {
  it.each([
    { shema: 'x' },
    { schema: '' },
    { schema: 'pg_mine' },
    { owner: '' },
    { owner: 'a\0' },
    { archive: 1 },
    { inboxRetentionMs: -1 },
    { idempotencyRetentionMs: Number.NaN },
  ])('refuse %j', (options) => {
    expect(() => postgresStore(driver(), options as object)).toThrow(/INVALID_OPTIONS|schema|owner|archive|Retention/)
  })
  it('have ages longer than any timer', () => {
    const { inbox, idempotency } = postgresStore(driver(), { inboxRetentionMs: 90 * 86_400_000 })
    expect(inbox.retentionMs).toBe(90 * 86_400_000)
    expect(idempotency.retentionMs).toBe(86_400_000)
    expect(postgresStore(driver()).inbox.retentionMs).toBe(14 * 86_400_000)
  })
  it('want a driver for PostgreSQL', () => {
    expect(() => postgresStore({ dialect: 'mysql' } as never)).toThrow(/PostgreSQL/)
  })
})

it('asks nothing where there is nothing to ask', async () => {
  const executed: string[] = []
  const { outbox, inbox } = postgresStore(driver(executed))
  await outbox.append({}, [])
  await outbox.release([])
  expect(await outbox.pending([], 10)).toEqual([])
  expect(await outbox.settle([], [{ sequence: 1n, verdict: 'published' }])).toBe(0)
  expect(await outbox.skip([])).toBe(0)
  expect(await outbox.redrive([])).toBe(0)
  expect(await inbox.claim({}, 'c', [])).toEqual([])
  expect(await inbox.parked('c', [])).toEqual([])
  expect(executed).toEqual([])
})

it('is over once it is closed', async () => {
  const store = postgresStore(driver())
  await store.close()
  await expect(store.outbox.stats()).rejects.toMatchObject({ code: 'SHUTDOWN' })
  await expect(store.transaction(async () => 1)).rejects.toMatchObject({ code: 'SHUTDOWN' })
  await store.close()
})

describe('batches', () => {
  it('hold what one statement should carry, in order', () => {
    const sizes = [4, 4, 20, 1, 8, 8, 1].map((mib) => mib * 1_048_576)
    const batches = appendParams(sizes.map((bytes, n) => row(String(n), bytes)))
    expect(batches.map(([, ids]) => ids.join())).toEqual(['0,1', '2', '3,4', '5,6'])
    expect(batches.map(([, , , , ends, bodies]) => Number(ends.at(-1)) === bodies.byteLength)).not.toContain(false)
    expect(
      appendParams(Array.from({ length: 25_000 }, (_, n) => row(String(n), 0))).map(([, ids]) => ids.length),
    ).toEqual([10_000, 10_000, 5_000])
  })
})

describe('values', () => {
  it('tell texts apart where one ends and the next begins', () => {
    expect(digestOf('a', 'bc')).not.toEqual(digestOf('ab', 'c'))
    expect(digestOf('a', '')).not.toEqual(digestOf('', 'a'))
  })
  it('are bytes, however they come', () => {
    for (const value of [Buffer.from('ab'), new Uint8Array([97, 98]), '\\x6162', 'YWI=', 'YW\nI='])
      expect(Buffer.from(bytesOf(value)).toString()).toBe('ab')
    expect(() => bytesOf(5)).toThrow(/number for bytes/)
  })
  it('are texts that come back as they were', () => {
    expect(storable('the id', 'ä😀')).toBe('ä😀')
    for (const text of ['a\0', '\ud83d', '\ude00\ud83d', 5 as never])
      expect(() => storable('the id', text)).toThrow(/the id/)
  })
})

it('listens to a name that no server cuts', () => {
  expect(wakeName('shop')).toBe('fairlead/outbox/shop')
  const long = ['ä'.repeat(31), `${'ä'.repeat(30)}b`].map(wakeName)
  expect(new Set(long).size).toBe(2)
  for (const name of long) expect(Buffer.byteLength(name)).toBeLessThan(64)
})

describe('SQL', () => {
  it('runs statement by statement', () => {
    expect(
      statementsOf('-- a;\ncreate a;\n\ncreate f as $fairlead$\n-- b;\nbegin;\nend $fairlead$;\ninsert\n  b;\nlast'),
    ).toEqual(['create a', 'create f as $fairlead$\n-- b;\nbegin;\nend $fairlead$', 'insert\n  b', 'last'])
    for (const { sql } of MIGRATIONS)
      for (const statement of statementsOf(sql.trim())) {
        expect(statement).toMatch(/^(create|comment|insert|alter) /)
        expect(statement.split('$fairlead$').length % 2).toBe(1)
      }
  })
  it('is printed with the mark of the owner', () => {
    expect(printMigrations({ owner: `sh'op` })).toContain(`insert into "fairlead".owner (owner) values ('sh''op')`)
    expect(printMigrations()).not.toContain("values ('sh")
    expect(printMigrations({ schema: `a'b` })).toContain(`hashtext('fairlead:outbox:' || 'a''b')`)
  })
  it('grants rights by name, quoted, on every table that there is', () => {
    const all = printGrants({ schema: 'My "shop', role: `me'"` })
    expect(all).toContain(`to "me'"""`)
    const tables = MIGRATIONS.flatMap(({ sql }) =>
      [...sql.matchAll(/create table @schema@\.(\w+)/g)].map(([, name]) => name),
    )
    for (const table of [...tables, 'migration']) expect(all).toContain(`"My ""shop".${table}`)
    expect(printGrants({ role: 'x', to: 'publish' })).not.toMatch(/select on "fairlead".outbox|delete/)
    for (const options of [{ role: '' }, { role: 'x', to: 'all' }, { role: 'x', on: 'y' }, {}])
      expect(() => printGrants(options as never)).toThrow(/role|to is|on/)
  })
})
