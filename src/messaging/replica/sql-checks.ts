// What about a table would make one entry of two, or stop a change half way: said at the start, not found out later.
import { createError } from '../../errors/classes.ts'
import { type Ask, type Dialect, qualified, type TableName } from './sql-dialects.ts'

/** @throws FairleadError `INCOMPATIBLE` for a key that is not unique, another column that is, and keys that are compared without regard to case */
export async function mergesOf(dialect: Dialect, ask: Ask, name: TableName, key: string): Promise<void> {
  const table = qualified(dialect, name)
  const quoted = dialect.quote(key)
  const incompatible = (what: string, fix: string): Error =>
    createError({ code: 'INCOMPATIBLE', message: `the table ${table} ${what}: ${fix}`, details: { table, key } })
  const uniques = await dialect.uniques(ask, name)
  const same = (column: string): boolean => column.toLowerCase() === key.toLowerCase()
  const own = uniques.find(({ columns, whole }) => whole && columns.length === 1 && columns.every(same))
  if (own === undefined)
    throw incompatible(`has no unique ${quoted}`, `make ${quoted} alone its primary key, not a part or a prefix of one`)
  const other = uniques.find(({ columns }) => !columns.some(same))
  if (other !== undefined)
    throw incompatible(
      `has a unique index ${dialect.quote(other.name)}`,
      'drop it: two entries may pass through the same value, because changes come in any order',
    )
  const collation = await dialect.merging(ask, name, key)
  if (collation !== undefined)
    throw incompatible(
      `compares ${quoted} by ${collation}, which takes keys for the same that are not (a and A)`,
      dialect.exactly(quoted),
    )
}
