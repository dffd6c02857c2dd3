// Numbered steps of a schema, whatever the database: what was run is kept beside its checksum, and a difference is refused.
import { createHash } from 'node:crypto'
import type { FairleadError } from '../errors/base.ts'
import { createError } from '../errors/classes.ts'

/** A numbered step. One that was released is never changed. */
export interface Migration {
  /** From 1, without gaps. */
  readonly number: number
  /** `NNN-name`, as the file. */
  readonly name: string
  /** Statements, separated by semicolons; how names are put in is up to the adapter. */
  readonly sql: string
}

/** A step that was run, as the database tells it. */
export interface AppliedMigration {
  readonly number: number
  readonly name: string
  readonly checksum: string
}

/** Of the step itself, before a name is put in: it is the same for all schemas. */
export function checksumOf(step: Migration): string {
  return createHash('sha256').update(step.sql.trim()).digest('hex').slice(0, 16)
}

/**
 * The steps that were not run yet.
 * @param place what the tables are in, as an error says it: `the schema fairlead`
 * @throws FairleadError `INCOMPATIBLE` for tables that a newer version has migrated, or whose steps are not those of this version
 */
export function missingOf(
  place: string,
  applied: readonly AppliedMigration[],
  steps: readonly Migration[],
): readonly Migration[] {
  const known = new Map(steps.map((step) => [step.number, step]))
  for (const { number, name, checksum } of applied) {
    const step = known.get(number)
    if (step === undefined)
      throw incompatible(place, `has step ${name}, which this version does not know: it was migrated by a newer one`)
    if (step.name !== name || checksumOf(step) !== checksum)
      throw incompatible(place, `has a step ${name} that is not the ${step.name} of this version`)
  }
  const done = new Set(applied.map(({ number }) => number))
  return steps.filter(({ number }) => !done.has(number))
}

/** Says that the tables do not fit. */
export function incompatible(place: string, what: string): Error {
  return createError({ code: 'INCOMPATIBLE', message: `${place} ${what}` })
}

/** What a database says of tables that are not there, as users are told: it is a place that one call makes. */
export function unmigrated(error: FairleadError, message: string): FairleadError {
  const { effect, transport, details } = error
  return createError({ code: 'CHANNEL_NOT_FOUND', message, cause: error, effect, transport, details, stack: false })
}
