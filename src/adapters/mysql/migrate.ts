// Brings the tables up to date: by itself, or by printing what somebody else's tool then runs. Several processes may do it at once.
// DDL commits by itself here, so that no transaction holds a step together: its statements may be run again, and it is noted when all were.
import { createHash } from 'node:crypto'
import { type AppliedMigration, checksumOf, incompatible, type Migration, missingOf } from '../../core/migration.ts'
import { countOption, knownOptions } from '../../core/options.ts'
import { createError } from '../../errors/index.ts'
import { errnoOf } from './classify-mysql.ts'
import type { MysqlDriver, Run } from './driver.ts'
import { literal } from './literals.ts'
import { MIGRATIONS } from './migrations/index.ts'
import { DEFAULT_PREFIX, type MysqlTablesOptions, partsOf, type TableName, type Tables, tablesOf } from './names.ts'
import { NOW_MS } from './time.ts'

// A later step may have to rewrite a large table.
const STATEMENT_WITHIN_MS = 30 * 60_000

const LOCK_WITHIN_S = 20
// Whoever waits for a table makes all who come later wait behind it, also those who only read.
const TABLE_WITHIN_S = 10
const LOCK_TRIES = 30

/**
 * The SQL of all steps from `after` on, for tools of your own, with the rows that tell `migrate` that they were run. It may be run again.
 * @param options `after`: the number of the last step that was run already; default 0. `owner`: sets the mark of the service that the tables belong to
 * @throws FairleadError `INVALID_OPTIONS` for names that cannot be, or an `after` that is no whole number
 */
export function printMysqlMigrations(
  options: MysqlTablesOptions & { readonly after?: number | undefined; readonly owner?: string | undefined } = {},
): string {
  knownOptions('printMysqlMigrations', options, ['prefix', 'database', 'after', 'owner'])
  const tables = tablesOf(options)
  const after = countOption('after', options.after, 0, 0)
  const parts = after === 0 ? [`${bookkeeping(tables)};`] : []
  for (const step of MIGRATIONS)
    if (step.number > after)
      parts.push(`-- ${step.name}`, ...statementsOf(step, tables).map((sql) => `${sql};`), `${recorded(step, tables)};`)
  if (options.owner !== undefined) parts.push(`${marked(options.owner, tables)};`)
  return `${parts.join('\n')}\n`
}

/** How tables are named in complaints. */
export function placeOf({ prefix = DEFAULT_PREFIX, database }: MysqlTablesOptions): string {
  return database === undefined ? `the tables ${prefix}*` : `the tables ${prefix}* in ${database}`
}

/** Where, whose, and which steps. */
export interface MigrateBy {
  readonly place: string
  readonly tables: Tables
  readonly owner: string | undefined
  readonly steps?: readonly Migration[] | undefined
}

/** Runs what is missing and sets the mark of the owner. Returns the names of the steps that were run. */
export async function migrateBy<Tx>(
  driver: MysqlDriver<Tx>,
  { place, tables, owner, steps = MIGRATIONS }: MigrateBy,
): Promise<{ readonly applied: readonly string[] }> {
  // Nothing to do is what nearly every start finds; it takes no lock and needs no right but to read.
  const before = await appliedNow(driver, tables)
  if (
    before.length > 0 &&
    missingOf(place, before, steps).length === 0 &&
    (await ownerNow(driver, place, tables, owner))
  )
    return { applied: [] }
  return driver.session(STATEMENT_WITHIN_MS, async (run) => {
    const name = await take(run, tables)
    await run(bookkeeping(tables))
    const missing = missingOf(place, rowsOf((await run(listing(tables))).rows), steps)
    await run(`set session lock_wait_timeout = ${TABLE_WITHIN_S}`)
    for (const step of missing) {
      for (const sql of statementsOf(step, tables)) await run(sql)
      await run(recorded(step, tables))
    }
    if (owner !== undefined) {
      await run(marked(owner, tables))
      sameOwner(place, (await run(`select owner from ${tables.owner} where one = 1`)).rows[0]?.['owner'], owner)
    }
    await run('set session lock_wait_timeout = default')
    await run('do release_lock(?)', [name])
    return { applied: missing.map(({ name }) => name) }
  })
}

