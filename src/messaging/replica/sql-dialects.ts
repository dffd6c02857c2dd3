// What databases do differently about a table and the one beside it: names, the guard of an upsert, a copy of a shape, a swap.
import type { SqlDriver, SqlResult } from '../../core/contracts/store.ts'
import { invalidOption } from '../../core/options.ts'
import { createError } from '../../errors/classes.ts'

/** A table by its name, and the schema (of MySQL: the database) that it is in. */
export interface TableName {
  readonly schema: string | undefined
  readonly table: string
}

/** The columns that every table of a replica has. */
export interface Marks {
  readonly key: string
  readonly version: string
  readonly goneAt: string
}

/** Runs a statement. */
export type Ask = (text: string, params?: readonly unknown[]) => Promise<SqlResult>

/** What one database does its own way. Names are raw; they are quoted here. */
export interface Dialect {
  quote(name: string): string
  /** The parameter at a place, counted from 1. */
  parameter(at: number): string
  /** A column for JSON as text. */
  jsonText(column: string): string
  /** `rows`: `values` and a row of parameters each, or a `select`. `others`: columns that hold the value. */
  upsert(name: TableName, marks: Marks, others: readonly string[], rows: string): string
  /** How many rows an upsert of so many changed; undefined where the server does not tell. */
  changed(affected: number, rows: number): number
  columns(ask: Ask, name: TableName): Promise<readonly { readonly name: string; readonly nullable: boolean }[]>
  /** A copy of the shape, unless it is there. */
  copyShape<Tx>(driver: SqlDriver<Tx>, name: TableName, side: string): Promise<void>
  /** Puts one in the place of the other, unless it has been done. */
  swap<Tx>(driver: SqlDriver<Tx>, name: TableName, side: string): Promise<void>
  purge(name: TableName, marks: Marks, limit: number): string
}

const doubled = (name: string): string => `"${name.replaceAll('"', '""')}"`
const backticked = (name: string): string => `\`${name.replaceAll('`', '``')}\``
const asking =
  <Tx>(driver: SqlDriver<Tx>, tx: Tx): Ask =>
  (text, params = []) =>
    driver.query(tx, text, params)

/** A name as it stands in SQL. */
export function qualified({ quote }: Pick<Dialect, 'quote'>, { schema, table }: TableName): string {
  return schema === undefined ? quote(table) : `${quote(schema)}.${quote(table)}`
}

// PostgreSQL and SQLite have one upsert.
function guardedUpsert(dialect: Pick<Dialect, 'quote'>): Dialect['upsert'] {
  const { quote } = dialect
  return (name, { key, version, goneAt }, others, rows) => {
    const set = [version, goneAt, ...others].map((column) => `${quote(column)} = excluded.${quote(column)}`)
    const columns = [key, version, goneAt, ...others].map(quote)
    return `insert into ${qualified(dialect, name)} as kept (${columns}) ${rows} on conflict (${quote(key)}) do update set ${set} where excluded.${quote(version)} > kept.${quote(version)}`
  }
}

const POSTGRES = { quote: doubled, parameter: (at: number) => `$${at}` }

