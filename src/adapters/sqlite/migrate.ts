// Brings the tables of a file up to date: by itself, or by printing what somebody else's tool then runs. Several processes may do it at once.
import type { SqlDriver, SqlResult } from '../../core/contracts/store.ts'
import { type AppliedMigration, checksumOf, incompatible, type Migration, missingOf } from '../../core/migration.ts'
import { countOption, invalidOption, knownOptions } from '../../core/options.ts'
import { MIGRATIONS } from './migrations/index.ts'
import { DEFAULT_PREFIX, identifier, literal, tablesOf } from './names.ts'

/** Which tables, and whose. */
export interface SqliteTablesOptions {
  /** With which the names of the tables begin; any text, capitals do not count. Default `fairlead_`. */
  readonly prefix?: string | undefined
  /** The service that they belong to: another one is refused. */
  readonly owner?: string | undefined
}

type Run = (text: string, params?: readonly unknown[]) => Promise<SqlResult>

/**
 * Makes the tables that are missing and sets the mark of the owner, all in one transaction. Several processes may call it at once, and again at each start.
 * @throws FairleadError `INCOMPATIBLE` for tables that a newer fairlead has migrated, or of another owner; `TRANSACTION_CONFLICT`; `FORBIDDEN` for a file that cannot be written
 */
export async function migrateSqlite<Tx>(
  driver: SqlDriver<Tx>,
  options: SqliteTablesOptions = {},
  steps: readonly Migration[] = MIGRATIONS,
): Promise<{ readonly applied: readonly string[] }> {
  const { prefix, owner, place } = given('migrateSqlite', options)
  // Nothing to do is what nearly every start finds; it takes no lock and needs no right to write.
  const before = await look((text, params = []) => driver.execute(text, params), prefix)
  if (before.applied.length > 0 && missingOf(place, before.applied, steps).length === 0) {
    refuseOthers(place, before.owner, owner)
    if (owner === undefined || before.owner === owner) return { applied: [] }
  }
  return driver.transaction(async (tx) => {
    const run: Run = (text, params = []) => driver.query(tx, text, params)
    // What another process has done while we waited.
    const now = await look(run, prefix)
    refuseOthers(place, now.owner, owner)
    if (!now.there) for (const statement of groundwork(prefix)) await run(statement)
    const missing = missingOf(place, now.applied, steps)
    for (const step of missing) {
      for (const statement of statementsOf(step, prefix)) await run(statement)
      await run(recorded(step, prefix))
    }
    if (owner !== undefined && now.owner === undefined) await run(marked(owner, prefix))
    return { applied: missing.map(({ name }) => name) }
  })
}

/**
 * Only looks whether the tables fit this version and belong to this owner, and changes nothing.
 * @throws FairleadError `INCOMPATIBLE` naming what is missing, newer, or owned by another
 */
export async function checkSqlite<Tx>(driver: SqlDriver<Tx>, options: SqliteTablesOptions = {}): Promise<void> {
  const { prefix, owner, place } = given('checkSqlite', options)
  const found = await look((text, params = []) => driver.execute(text, params), prefix)
  const missing = missingOf(place, found.applied, MIGRATIONS)
  if (missing.length > 0)
    throw incompatible(place, `lacks ${missing.map(({ name }) => name).join(', ')}: run migrate() of the store`)
  refuseOthers(place, found.owner, owner)
  if (owner !== undefined && found.owner === undefined)
    throw incompatible(place, `has no mark of its owner, ${owner}: run migrate() of the store`)
}

/**
 * The SQL of all steps from `after` on, for tools of your own, with the rows that tell `migrate` that they were run. Run it in one transaction, once.
 * @param options `after`: the number of the last step that was run already; default 0
 * @throws FairleadError `INVALID_OPTIONS`
 */
export function printSqliteMigrations(
  options: SqliteTablesOptions & { readonly after?: number | undefined } = {},
): string {
  const { prefix, owner } = given('printSqliteMigrations', options, ['after'])
  const after = countOption('after', options.after, 0, 0)
  const lines = after === 0 ? groundwork(prefix).map(ended) : []
  for (const step of MIGRATIONS)
    if (step.number > after)
      lines.push(`-- ${step.name}`, ...statementsOf(step, prefix).map(ended), ended(recorded(step, prefix)))
  if (owner !== undefined && after === 0) lines.push(ended(marked(owner, prefix)))
  return `${lines.join('\n')}\n`
}

interface Found {
  readonly there: boolean
  readonly applied: readonly AppliedMigration[]
  readonly owner: string | undefined
}

async function look(run: Run, prefix: string): Promise<Found> {
  const tables = tablesOf(prefix)
  const { rows: there } = await run(
    `select 1 as there from sqlite_master where type = 'table' and lower(name) = lower(?)`,
    [`${prefix}migration`],
  )
  if (there.length === 0) return { there: false, applied: [], owner: undefined }
  const { rows } = await run(`select number, name, checksum from ${tables.migration} order by number`)
  const applied = rows.map(({ number, name, checksum }) => ({
    number: Number(number),
    name: String(name),
    checksum: String(checksum),
  }))
  const { rows: marks } = await run(`select value from ${tables.mark} where name = 'owner'`)
  const owner = marks[0]?.['value']
  return { there: true, applied, owner: typeof owner === 'string' ? owner : undefined }
}

function refuseOthers(place: string, found: string | undefined, owner: string | undefined): void {
  if (found !== undefined && owner !== undefined && found !== owner)
    throw incompatible(place, `belongs to ${found}, not to ${owner}: give each service a file, or a prefix, of its own`)
}

function groundwork(prefix: string): readonly string[] {
  const { migration, mark } = tablesOf(prefix)
  return [
    `create table ${migration} (number integer primary key, name text not null, checksum text not null, applied_at integer not null default (unixepoch() * 1000)) strict`,
    `create table ${mark} (name text primary key, value text not null) strict, without rowid`,
  ]
}

// Cut before names are put in: whatever a name holds, it ends no statement.
function statementsOf(step: Migration, prefix: string): readonly string[] {
  return step.sql
    .replace(/^\s*--.*\n/gm, '')
    .split(';')
    .map((statement) => statement.trim())
    .filter((statement) => statement !== '')
    .map((statement) =>
      statement.replace(/@([a-z_:]+)@/g, (_, name: string) => identifier('prefix', `${prefix}${name}`)),
    )
}

function recorded(step: Migration, prefix: string): string {
  return `insert into ${tablesOf(prefix).migration} (number, name, checksum) values (${step.number}, ${literal(step.name)}, ${literal(checksumOf(step))})`
}

function marked(owner: string, prefix: string): string {
  return `insert into ${tablesOf(prefix).mark} (name, value) values ('owner', ${literal(owner)})`
}

function ended(statement: string): string {
  return `${statement};`
}

/** Checks the options that say which tables are meant, and whose. @throws FairleadError `INVALID_OPTIONS` */
export function given(
  what: string,
  options: SqliteTablesOptions,
  more: readonly string[] = [],
): { readonly prefix: string; readonly owner: string | undefined; readonly place: string } {
  knownOptions(what, options, ['prefix', 'owner', ...more])
  const { prefix = DEFAULT_PREFIX, owner } = options
  tablesOf(prefix)
  if (owner !== undefined && (typeof owner !== 'string' || owner === '' || owner.includes('\0')))
    throw invalidOption('owner', owner, 'give the name of a service')
  return { prefix, owner, place: `the tables ${prefix}*` }
}
