// A schema without our tables looks like a missing table to PostgreSQL; to users it is a missing place that one call makes.
import { unmigrated } from '../../core/migration.ts'
import type { FairleadError } from '../../errors/index.ts'
import { sqlStateOf } from './classify-postgres.ts'

// Schema, table, function, column: the last two are what an older schema lacks.
const MISSING: ReadonlySet<string> = new Set(['3F000', '42P01', '42883', '42703'])

/** The error itself, or `CHANNEL_NOT_FOUND` where what is missing are tables or functions of fairlead. */
export function notMigrated(error: FairleadError, schema: string): FairleadError {
  if (!MISSING.has(sqlStateOf(error) ?? '')) return error
  return unmigrated(
    error,
    `the schema ${schema} lacks what this version of fairlead needs: run migrate(driver, { schema: ${JSON.stringify(schema)} })`,
  )
}