const postgres: Dialect = {
  ...POSTGRES,
  jsonText: (column) => `${column}::text`,
  upsert: guardedUpsert(POSTGRES),
  changed: (affected) => affected,
  async columns(ask, name) {
    const { rows } = await ask(
      'select attname::text as name, not attnotnull as nullable from pg_attribute where attrelid = to_regclass($1::text) and attnum > 0 and not attisdropped',
      [qualified(POSTGRES, name)],
    )
    return rows.map(({ name: column, nullable }) => ({ name: column as string, nullable: isTrue(nullable) }))
  },
  async copyShape(driver, name, side) {
    const { schema } = name
    await driver.execute(
      `create table if not exists ${qualified(POSTGRES, { schema, table: side })} (like ${qualified(POSTGRES, name)} including all)`,
      [],
    )
  },
  async swap(driver, name, side) {
    const table = qualified(POSTGRES, name)
    const beside = qualified(POSTGRES, { schema: name.schema, table: side })
    await driver.transaction(async (tx) => {
      const ask = asking(driver, tx)
      // One at a time: who came second would drop what the first one has put in place.
      await ask('select pg_advisory_xact_lock(hashtext($1::text))', [`fairlead replica ${table}`])
      const { rows } = await ask('select to_regclass($1::text) is not null as there', [beside])
      if (!isTrue(rows[0]?.['there'])) return
      // Whoever reads waits behind a swap that waits: it must not wait long, and is tried again.
      await ask("set local lock_timeout = '3s'")
      await ask(`lock table ${table}, ${beside} in access exclusive mode`)
      await ask(`drop table ${table}`)
      await ask(`alter table ${beside} rename to ${doubled(name.table)}`)
    })
  },
  // Twice: a tombstone that has become an entry meanwhile is looked at again by the outer one only.
  purge(name, { key, goneAt }, limit) {
    const table = qualified(POSTGRES, name)
    const old = `${doubled(goneAt)} < $1`
    return `delete from ${table} where ${old} and ${doubled(key)} in (select ${doubled(key)} from ${table} where ${old} limit ${limit})`
  },
}

const SQLITE = { quote: doubled, parameter: () => '?' }
const NAMED = String.raw`(?:if\s+not\s+exists\s+)?("(?:[^"]|"")*"|\x60(?:[^\x60]|\x60\x60)*\x60|\[[^\]]*\]|[^\s(]+)`
const TABLE = new RegExp(`^create\\s+table\\s+${NAMED}`, 'i')
const INDEX = new RegExp(`^create\\s+(unique\\s+)?index\\s+${NAMED}\\s+on\\s+${NAMED}`, 'i')

const sqlite: Dialect = {
  ...SQLITE,
  jsonText: (column) => column,
  upsert: guardedUpsert(SQLITE),
  changed: (affected) => affected,
  async columns(ask, { table }) {
    const { rows } = await ask('select name, "notnull" as required from pragma_table_info(?)', [table])
    return rows.map(({ name, required }) => ({ name: name as string, nullable: Number(required) === 0 }))
  },
  // SQLite has no copy of a shape: its own words for it are said again, with other names.
  async copyShape(driver, { table }, side) {
    await driver.transaction(async (tx) => {
      const ask = asking(driver, tx)
      if (await isThere(ask, side)) return
      const { rows } = await ask(
        "select type, name, sql from sqlite_master where tbl_name = ? and sql is not null and type in ('table', 'index') order by type desc",
        [table],
      )
      for (const { type, name, sql } of rows)
        if (type === 'table') await ask((sql as string).replace(TABLE, () => `create table ${doubled(side)}`))
        else {
          const own = `${(name as string).replace(/__\d+$/, '')}${side.slice(table.length)}`
          await ask(
            (sql as string).replace(
              INDEX,
              (_, unique: string | undefined) => `create ${unique ?? ''}index ${doubled(own)} on ${doubled(side)}`,
            ),
          )
        }
    })
  },
  async swap(driver, { table }, side) {
    await driver.transaction(async (tx) => {
      const ask = asking(driver, tx)
      if (!(await isThere(ask, side))) return
      await ask(`drop table ${doubled(table)}`)
      // Or views that name the table would be in the way: they are looked at again when they are read.
      await ask('pragma legacy_alter_table = on')
      try {
        await ask(`alter table ${doubled(side)} rename to ${doubled(table)}`)
      } finally {
        await ask('pragma legacy_alter_table = off')
      }
    })
  },
  purge(name, { key, goneAt }, limit) {
    const table = qualified(SQLITE, name)
    return `delete from ${table} where ${doubled(key)} in (select ${doubled(key)} from ${table} where ${doubled(goneAt)} < ? limit ${limit})`
  },
}

const MYSQL = { quote: backticked, parameter: () => '?' }
const WAS = '_was'

