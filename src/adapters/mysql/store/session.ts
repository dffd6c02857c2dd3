// How the parts of the store speak to the database: in a transaction of the caller, with a commit of their own, or in a transaction of their own.
import type { Clock } from '../../../core/clock.ts'
import type { SqlResult } from '../../../core/contracts/store.ts'
import { unmigrated } from '../../../core/migration.ts'
import { createError, type FairleadError, isFairleadError } from '../../../errors/index.ts'
import { errnoOf } from '../classify-mysql.ts'
import type { MysqlDriver, Run } from '../driver.ts'
import type { Tables } from '../names.ts'

/** What the parts of a store share. */
export interface Session<Tx> {
  readonly clock: Clock
  readonly driver: MysqlDriver<Tx>
  readonly tables: Tables
  /** In a transaction. @throws FairleadError `TRANSACTION_REQUIRED` where there is none */
  query(tx: Tx, text: string, params?: readonly unknown[]): Promise<SqlResult>
  /** @throws FairleadError `TRANSACTION_REQUIRED` where the server knows of no open transaction */
  mustBeOpen(tx: Tx): Promise<void>
  /** One statement that reads what is committed. */
  read: Run
  /** One statement that writes, with its own commit, at READ COMMITTED. */
  write: Run
  /**
   * A transaction of the store's own. READ COMMITTED: there it locks rows and no gaps between them, so that nobody who appends waits for it.
   * It is run again when another one was in its way. Each statement is bound by `answerWithinMs` of the driver.
   */
  own<T>(work: (run: Run) => Promise<T>): Promise<T>
}

const TRIES = 5

// No such table, no such database, no such column: the last is what older tables lack.
const MISSING: ReadonlySet<number> = new Set([1146, 1049, 1054])

/** The session of a store. */
export function openSession<Tx>(driver: MysqlDriver<Tx>, tables: Tables, place: string, clock: Clock): Session<Tx> {
  const told = (error: unknown): unknown => (isFairleadError(error) ? notMigrated(error, place) : error)
  const query = async (tx: Tx, text: string, params: readonly unknown[] = []): Promise<SqlResult> => {
    try {
      return await driver.query(tx, text, params)
    } catch (error) {
      throw told(error)
    }
  }
  return {
    clock,
    driver,
    tables,
    query,
    async mustBeOpen(tx) {
      if (await driver.inTransaction(tx)) return
      throw createError({
        code: 'TRANSACTION_REQUIRED',
        message:
          'there is no open transaction on this connection: it was never begun, is over, or was rolled back by the server (a deadlock whose error was swallowed)',
      })
    },
    async read(text, params = []) {
      try {
        return await driver.execute(text, params)
      } catch (error) {
        throw told(error)
      }
    },
    async write(text, params = []) {
      try {
        return await driver.execute(text, params, { isolation: 'read committed' })
      } catch (error) {
        throw told(error)
      }
    },
    async own(work) {
      for (let tries = 1; ; tries++) {
        try {
          return await driver.transaction((tx) => work((text, params) => query(tx, text, params)), {
            isolation: 'read committed',
            bounded: true,
          })
        } catch (error) {
          if (
            tries < TRIES &&
            isFairleadError(error) &&
            error.code === 'TRANSACTION_CONFLICT' &&
            error.effect === 'none'
          )
            continue
          throw told(error)
        }
      }
    },
  }
}

function notMigrated(error: FairleadError, place: string): FairleadError {
  if (!MISSING.has(errnoOf(error) ?? 0)) return error
  return unmigrated(error, `${place} are not what this version of fairlead needs: run migrate() of the store`)
}
