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

/** What makes rows of a table unique. */
export interface UniqueIndex {
  readonly name: string
  /** An expression is an empty text. */
  readonly columns: readonly string[]
  /** Of all rows and whole values, and checked at once: others are no guard. */
  readonly whole: boolean
}

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
  /** What makes rows of the table unique. */
  uniques(ask: Ask, name: TableName): Promise<readonly UniqueIndex[]>
  /** How the key is compared, where two keys that are not the same may be equal by that. */
  merging(ask: Ask, name: TableName, key: string): Promise<string | undefined>
  /** How to have a column compared as it is. */
  exactly(quoted: string): string
  /** Does nothing if it is not there. */
  drop<Tx>(driver: SqlDriver<Tx>, name: TableName): Promise<void>
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
  exactly: (key) => `alter its column ${key} to type text collate "C"`,
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
  async uniques(ask, name) {
    const { rows } = await ask(
      `select c.relname::text as name, coalesce(a.attname::text, '') as "column", i.indpred is null and i.indimmediate as whole
      from pg_index i join pg_class c on c.oid = i.indexrelid
      cross join lateral generate_series(0, i.indnkeyatts - 1) at
      left join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[at] and i.indkey[at] > 0
      where i.indrelid = to_regclass($1::text) and i.indisunique and i.indisvalid order by c.relname, at`,
      [qualified(POSTGRES, name)],
    )
    return indexesOf(rows, (row) => isTrue(row['whole']))
  },
  async merging(ask, name, key) {
    const { rows } = await ask(
      `select t.typname::text as type, c.collname::text as collation, coalesce(c.collisdeterministic, true) as exact
      from pg_attribute a join pg_type t on t.oid = a.atttypid left join pg_collation c on c.oid = a.attcollation
      where a.attrelid = to_regclass($1::text) and a.attname = $2::text`,
      [qualified(POSTGRES, name), key],
    )
    const row = rows[0]
    if (row === undefined) return undefined
    if (row['type'] === 'citext') return 'citext'
    return isTrue(row['exact']) ? undefined : String(row['collation'])
  },
  async drop(driver, name) {
    await driver.transaction(async (tx) => {
      await driver.query(tx, "set local lock_timeout = '3s'", [])
      await driver.query(tx, `drop table if exists ${qualified(POSTGRES, name)}`, [])
    })
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
      // A serial column draws from a sequence that belongs to the old table, and would go with it.
      const { rows: sequences } = await ask(
        `select d.objid::regclass::text as name, a.attname::text as "column" from pg_depend d join pg_class s on s.oid = d.objid and s.relkind = 'S'
        join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
        where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass and d.refobjid = to_regclass($1::text) and d.deptype = 'a'`,
        [table],
      )
      for (const { name: sequence, column } of sequences)
        await ask(`alter sequence ${sequence as string} owned by ${beside}.${doubled(column as string)}`)
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
  exactly: (key) => `make the table anew with ${key} as text and no other collation`,
  jsonText: (column) => column,
  upsert: guardedUpsert(SQLITE),
  changed: (affected) => affected,
  async columns(ask, { table }) {
    const { rows } = await ask('select name, "notnull" as required from pragma_table_info(?)', [table])
    return rows.map(({ name, required }) => ({ name: name as string, nullable: Number(required) === 0 }))
  },
  async uniques(ask, { table }) {
    const { rows } = await ask(
      `select l.name as name, coalesce(x.name, '') as "column", l.partial = 0 as whole from pragma_index_list(?) l, pragma_index_xinfo(l.name) x
      where l."unique" = 1 and x.key = 1 order by l.seq, x.seqno`,
      [table],
    )
    // A whole number as primary key is the row's own number, and has no index.
    const { rows: keys } = await ask('select name, type from pragma_table_info(?) where pk > 0', [table])
    const own =
      keys.length === 1 && /^integer$/i.test(String(keys[0]?.['type']))
        ? [{ name: 'rowid', columns: [String(keys[0]?.['name'])], whole: true }]
        : []
    return [...own, ...indexesOf(rows, (row) => Number(row['whole']) === 1)]
  },
  async merging(ask, { table }, key) {
    const { rows } = await ask(
      `select x.coll as collation from pragma_index_list(?) l, pragma_index_xinfo(l.name) x
      where l."unique" = 1 and x.key = 1 and x.name = ? collate nocase and upper(x.coll) in ('NOCASE', 'RTRIM')`,
      [table, key],
    )
    return rows[0] === undefined ? undefined : String(rows[0]['collation'])
  },
  async drop(driver, { table }) {
    await driver.execute(`drop table if exists ${doubled(table)}`, [])
  },
  // SQLite has no copy of a shape: its own words for it are said again, with other names.
  async copyShape(driver, { table }, side) {
    await driver.transaction(async (tx) => {
      const ask = asking(driver, tx)
      if (await isThere(ask, side)) return
      const { rows } = await ask(
        "select type, name, sql from sqlite_master where tbl_name = ? collate nocase and sql is not null and type in ('table', 'index') order by type desc",
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

// Whoever uses the table waits behind a statement that waits for it, by default for a day or a year: it must not wait long, and is tried again. MySQL, to which this is a comment, has no
// such words for one statement; and in a transaction, which it ends, nothing could be set back.
const IMPATIENT = '/*M!100102 set statement lock_wait_timeout = 3 for */'

const MYSQL = { quote: backticked, parameter: () => '?' }
const WAS = '_was'

const mysql: Dialect = {
  ...MYSQL,
  exactly: (key) => `modify its column ${key} to varchar(...) character set utf8mb4 collate utf8mb4_bin not null`,
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
  async uniques(ask, { schema, table }) {
    const { rows } = await ask(
      `select index_name as name, coalesce(column_name, '') as \`column\`, sub_part as part from information_schema.statistics
      where table_schema = coalesce(?, database()) and table_name = ? and non_unique = 0 order by index_name, seq_in_index`,
      [schema ?? null, table],
    )
    return indexesOf(rows, (row) => row['part'] === null)
  },
  async merging(ask, { schema, table }, key) {
    const { rows } = await ask(
      'select collation_name as collation from information_schema.columns where table_schema = coalesce(?, database()) and table_name = ? and column_name = ?',
      [schema ?? null, table, key],
    )
    const collation = rows[0]?.['collation']
    return collation === null || collation === undefined || /_(bin|cs)$/.test(String(collation))
      ? undefined
      : String(collation)
  },
  async drop(driver, name) {
    await driver.execute(`${IMPATIENT} drop table if exists ${qualified(MYSQL, name)}`, [])
  },
  async copyShape(driver, name, side) {
    const beside = qualified(MYSQL, { schema: name.schema, table: side })
    await driver.execute(`${IMPATIENT} create table if not exists ${beside} like ${qualified(MYSQL, name)}`, [])
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
        const own = qualified(MYSQL, name)
        await driver.execute(`${IMPATIENT} rename table ${own} to ${was}, ${beside} to ${own}`, [])
      } catch (error) {
        // Somebody else was first.
        if (await there()) throw error
      }
    await mysql.drop(driver, { schema, table: `${side}${WAS}` })
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

// A row for each column of an index.
function indexesOf(
  rows: readonly Readonly<Record<string, unknown>>[],
  isWhole: (row: Readonly<Record<string, unknown>>) => boolean,
): readonly UniqueIndex[] {
  const all = new Map<string, { name: string; columns: string[]; whole: boolean }>()
  for (const row of rows) {
    const name = String(row['name'])
    const index = all.get(name) ?? { name, columns: [], whole: true }
    index.columns.push(String(row['column']))
    index.whole &&= isWhole(row)
    all.set(name, index)
  }
  return [...all.values()]
}

async function isThere(ask: Ask, table: string): Promise<boolean> {
  const { rows } = await ask("select 1 as there from sqlite_master where type = 'table' and name = ? collate nocase", [
    table,
  ])
  return rows.length > 0
}

function isTrue(value: unknown): boolean {
  return value === true || value === 't' || value === 'true' || value === 1
}