const mysql: Dialect = {
  ...MYSQL,
  // Some clients parse a column for JSON by themselves.
  jsonText: (column) => `cast(${column} as char)`,
  // Left to right: the version last, or the others would see the new one.
  upsert(name, { key, version, goneAt }, others, rows) {
    const own = (column: string): string => `${qualified(MYSQL, name)}.${backticked(column)}`
    const guard = `values(${backticked(version)}) > ${own(version)}`
    const set = [goneAt, ...others, version].map(
      (column) => `${own(column)} = if(${guard}, values(${backticked(column)}), ${own(column)})`,
    )
    return `insert into ${qualified(MYSQL, name)} (${[key, version, goneAt, ...others].map(backticked)}) ${rows} on duplicate key update ${set}`
  },
  // 1 for an insert, 2 for an update, and 0 or 1 for neither, as the client has asked for.
  changed: (affected, rows) => Math.min(affected, rows),
  async columns(ask, { schema, table }) {
    const { rows } = await ask(
      'select column_name as name, is_nullable as nullable from information_schema.columns where table_schema = coalesce(?, database()) and table_name = ?',
      [schema ?? null, table],
    )
    return rows.map(({ name, nullable }) => ({ name: String(name), nullable: nullable === 'YES' }))
  },
  async copyShape(driver, name, side) {
    await driver.execute(
      `create table if not exists ${qualified(MYSQL, { schema: name.schema, table: side })} like ${qualified(MYSQL, name)}`,
      [],
    )
  },
  // Its statements about tables are no part of a transaction: one of them moves both names at once.
  async swap(driver, name, side) {
    const { schema } = name
    const beside = qualified(MYSQL, { schema, table: side })
    const was = qualified(MYSQL, { schema, table: `${side}${WAS}` })
    const there = async (): Promise<boolean> => {
      const { rows } = await driver.execute(
        'select 1 as there from information_schema.tables where table_schema = coalesce(?, database()) and table_name = ?',
        [schema ?? null, side],
      )
      return rows.length > 0
    }
    if (await there())
      try {
        await driver.execute(
          `rename table ${qualified(MYSQL, name)} to ${was}, ${beside} to ${qualified(MYSQL, name)}`,
          [],
        )
      } catch (error) {
        // Somebody else was first.
        if (await there()) throw error
      }
    await driver.execute(`drop table if exists ${was}`, [])
  },
  purge: (name, { goneAt }, limit) =>
    `delete from ${qualified(MYSQL, name)} where ${backticked(goneAt)} < ? limit ${limit}`,
}

const DIALECTS: Readonly<Record<string, Dialect>> = { postgres, sqlite, mysql }

/** @throws FairleadError `INVALID_OPTIONS` */
export function dialectOf(driver: SqlDriver<never>): Dialect {
  const dialect = DIALECTS[driver?.dialect as string]
  if (dialect === undefined || typeof driver.execute !== 'function')
    throw invalidOption('driver', driver, 'give a SqlDriver: pgDriver(pool), mysql2Driver(pool), openSqlite(path), ...')
  return dialect
}

/** What is missing of a table; `wanted` are its columns, and whether they have to be nullable. */
export async function missingOf(
  dialect: Dialect,
  ask: Ask,
  name: TableName,
  wanted: ReadonlyMap<string, boolean>,
): Promise<void> {
  const there = new Map((await dialect.columns(ask, name)).map((column) => [column.name, column.nullable]))
  const table = qualified(dialect, name)
  const incompatible = (what: string): Error =>
    createError({ code: 'INCOMPATIBLE', message: `the table ${table} ${what}`, details: { table } })
  if (there.size === 0) throw incompatible('is not there: make it, it is yours')
  for (const [column, nullable] of wanted) {
    if (!there.has(column)) throw incompatible(`has no column ${dialect.quote(column)}`)
    if (nullable && there.get(column) !== true)
      throw incompatible(
        `does not allow ${dialect.quote(column)} to be null, as it is in the tombstone of an entry that is gone`,
      )
  }
}

async function isThere(ask: Ask, table: string): Promise<boolean> {
  const { rows } = await ask("select 1 as there from sqlite_master where type = 'table' and name = ?", [table])
  return rows.length > 0
}

function isTrue(value: unknown): boolean {
  return value === true || value === 't' || value === 'true' || value === 1
}
