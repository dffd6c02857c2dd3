// How the parts of the store speak to the database: each statement either in a transaction of the caller or with its own commit, and errors that say what to do.
import type { Clock } from '../../../core/clock.ts'
import type { SqlDriver, SqlResult } from '../../../core/contracts/store.ts'
import { isFairleadError } from '../../../errors/index.ts'
import { notMigrated } from '../not-migrated.ts'

/** What the parts of a store share. */
export interface Session<Tx> {
  readonly clock: Clock
  /** As it is. */
  readonly schema: string
  /** In quotes. */
  readonly at: string
  readonly driver: SqlDriver<Tx>
  /** In a transaction. @throws FairleadError `TRANSACTION_REQUIRED` where there is none */
  query(tx: Tx, text: string, params: readonly unknown[]): Promise<SqlResult>
  /** With its own commit. A conflict, as a database that is set to a stricter isolation has them, is run again. */
  execute(text: string, params: readonly unknown[]): Promise<SqlResult>
}

// The other one is over by then: a new snapshot is all it takes.
const MOST_RUNS = 5

/** The session of a store. */
export function openSession<Tx>(driver: SqlDriver<Tx>, schema: string, at: string, clock: Clock): Session<Tx> {
  const told = (error: unknown): unknown => (isFairleadError(error) ? notMigrated(error, schema) : error)
  return {
    clock,
    schema,
    at,
    driver,
    async query(tx, text, params) {
      try {
        return await driver.query(tx, text, params)
      } catch (error) {
        throw told(error)
      }
    },
    async execute(text, params) {
      for (let runs = 1; ; runs++) {
        try {
          return await driver.execute(text, params)
        } catch (error) {
          if (runs === MOST_RUNS || !isFairleadError(error, 'TRANSACTION_CONFLICT') || error.effect !== 'none')
            throw told(error)
        }
      }
    },
  }
}
