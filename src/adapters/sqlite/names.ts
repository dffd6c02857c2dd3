// Names of tables come from users: they are quoted everywhere. All of ours begin with one prefix, so that they may live beside others in one file.
import { invalidOption } from '../../core/options.ts'

/** With which the names of our tables begin, unless somebody says otherwise. */
export const DEFAULT_PREFIX = 'fairlead_'

const TABLES = [
  'archive',
  'attempt',
  'block',
  'correlation',
  'dead',
  'idempotency',
  'inbox',
  'lane',
  'lane_member',
  'mark',
  'migration',
  'outbox',
  'outbox:scan',
  'parked',
  'state',
] as const

/** Our tables, without their prefix; and an index that is asked for by name. */
export type TableName = (typeof TABLES)[number]

/** Names of our tables as they stand in SQL, in quotes. */
export type Tables = Readonly<Record<TableName, string>>

/**
 * A name as it stands in SQL, in quotes.
 * @throws FairleadError `INVALID_OPTIONS` for one that holds a NUL
 */
export function identifier(option: string, name: string): string {
  if (name.includes('\0')) throw invalidOption(option, name, 'a name must not hold NUL')
  return `"${name.replaceAll('"', '""')}"`
}

/** A text as it stands in SQL. */
export function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}

/**
 * Our tables in SQL.
 * @throws FairleadError `INVALID_OPTIONS` for a prefix that SQLite cannot use
 */
export function tablesOf(prefix: string = DEFAULT_PREFIX): Tables {
  if (typeof prefix !== 'string' || prefix.length > 200)
    throw invalidOption('prefix', prefix, 'give a text of at most 200 characters')
  if (/^sqlite_/i.test(prefix))
    throw invalidOption('prefix', prefix, 'SQLite keeps names that begin with sqlite_ to itself')
  return Object.freeze(
    Object.fromEntries(TABLES.map((table) => [table, identifier('prefix', `${prefix}${table}`)])),
  ) as Tables
}