/** Only looks. @throws FairleadError `INCOMPATIBLE` */
export async function checkBy<Tx>(
  driver: MysqlDriver<Tx>,
  { place, tables, owner, steps = MIGRATIONS }: MigrateBy,
): Promise<void> {
  const missing = missingOf(place, await appliedNow(driver, tables), steps)
  if (missing.length > 0)
    throw incompatible(
      place,
      `lack ${missing.map(({ name }) => name).join(', ')}: run migrate() of the store as a user that may create`,
    )
  if (!(await ownerNow(driver, place, tables, owner)))
    throw incompatible(place, `belong to nobody, and not to ${owner}: run migrate() of the store, which marks them`)
}

// Named locks are those of the whole server: the name says which tables. They end with the session.
async function take(run: Run, tables: Tables): Promise<string> {
  const { rows } = await run('select database() as here')
  const name = `fairlead:${createHash('sha256')
    .update(JSON.stringify([rows[0]?.['here'], tables.migration]))
    .digest('hex')
    .slice(0, 40)}`
  for (let tries = 0; tries < LOCK_TRIES; tries++) {
    const answer = await run('select get_lock(?, ?) as got', [name, LOCK_WITHIN_S])
    if (Number(answer.rows[0]?.['got']) === 1) return name
  }
  throw createError({
    code: 'TRANSACTION_CONFLICT',
    message: `another process is migrating the same tables, and did not end within ${LOCK_TRIES * LOCK_WITHIN_S} s`,
    transport: 'mysql',
  })
}

async function appliedNow<Tx>(driver: MysqlDriver<Tx>, tables: Tables): Promise<readonly AppliedMigration[]> {
  try {
    return rowsOf((await driver.execute(listing(tables), [])).rows)
  } catch (error) {
    // No such table, or no such database.
    if ([1146, 1049].includes(errnoOf(error) ?? 0)) return []
    throw error
  }
}

// Whether the mark is there where one is wanted. Somebody else's is an error.
async function ownerNow<Tx>(
  driver: MysqlDriver<Tx>,
  place: string,
  tables: Tables,
  owner: string | undefined,
): Promise<boolean> {
  if (owner === undefined) return true
  const { rows } = await driver.execute(`select owner from ${tables.owner} where one = 1`, [])
  if (rows.length === 0) return false
  sameOwner(place, rows[0]?.['owner'], owner)
  return true
}

function sameOwner(place: string, found: unknown, owner: string): void {
  if (found !== owner)
    throw incompatible(
      place,
      `belong to ${String(found)}, and not to ${owner}: give each service tables of its own (prefix)`,
    )
}

function statementsOf(step: Migration, tables: Tables): readonly string[] {
  return step.sql
    .split(/;\s*(?:\n|$)/)
    .map((statement) => statement.trim())
    .filter((statement) => statement !== '')
    .map((statement) =>
      statement.replaceAll(/@(\w+)(?::(text|here))?@/g, (_, table: string, as: string | undefined) => {
        const name = tables[table as TableName]
        return as === undefined ? name : as === 'text' ? literal(name) : isTable(name)
      }),
    )
}

// Which rows of information_schema are about this table. Whether case counts the server knows.
function isTable(name: string): string {
  const { database, table } = partsOf(name)
  return `table_schema = ${database === undefined ? 'database()' : literal(database)} and table_name = ${literal(table)}`
}

function rowsOf(rows: readonly Record<string, unknown>[]): readonly AppliedMigration[] {
  return rows.map(({ number, name, checksum }) => ({
    number: Number(number),
    name: String(name),
    checksum: String(checksum),
  }))
}

function bookkeeping({ migration }: Tables): string {
  return `create table if not exists ${migration} (
  number int not null primary key,
  name varchar(100) not null,
  checksum varchar(64) not null,
  applied_ms bigint not null
) engine=InnoDB default character set utf8mb4 collate utf8mb4_bin`
}
function listing({ migration }: Tables): string {
  return `select number, name, checksum from ${migration} order by number`
}
function recorded(step: Migration, { migration }: Tables): string {
  return `insert ignore into ${migration} (number, name, checksum, applied_ms) values (${step.number}, ${literal(step.name)}, ${literal(checksumOf(step))}, ${NOW_MS})`
}
function marked(owner: string, tables: Tables): string {
  return `insert ignore into ${tables.owner} (one, owner) values (1, ${literal(owner)})`
}
