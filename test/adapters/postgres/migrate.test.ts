import { describe, expect, it } from 'vitest'
import { postgresCheckpoints, printMigrations } from '../../../src/adapters/postgres/index.ts'
import { MIGRATIONS } from '../../../src/adapters/postgres/migrations/index.ts'
import { identifier, literal } from '../../../src/adapters/postgres/names.ts'
import type { SqlDriver } from '../../../src/core/contracts/store.ts'

describe('names', () => {
  it('are quoted', () => {
    expect(identifier('schema', 'a "b"; drop')).toBe('"a ""b""; drop"')
    expect(literal(`it's \\'`)).toBe(` E'it''s \\\\'''`)
  })
  it.each(['', 'x'.repeat(64), 'ä'.repeat(32), 'a\0b', 'a$fairlead$b'])('refuse %j', (name) => {
    expect(() => identifier('schema', name)).toThrow(/schema/)
  })
})

describe('the steps', () => {
  it('are numbered from 1 without gaps, named as their files, and quote every name', () => {
    MIGRATIONS.forEach(({ number, name, sql }, index) => {
      expect(number).toBe(index + 1)
      expect(name).toMatch(new RegExp(`^${String(number).padStart(3, '0')}-[a-z-]+$`))
      expect(sql).not.toMatch(/search_path|concurrently|\bfairlead\./i)
      // Bodies of functions end only where they are meant to.
      expect(sql.replaceAll('$fairlead$', '')).not.toMatch(/\$\$|\$\w*\$/)
    })
  })
  it('print for other tools, from any number on, and with the rows that say so', () => {
    const all = printMigrations({ schema: 'My "shop' })
    expect(all).toContain('create schema if not exists "My ""shop"')
    expect(all).not.toContain('@schema@')
    expect(all.match(/insert into "My ""shop"\.migration /g)).toHaveLength(MIGRATIONS.length)
    expect(printMigrations({ after: MIGRATIONS.length }).trim()).toBe('')
  })
  it('refuse a schema name that PostgreSQL would not have, and options they do not know', () => {
    expect(() => printMigrations({ schema: 'pg_mine' })).toThrow(/pg_/)
    for (const after of [Number.NaN, -1, 0.5, '1' as never])
      expect(() => printMigrations({ after })).toThrow(/after is/)
    expect(() => printMigrations({ scheme: 'x' } as object)).toThrow(/scheme/)
  })
})

it('checkpoints want a driver for PostgreSQL', () => {
  expect(() => postgresCheckpoints({ dialect: 'mysql' } as SqlDriver<never>)).toThrow(/PostgreSQL/)
})
