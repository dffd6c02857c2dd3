// The table of a replica in the user's own database: his table, his columns, one upsert that never goes back to an older version.
import type { SqlDriver } from '../../core/contracts/store.ts'
import { invalidOption, knownOptions } from '../../core/options.ts'
import { mergesOf } from './sql-checks.ts'
import { type Column, type ColumnSpec, columnsOf, parameterOf, shownOf, type ValueOfColumns } from './sql-columns.ts'
import { type Ask, dialectOf, missingOf, qualified, type TableName } from './sql-dialects.ts'
import type { ReplicaEntry, ReplicaPlace, ReplicaTable } from './table.ts'

/** Which table, and what its columns are called. */
export interface SqlReplicaTableOptions<C extends Readonly<Record<string, ColumnSpec>>> {
  /** Name of the table, at most 48 characters: the one beside it is called the same with `__<generation>`. */
  readonly table: string
  /** The schema (of MySQL: the database) that it is in; SQLite has none. Default: where the connection looks. */
  readonly schema?: string | undefined
  /**
   * Its primary key: text or whole numbers. Default `id`. No other column of the table may be unique, and text has to be compared as it is: not without regard to case, as MySQL and
   * MariaDB do unless the column says `collate utf8mb4_bin`.
   */
  readonly key?: string | undefined
  /** A bigint, not null: the version of the entry. Default `version`. */
  readonly version?: string | undefined
  /** A bigint: null for an entry that is there, else when its tombstone was written, milliseconds since 1970. Default `gone_at`. */
  readonly goneAt?: string | undefined
  /** What holds the value: property, and kind (or name and kind). All of them nullable in the table, whatever the kind says: a tombstone holds no value. */
  readonly columns: C
}

// Parameters of one statement: SQLite takes 32,766, PostgreSQL and MySQL 65,535.
const MOST_PARAMETERS = 30_000
const MOST_ROWS = 500
const LONGEST_NAME = 48

/**
 * A table of the user's, in PostgreSQL, MySQL, MariaDB or SQLite. It is made by his own migration; his queries go straight to it, `where gone_at is null`.
 * @throws FairleadError `INVALID_OPTIONS`
 * @example
 * const table = sqlReplicaTable(driver, { table: 'customer_copy', columns: { name: 'text', creditCents: { column: 'credit_cents', as: 'number' } } })
 */
