// Names of tables are made of a prefix that comes from users: they are quoted everywhere, and what the server would refuse or change is refused here.
import { invalidOption } from '../../core/options.ts'

/** Identifiers of MySQL and MariaDB have at most 64 characters. */
const LONGEST = 64

/** What table names begin with unless somebody says otherwise. */
export const DEFAULT_PREFIX = 'fairlead_'

/** The tables of a store, without the prefix. */
export const TABLES = [
  'migration',
  'owner',
  'bucket',
  'outbox',
  'outbox_dead',
  'outbox_archive',
  'outbox_block',
  'outbox_partition',
  'outbox_relay',
  'inbox',
  'inbox_attempt',
  'inbox_parked',
  'idempotency',
  'state',
  'state_correlation',
  'lane',
  'lane_member',
] as const

/** One of them. */
export type TableName = (typeof TABLES)[number]

/** Names of all tables as they stand in SQL. */
export type Tables = Readonly<Record<TableName, string>>

const LONGEST_TABLE = Math.max(...TABLES.map((table) => table.length))

/** Where the tables are. */
export interface MysqlTablesOptions {
  /** What the names of the tables begin with, as it is: upper case and odd characters are kept. Default `fairlead_`. */
  readonly prefix?: string | undefined
  /** The database that they are in. Default: the one that the pool connects to. */
  readonly database?: string | undefined
}

/**
 * A name as it stands in SQL, in quotes.
 * @throws FairleadError `INVALID_OPTIONS` for one that is too long or holds characters that names cannot have
 */
export function identifier(option: string, name: string, longest: number = LONGEST): string {
  if (typeof name !== 'string') throw invalidOption(option, name, 'give a name')
  if ([...name].length > longest) throw invalidOption(option, name, `give at most ${longest} characters`)
  for (const character of name)
    if (character === '\0' || (character.codePointAt(0) as number) > 0xffff || /\p{Surrogate}/u.test(character))
      throw invalidOption(option, name, 'names hold neither NUL nor characters beyond U+FFFF')
  return `\`${name.replaceAll('`', '``')}\``
}

/** All names for a prefix. @throws FairleadError `INVALID_OPTIONS` */
export function tablesOf({ prefix = DEFAULT_PREFIX, database }: MysqlTablesOptions): Tables {
  identifier('prefix', prefix, LONGEST - LONGEST_TABLE)
  // Names must not begin with a blank on every server, and never end with one: the rest of a table's name follows the prefix.
  if (database !== undefined && (database === '' || database.endsWith(' ')))
    throw invalidOption('database', database, 'give a name that does not end with a blank')
  const place = database === undefined ? '' : `${identifier('database', database)}.`
  return Object.fromEntries(TABLES.map((table) => [table, place + identifier('prefix', prefix + table)])) as Tables
}

/** What the name of a table in SQL is made of, without quotes. */
export function partsOf(name: string): { readonly database: string | undefined; readonly table: string } {
  const parts = [...name.matchAll(/`((?:[^`]|``)*)`/g)].map(([, part = '']) => part.replaceAll('``', '`'))
  return { database: parts.length > 1 ? parts[0] : undefined, table: parts.at(-1) ?? '' }
}
