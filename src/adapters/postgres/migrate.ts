// Brings a schema up to date: by itself, or by printing what somebody else's tool then runs. Several processes may do it at once.
import type { SqlDriver } from '../../core/contracts/store.ts'
import { type AppliedMigration, checksumOf, incompatible, type Migration, missingOf } from '../../core/migration.ts'
import { countOption, invalidOption, knownOptions } from '../../core/options.ts'
import { sqlStateOf } from './classify-postgres.ts'
import { MIGRATIONS } from './migrations/index.ts'
import { BODY_TAG, DEFAULT_SCHEMA, identifier, literal } from './names.ts'

/** Where the tables are. */
export interface SchemaOptions {
  /** Name of the schema, as it is: upper case and odd characters are kept. Default `fairlead`. */
  readonly schema?: string | undefined
}

/** Where the tables are, and whose they are. */
export interface OwnedSchemaOptions extends SchemaOptions {
  /** Which service they belong to. Default: nobody says, and any mark will do. */
  readonly owner?: string | undefined
}

/** What `migrate` did. */
export interface MigrateResult {
  /** Names of the steps that were run now; empty when all had been. */
  readonly applied: readonly string[]
}

/**
 * Makes the schema if it is not there, and runs the steps that are missing, all in one transaction. Needs the right to create only when
 * something is missing. Any number of processes may call it at once, and again at each start.
 * Sets the mark of the owner where one is given and there is none.
 * @throws FairleadError `INCOMPATIBLE` for a schema that a newer fairlead has migrated, whose steps are not those of this version, or that
 * belongs to another owner; `FORBIDDEN`; `TRANSACTION_CONFLICT` when a lock was not to be had within 10 s
 * @example await migrate(pgDriver(pool), { owner: 'shop' })
 */
export async function migrate<Tx>(driver: SqlDriver<Tx>, options: OwnedSchemaOptions = {}): Promise<MigrateResult> {
  knownOptions('migrate', options, ['schema', 'owner'])
  const schema = schemaOf(options.schema)
  const owner = ownerOf(options.owner)
  const done = await migrateBy(driver, schema, MIGRATIONS)
  if (owner !== undefined && mustBeOf(schema, owner, await ownerNow(driver, schema)) === undefined) {
    // Whoever comes first: the others find its mark.
    await driver.execute(marking(schema, owner), [])
    mustBeOf(schema, owner, await ownerNow(driver, schema))
  }
  return done
}

/**
 * Only looks whether the schema fits this version, and changes nothing. For processes that may not create.
 * @throws FairleadError `INCOMPATIBLE` naming the steps that are missing, or saying that the schema is newer, or whose it is
 */
export async function checkMigrations<Tx>(driver: SqlDriver<Tx>, options: OwnedSchemaOptions = {}): Promise<void> {
  knownOptions('checkMigrations', options, ['schema', 'owner'])
  const schema = schemaOf(options.schema)
  const owner = ownerOf(options.owner)
  const missing = missingOf(`the schema ${schema}`, await appliedNow(driver, schema), MIGRATIONS)
  if (missing.length > 0)
    throw incompatible(
      `the schema ${schema}`,
      `lacks ${missing.map(({ name }) => name).join(', ')}: run migrate(driver, { schema }) with a role that may create`,
    )
  if (owner !== undefined && mustBeOf(schema, owner, await ownerNow(driver, schema)) === undefined)
    throw incompatible(`the schema ${schema}`, `lacks the mark of its owner: run migrate(driver, { schema, owner })`)
}

/**
 * The SQL of all steps from `after` on, for tools of your own, with the rows that tell `migrate` that they were run. Run it in one transaction, once
 * (`psql --single-transaction --set ON_ERROR_STOP=1`).
 * @param options `after`: the number of the last step that was run already; default 0. `owner`: sets its mark as well
 * @throws FairleadError `INVALID_OPTIONS` for a name that is none, or an `after` that is no whole number
 */
export function printMigrations(options: OwnedSchemaOptions & { readonly after?: number | undefined } = {}): string {
  knownOptions('printMigrations', options, ['schema', 'owner', 'after'])
  const schema = schemaOf(options.schema)
  const owner = ownerOf(options.owner)
  const after = countOption('after', options.after, 0, 0)
  const parts = after === 0 ? [groundwork(schema)] : []
  for (const step of MIGRATIONS)
    if (step.number > after) parts.push(`-- ${step.name}`, render(step, schema), `${recorded(step, schema)};`)
  if (owner !== undefined) parts.push(`${marking(schema, owner)};`)
  return `${parts.join('\n')}\n`
}