export function sqlReplicaTable<Tx, const C extends Readonly<Record<string, ColumnSpec>>>(
  driver: SqlDriver<Tx>,
  options: SqlReplicaTableOptions<C>,
): ReplicaTable<Tx, ValueOfColumns<C>> {
  const dialect = dialectOf(driver as never)
  const { name, marks, columns } = checked(options)
  if (driver.dialect === 'sqlite' && name.schema !== undefined)
    throw invalidOption(
      'schema',
      name.schema,
      'leave it out: what is attached to one connection is not there on another',
    )
  const { quote, parameter } = dialect
  const others = columns.map((column) => column.name)
  const width = 3 + columns.length
  const rowsAtOnce = Math.min(MOST_ROWS, Math.floor(MOST_PARAMETERS / width))
  const own = qualified(dialect, name)
  const selected = columns.map(({ name: column, kind }, at) => {
    const quoted = quote(column)
    return `${kind === 'json' ? dialect.jsonText(quoted) : quoted} as ${quote(`c${at}`)}`
  })
  const one = `select ${[`${quote(marks.version)} as ${quote('v')}`, `${quote(marks.goneAt)} as ${quote('g')}`, ...selected]} from ${own} where ${quote(marks.key)} = ${parameter(1)}`

  const askerOf = (tx: Tx | undefined): Ask =>
    tx === undefined
      ? (text, params = []) => driver.execute(text, params)
      : (text, params = []) => driver.query(tx, text, params)
  const nameOf = ({ generation, beside }: ReplicaPlace): TableName =>
    beside ? { schema: name.schema, table: sideOf(generation) } : name
  const sideOf = (generation: number): string => `${name.table}__${generation}`
  const rowsOf = (count: number): string => {
    const row = (at: number): string =>
      `(${Array.from({ length: width }, (_, column) => parameter(at * width + column + 1)).join(', ')})`
    return `values ${Array.from({ length: count }, (_, at) => row(at)).join(', ')}`
  }

  return {
    name: name.table,
    alone: rowsAtOnce,
    async check() {
      const wanted = new Map<string, boolean>([marks.key, marks.version].map((column) => [column, false]))
      for (const column of [marks.goneAt, ...others]) wanted.set(column, true)
      await missingOf(dialect, askerOf(undefined), name, wanted)
      await mergesOf(dialect, askerOf(undefined), name, marks.key)
    },
    async isEmpty() {
      const { rows } = await driver.execute(`select 1 as there from ${own} limit 1`, [])
      return rows.length === 0
    },
    async write(tx, place, entries, at) {
      const ask = askerOf(tx)
      const table = nameOf(place)
      let newer = 0
      for (let from = 0; from < entries.length; from += rowsAtOnce) {
        const some = entries.slice(from, from + rowsAtOnce)
        const params = some.flatMap((entry) => paramsOf(entry, columns, at))
        const { affected } = await ask(dialect.upsert(table, marks, others, rowsOf(some.length)), params)
        newer += dialect.changed(affected, some.length)
      }
      return newer
    },
    async read(tx, key) {
      const { rows } = await askerOf(tx)(one, [key])
      const row = rows[0]
      if (row === undefined) return undefined
      const version = BigInt(row['v'] as string)
      if (row['g'] !== null && row['g'] !== undefined) return { version }
      const value = Object.fromEntries(columns.map((column, at) => [column.property, shownOf(column, row[`c${at}`])]))
      return { version, value: value as ValueOfColumns<C> }
    },
    async beside(generation) {
      await dialect.copyShape(driver, name, sideOf(generation))
      const side = qualified(dialect, nameOf({ generation, beside: true }))
      const { rows } = await driver.execute(`select 1 as there from ${side} limit 1`, [])
      return rows.length === 0
    },
    async isBeside(generation) {
      return (await dialect.columns(askerOf(undefined), nameOf({ generation, beside: true }))).length > 0
    },
    async discard(generation) {
      await dialect.drop(driver, { schema: name.schema, table: sideOf(generation) })
    },
    async carry(generation) {
      const columns = [marks.key, marks.version, marks.goneAt, ...others].map((column) => `old.${quote(column)}`)
      const gone = `select ${columns} from ${own} as old where old.${quote(marks.goneAt)} is not null`
      await driver.execute(dialect.upsert(nameOf({ generation, beside: true }), marks, others, gone), [])
    },
    swap: (generation) => dialect.swap(driver, name, sideOf(generation)),
    async purge(before, limit) {
      const { affected } = await driver.execute(dialect.purge(name, marks, limit), [before])
      return affected
    },
  }
}

function paramsOf(entry: ReplicaEntry, columns: readonly Column[], at: number): readonly unknown[] {
  const { key, version, value } = entry
  if (value === undefined) return [key, version, Math.floor(at), ...columns.map(() => null)]
  const values = value as Readonly<Record<string, unknown>>
  return [key, version, null, ...columns.map((column) => parameterOf(column, values[column.property]))]
}

function checked(options: SqlReplicaTableOptions<Readonly<Record<string, ColumnSpec>>>): {
  readonly name: TableName
  readonly marks: { readonly key: string; readonly version: string; readonly goneAt: string }
  readonly columns: readonly Column[]
} {
  knownOptions('sqlReplicaTable', options, ['table', 'schema', 'key', 'version', 'goneAt', 'columns'])
  const { table, schema, key = 'id', version = 'version', goneAt = 'gone_at' } = options
  const columns = columnsOf(options.columns)
  if (typeof table !== 'string' || table === '' || Buffer.byteLength(table) > LONGEST_NAME)
    throw invalidOption('table', table, `give a name of at most ${LONGEST_NAME} bytes`)
  const names = [key, version, goneAt, ...columns.map((column) => column.name)]
  for (const each of [table, ...(schema === undefined ? [] : [schema]), ...names])
    if (typeof each !== 'string' || each === '' || each.includes('\0'))
      throw invalidOption('sqlReplicaTable', each, 'names are texts without NUL')
  if (new Set(names).size < names.length)
    throw invalidOption('columns', names.join(', '), 'each column has a name of its own')
  return { name: { schema, table }, marks: { key, version, goneAt }, columns }
}
