// Brings a schema up to date: by itself, or by printing what somebody else's tool then runs. Several processes may do it at once.
import { createHash } from 'node:crypto'
import type { SqlDriver } from '../../core/contracts/store.ts'
import { countOption, invalidOption, knownOptions } from '../../core/options.ts'
import { createError } from '../../errors/index.ts'
import { sqlStateOf } from './classify-postgres.ts'
import { MIGRATIONS } from './migrations/index.ts'
import type { Migration } from './migrations/migration.ts'
import { DEFAULT_SCHEMA, identifier, literal } from './names.ts'

/** Where the tables are. */
export interface SchemaOptions {
  /** Name of the schema, as it is: upper case and odd characters are kept. Default `fairlead`. */
  readonly schema?: string | undefined
}

/** What `migrate` did. */
export interface MigrateResult {
  /** Names of the steps that were run now; empty when all had been. */
  readonly applied: readonly string[]
}

interface Applied {
  readonly number: number
  readonly name: string
  readonly checksum: string
}

/**
 * Makes the schema if it is not there, and runs the steps that are missing, all in one transaction. Needs the right to create only when
 * something is missing. Any number of processes may call it at once, and again at each start.
 * @throws FairleadError `INCOMPATIBLE` for a schema that a newer fairlead has migrated, or whose steps are not those of this version;
 * `FORBIDDEN`; `TRANSACTION_CONFLICT` when a lock was not to be had within 10 s
 * @example await migrate(pgDriver(pool))
 */
export async function migrate<Tx>(driver: SqlDriver<Tx>, options: SchemaOptions = {}): Promise<MigrateResult> {
  const schema = schemaOf('migrate', options)
  return migrateBy(driver, schema, MIGRATIONS)
}

/**
 * Only looks whether the schema fits this version, and changes nothing. For processes that may not create.
 * @throws FairleadError `INCOMPATIBLE` naming the steps that are missing, or saying that the schema is newer
 */
export async function checkMigrations<Tx>(driver: SqlDriver<Tx>, options: SchemaOptions = {}): Promise<void> {
  const schema = schemaOf('checkMigrations', options)
  const missing = missingOf(schema, await appliedNow(driver, schema), MIGRATIONS)
  if (missing.length > 0)
    throw incompatible(
      schema,
      `lacks ${missing.map(({ name }) => name).join(', ')}: run migrate(driver, { schema }) with a role that may create`,
    )
}

/**
 * The SQL of all steps from `after` on, for tools of your own, with the rows that tell `migrate` that they were run. Run it in one transaction, once.
 * @param options `after`: the number of the last step that was run already; default 0
 * @throws FairleadError `INVALID_OPTIONS` for a name that is none, or an `after` that is no whole number
 */
export function printMigrations(options: SchemaOptions & { readonly after?: number | undefined } = {}): string {
  const schema = schemaOf('printMigrations', options, ['after'])
  const after = countOption('after', options.after, 0, 0)
  const parts = after === 0 ? [groundwork(schema)] : []
  for (const step of MIGRATIONS)
    if (step.number > after) parts.push(`-- ${step.name}`, render(step, schema), `${recorded(step, schema)};`)
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
  if (before.length > 0 && missingOf(schema, before, steps).length === 0) return { applied: [] }
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
    const missing = missingOf(schema, rowsOf((await run(listing(schema))).rows), steps)
    for (const step of missing) {
      await run(render(step, schema))
      await run(recorded(step, schema))
    }
    return { applied: missing.map(({ name }) => name) }
  })
}

/** What a step looks like in this schema. */
function render(step: Migration, schema: string): string {
  const name = identifier('schema', schema)
  // By a function: in a replacement text, `$` would mean something.
  return step.sql.trim().replaceAll('@schema@', () => name)
}

async function appliedNow<Tx>(driver: SqlDriver<Tx>, schema: string): Promise<readonly Applied[]> {
  try {
    return rowsOf((await driver.execute(listing(schema), [])).rows)
  } catch (error) {
    // No schema, or no table in it.
    if (['42P01', '3F000'].includes(sqlStateOf(error) ?? '')) return []
    throw error
  }
}

function missingOf(schema: string, applied: readonly Applied[], steps: readonly Migration[]): readonly Migration[] {
  const known = new Map(steps.map((step) => [step.number, step]))
  for (const { number, name, checksum } of applied) {
    const step = known.get(number)
    if (step === undefined)
      throw incompatible(schema, `has step ${name}, which this version does not know: it was migrated by a newer one`)
    if (step.name !== name || checksumOf(step) !== checksum)
      throw incompatible(schema, `has a step ${name} that is not the ${step.name} of this version`)
  }
  const done = new Set(applied.map(({ number }) => number))
  return steps.filter(({ number }) => !done.has(number))
}

function incompatible(schema: string, what: string): Error {
  return createError({ code: 'INCOMPATIBLE', message: `the schema ${schema} ${what}`, transport: 'postgres' })
}

function rowsOf(rows: readonly Record<string, unknown>[]): readonly Applied[] {
  return rows.map(({ number, name, checksum }) => ({
    number: Number(number),
    name: String(name),
    checksum: String(checksum),
  }))
}

// Of the step itself, before a name is put in: it is the same for all schemas.
function checksumOf(step: Migration): string {
  return createHash('sha256').update(step.sql.trim()).digest('hex').slice(0, 16)
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

function schemaOf(what: string, options: SchemaOptions, more: readonly string[] = []): string {
  knownOptions(what, options, ['schema', ...more])
  const schema = options.schema ?? DEFAULT_SCHEMA
  identifier('schema', schema)
  if (schema.startsWith('pg_'))
    throw invalidOption('schema', schema, 'PostgreSQL keeps names that begin with pg_ to itself')
  return schema
}
