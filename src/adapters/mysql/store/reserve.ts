// Inserts what may be there already, in a transaction of the caller, without waiting for others that have it in hand.
import { isFairleadError } from '../../../errors/index.ts'
import { errnoOf } from '../classify-mysql.ts'
import type { Session } from './session.ts'

const LOCK_WAIT_TIMEOUT = 1205

/**
 * `insert ignore into` with what follows: how many rows were new; `busy` where another transaction has one of them in hand, and then none is inserted. The transaction
 * stays usable. MariaDB answers at once. MySQL cannot wait less than a second, and does that.
 * @throws FairleadError `TRANSACTION_CONFLICT` where the server rolled back the whole transaction (a deadlock, or `innodb_rollback_on_timeout`)
 */
export function insertWithoutWaiting<Tx>({
  query,
  driver,
}: Session<Tx>): (tx: Tx, rows: string) => Promise<number | 'busy'> {
  let mariadb: boolean | undefined

  const isMariadb = async (tx: Tx): Promise<boolean> => {
    if (mariadb === undefined) {
      const { rows } = await query(tx, 'select version() as version')
      mariadb = String(rows[0]?.['version']).includes('MariaDB')
    }
    return mariadb
  }
  const inserted = async (tx: Tx, sql: string): Promise<number | 'busy'> => {
    try {
      return (await query(tx, sql)).affected
    } catch (error) {
      if (errnoOf(error) !== LOCK_WAIT_TIMEOUT || !isFairleadError(error)) throw error
      // With innodb_rollback_on_timeout there is no transaction any more, and what follows would be committed by itself.
      if (!(await driver.inTransaction(tx))) throw error
      return 'busy'
    }
  }

  return async (tx, rows) => {
    if (await isMariadb(tx))
      return inserted(tx, `set statement innodb_lock_wait_timeout = 0 for insert ignore into ${rows}`)
    await query(tx, 'set @fairlead_wait = @@innodb_lock_wait_timeout, @@innodb_lock_wait_timeout = 1')
    try {
      return await inserted(tx, `insert ignore into ${rows}`)
    } finally {
      await query(tx, 'set @@innodb_lock_wait_timeout = @fairlead_wait')
    }
  }
}