/** For tests, which bring steps of their own. */
export async function migrateBy<Tx>(
  driver: SqlDriver<Tx>,
  schema: string,
  steps: readonly Migration[],
): Promise<MigrateResult> {
  // Nothing to do is what nearly every start finds; it takes no lock and needs no right but to read.
  const before = await appliedNow(driver, schema)
  if (before.length > 0 && missingOf(`the schema ${schema}`, before, steps).length === 0) return { applied: [] }
  return driver.transaction(async (tx) => {
    const run = (text: string, params: readonly unknown[] = []) => driver.query(tx, text, params)
    // What another process has done while we waited must be seen, whatever the default of the database is.
    await run('set transaction isolation level read committed')
    // Waits for another process that is at it, however long that takes. Other locks are not waited for: whoever queues behind us would wait as well.
    await run(`select pg_advisory_xact_lock(hashtext('fairlead:migrate'), hashtext($1))`, [schema])
    await run(`set local lock_timeout = '10s'`)
    const { rows } = await run('select 1 from pg_namespace where nspname = $1', [schema])
    if (rows.length === 0) await run(`create schema ${identifier('schema', schema)}`)
    const { rows: tables } = await run('select to_regclass($1) is not null as there', [
      `${identifier('schema', schema)}.migration`,
    ])
    if (tables[0]?.['there'] !== true) await run(bookkeeping(schema))
    const missing = missingOf(`the schema ${schema}`, rowsOf((await run(listing(schema))).rows), steps)
    for (const step of missing) {
      // One by one: not every driver takes several at once.
      for (const statement of statementsOf(render(step, schema))) await run(statement)
      await run(recorded(step, schema))
    }
    return { applied: missing.map(({ name }) => name) }
  })
}

/** What a step looks like in this schema. */
function render(step: Migration, schema: string): string {
  const name = identifier('schema', schema)
  const text = literal(schema)
  // By a function: in a replacement text, `$` would mean something.
  return step.sql.trim().replace(/@schema@|@schema_text@/g, (what) => (what === '@schema@' ? name : text))
}

/** The statements of a step. They end with a line; bodies of functions stand between tags. */
export function statementsOf(sql: string): readonly string[] {
  const statements: string[] = []
  let lines: string[] = []
  let inBody = false
  for (const line of sql.split('\n')) {
    if (!inBody && (line.trim() === '' || line.startsWith('--'))) continue
    lines.push(line)
    if (line.split(BODY_TAG).length % 2 === 0) inBody = !inBody
    if (inBody || !line.endsWith(';')) continue
    statements.push(lines.join('\n').slice(0, -1))
    lines = []
  }
  if (lines.length > 0) statements.push(lines.join('\n'))
  return statements
}

async function ownerNow<Tx>(driver: SqlDriver<Tx>, schema: string): Promise<string | undefined> {
  const { rows } = await driver.execute(`select owner from ${identifier('schema', schema)}.owner`, [])
  return rows[0]?.['owner'] as string | undefined
}

/** The mark that is there. @throws FairleadError `INCOMPATIBLE` where it is another's */
function mustBeOf(schema: string, owner: string, found: string | undefined): string | undefined {
  if (found === undefined || found === owner) return found
  throw incompatible(
    `the schema ${schema}`,
    `belongs to ${found}, and not to ${owner}: give each service a schema of its own, or change the row in ${identifier('schema', schema)}.owner if the service has a new name`,
  )
}

function marking(schema: string, owner: string): string {
  return `insert into ${identifier('schema', schema)}.owner (owner) values (${literal(owner)}) on conflict do nothing`
}

async function appliedNow<Tx>(driver: SqlDriver<Tx>, schema: string): Promise<readonly AppliedMigration[]> {
  try {
    return rowsOf((await driver.execute(listing(schema), [])).rows)
  } catch (error) {
    // No schema, or no table in it.
    if (['42P01', '3F000'].includes(sqlStateOf(error) ?? '')) return []
    throw error
  }
}

function rowsOf(rows: readonly Record<string, unknown>[]): readonly AppliedMigration[] {
  return rows.map(({ number, name, checksum }) => ({
    number: Number(number),
    name: String(name),
    checksum: String(checksum),
  }))
}

function groundwork(schema: string): string {
  return `create schema if not exists ${identifier('schema', schema)};\n${bookkeeping(schema)};`
}
function bookkeeping(schema: string): string {
  return `create table ${identifier('schema', schema)}.migration (
  number int primary key,
  name text not null,
  checksum text not null,
  applied_at timestamptz not null default now()
)`
}
function listing(schema: string): string {
  return `select number, name, checksum from ${identifier('schema', schema)}.migration order by number`
}
function recorded(step: Migration, schema: string): string {
  return `insert into ${identifier('schema', schema)}.migration (number, name, checksum) values (${step.number}, ${literal(step.name)}, ${literal(checksumOf(step))})`
}

/** The name of the schema. @throws FairleadError `INVALID_OPTIONS` for one that PostgreSQL would not have */
export function schemaOf(name: string | undefined): string {
  const schema = name ?? DEFAULT_SCHEMA
  identifier('schema', schema)
  if (schema.startsWith('pg_'))
    throw invalidOption('schema', schema, 'PostgreSQL keeps names that begin with pg_ to itself')
  return schema
}

/** @throws FairleadError `INVALID_OPTIONS` for what is no name */
export function ownerOf(owner: string | undefined): string | undefined {
  if (owner !== undefined && (typeof owner !== 'string' || owner === '' || owner.includes('\0')))
    throw invalidOption('owner', owner, 'give the name of a service, or leave it out')
  return owner
}
