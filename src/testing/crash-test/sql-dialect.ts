// What differs from one SQL dialect to the next for a crash test: how the database tells the time, and what a rollback does not take back.
import type { SqlResult } from '../../core/contracts/store.ts'

/** Runs a statement outside of every run. */
export type Execute = (text: string, params: readonly unknown[]) => Promise<SqlResult>

/** What a connection is told besides the statements of the run. */
export interface SqlDialect {
  /** Takes several statements at once. */
  readonly several: boolean
  /** A statement that fails spoils its transaction, whatever comes after it. */
  readonly spoils: boolean
  /** Once, before the tables are made. */
  prepare(execute: Execute): Promise<void>
  /** Once, after they were made: the statements that begin each run. */
  beginning(execute: Execute): Promise<readonly string[]>
  /** What else begins a run: its chance, a number from 0 to less than 1. */
  seeded(random: number): readonly string[]
  /** Sets the time of the database, milliseconds since 1970; undefined where it has none of its own. */
  clock(wallMs: number): string | undefined
}

const SCHEMA = 'fairlead_crash_test'
const NOW = 'fairlead_crash_test.now'
// pg_catalog is searched first unless it is named: so these functions are found before its own.
const SEARCH = `"$user", public, ${SCHEMA}, pg_catalog`

const moment = `select pg_catalog.to_timestamp(pg_catalog.current_setting('${NOW}')::double precision / 1000)`
const shadow = (name: string, returns: string, kind: string, body: string): string =>
  `create or replace function ${SCHEMA}.${name}() returns ${returns} language sql ${kind} as $fairlead$ ${body} $fairlead$`

const SEQUENCES = `select pg_catalog.quote_ident(schemaname) || '.' || pg_catalog.quote_ident(sequencename) as name,
  coalesce(last_value, start_value)::text as value, (last_value is not null)::text as called
from pg_catalog.pg_sequences order by 1`

/**
 * PostgreSQL has a clock of its own, which is real: in a run `now()`, `clock_timestamp()` and their like are the run's time, and `gen_random_uuid()` and `random()` its chance.
 * What was made before (the default of a column that comes from a dump) keeps what it was made with. Sequences are put back by hand: a rollback does not.
 */
export const postgresDialect: SqlDialect = {
  several: true,
  spoils: true,
  async prepare(execute) {
    await execute(`create schema if not exists ${SCHEMA}`, [])
    for (const name of ['now', 'transaction_timestamp', 'statement_timestamp'])
      await execute(shadow(name, 'timestamptz', 'stable', moment), [])
    await execute(shadow('clock_timestamp', 'timestamptz', 'volatile', moment), [])
    const uuid = 'select pg_catalog.md5(pg_catalog.random()::text)::uuid'
    await execute(shadow('gen_random_uuid', 'uuid', 'volatile', uuid), [])
    await execute(`set search_path to ${SEARCH}`, [])
    await execute(`set ${NOW} to '0'`, [])
  },
  async beginning(execute) {
    const { rows } = await execute(SEQUENCES, [])
    const sequences = rows.map(
      ({ name, value, called }) =>
        `pg_catalog.setval('${String(name).replaceAll("'", "''")}', ${String(value)}, ${String(called)})`,
    )
    return [`set local search_path to ${SEARCH}`, ...(sequences.length === 0 ? [] : [`select ${sequences.join(', ')}`])]
  },
  seeded: (random) => [`select pg_catalog.setseed(${random})`],
  clock: (wallMs) => `set ${NOW} to '${wallMs}'`,
}

/** SQLite has no clock but that of the machine, which the store does not ask, and no sequences: row ids are taken back with the rows. */
export const sqliteDialect: SqlDialect = {
  several: false,
  spoils: false,
  prepare: async () => undefined,
  beginning: async () => [],
  seeded: () => [],
  clock: () => undefined,
}
