// What every part of the store needs: its tables, the time, and statements whose failures say when the tables are missing.
import type { Clock } from '../../../core/clock.ts'
import type { SqlDriver, SqlResult } from '../../../core/contracts/store.ts'
import { unmigrated } from '../../../core/migration.ts'
import { isFairleadError } from '../../../errors/index.ts'
import type { Tables } from '../names.ts'

/** How a statement is run: in a transaction, or as one of its own. */
export type Run = (text: string, params: readonly unknown[]) => Promise<SqlResult>

/** What the parts of a store share. */
export interface Ground<Tx> {
  readonly tables: Tables
  readonly clock: Clock
  /**
   * By which leases and delays run out, milliseconds. SQLite has no time of its own: all processes that share a file share that of their machine since it was started,
   * which no setting of the date moves.
   */
  now(): number
  /** Milliseconds since 1970, whole: for ages and retention, which outlast the machine. */
  date(): number
  /** In the transaction. */
  inside(tx: Tx): Run
  /** One statement, its own commit. */
  readonly alone: Run
  /** Several, one commit. */
  together<T>(work: (run: Run) => Promise<T>): Promise<T>
}

/** The ground of a store on this driver. */
export function groundOf<Tx>(driver: SqlDriver<Tx>, tables: Tables, clock: Clock): Ground<Tx> {
  const inside =
    (tx: Tx): Run =>
    async (text, params) => {
      try {
        return await driver.query(tx, text, params)
      } catch (error) {
        throw notMigrated(error, tables)
      }
    }
  return {
    tables,
    clock,
    now: () => clock.machineNow?.() ?? clock.now(),
    date: () => Math.floor(clock.wallNow()),
    inside,
    async alone(text, params) {
      try {
        return await driver.execute(text, params)
      } catch (error) {
        throw notMigrated(error, tables)
      }
    },
    together: (work) => driver.transaction((tx) => work(inside(tx))),
  }
}

function notMigrated(error: unknown, { outbox }: Tables): unknown {
  if (!isFairleadError(error) || error.code !== 'NOT_FOUND') return error
  return unmigrated(
    error,
    `the file lacks what this version of fairlead needs (${outbox} and others): run migrate() of the store`,
  )
}

/** A list of whole numbers, as a statement takes it: `(select value from json_each(?))`. */
export function listOf(numbers: readonly bigint[]): string {
  return `[${numbers.join(',')}]`
}

// Between reading the time and comparing it.
const SLACK_MS = 1_000

/**
 * What ends later than it was ever to last was noted before this machine was started again, when its time began anew: it is void. Wants the time, in `?`.
 */
export const VOID: string = `until > ? + wait + ${SLACK_MS}`
