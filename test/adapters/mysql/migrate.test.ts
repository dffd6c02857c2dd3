import { describe, expect, it } from 'vitest'
import { mysql2Driver, mysqlStore, printMysqlMigrations } from '../../../src/adapters/mysql/index.ts'
import { MIGRATIONS } from '../../../src/adapters/mysql/migrations/index.ts'
import { checksumOf } from '../../../src/core/migration.ts'
import { fakePool } from './fake-pool.ts'

describe('printMysqlMigrations', () => {
  it('prints statements that may be run again, and notes that they were', () => {
    const sql = printMysqlMigrations()
    expect(sql).toContain('create table if not exists `fairlead_outbox` (')
    expect(sql).toContain('`fairlead_migration` (number, name, checksum, applied_ms) values (1,')
    expect(sql).not.toMatch(/@\w+@/)
    for (const statement of sql.split(/;\n/).filter((each) => each.trim() !== ''))
      expect(statement).toMatch(
        /^(-- \S+\n)?(create table if not exists |insert ignore into |set |prepare |execute |deallocate prepare |update |commit$)/,
      )
    expect(printMysqlMigrations({ after: 1 })).toMatch(/^-- 002-done-states\nset /)
    expect(printMysqlMigrations({ after: MIGRATIONS.length })).toBe('\n')
  })
  it('quotes names', () => {
    expect(printMysqlMigrations({ prefix: 'a`b ', database: 'd`b' })).toContain('`d``b`.`a``b outbox`')
    const step = printMysqlMigrations({ prefix: 'a`b ', database: 'd`b', after: 1 })
    expect(step).toContain("concat('alter table ', _utf8mb4'`d``b`.`a``b state`',")
    expect(step).toContain("table_schema = _utf8mb4'd`b' and table_name = _utf8mb4'a`b state' and")
    expect(printMysqlMigrations({ after: 1 })).toContain('table_schema = database() and')
  })
  it('refuses names that cannot be', () => {
    for (const options of [
      { prefix: 'x'.repeat(48) },
      { prefix: 'a\0' },
      { prefix: '😀' },
      { prefix: '\ud800' },
      { database: '' },
      { database: 'd ' },
      { prefix: 1 },
      { preffix: 'a' },
    ])
      expect(() => printMysqlMigrations(options as never), JSON.stringify(options)).toThrow(/INVALID_OPTIONS/)
    expect(() => printMysqlMigrations({ prefix: 'x'.repeat(47) })).not.toThrow()
  })
})

describe('steps', () => {
  it('are what was released: a change is a new step', () => {
    expect(MIGRATIONS.map((step) => [step.number, step.name, checksumOf(step)])).toEqual([
      [1, '001-tables', 'c89ae052ca866199'],
      [2, '002-done-states', '1cd3f8cda2593d06'],
    ])
  })
})

describe('mysqlStore', () => {
  it('refuses options that make no sense', () => {
    const driver = mysql2Driver(fakePool())
    for (const options of [
      { owner: '' },
      { inboxRetentionMs: 0 },
      { idempotencyRetentionMs: Number.NaN },
      { tablePrefix: 'x' },
    ])
      expect(() => mysqlStore(driver, options as never), JSON.stringify(options)).toThrow(/INVALID_OPTIONS/)
    for (const wrong of [undefined, {}, { dialect: 'postgres' }, { dialect: 'mysql' }])
      expect(() => mysqlStore(wrong as never)).toThrow(/INVALID_OPTIONS/)
  })
})
