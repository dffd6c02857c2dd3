// A lab of the store suite on a MariaDB server: a database of its own with hostile names, and a pool for each isolation level that a case asks for.
import { type MysqlDriver, mysql2Driver, mysqlStore } from 'fairlead/mysql'
import type { StoreLab } from 'fairlead/testing'
import type { PoolConnection } from 'mysql2/promise'
import type { ServerAddress } from '../../services/servers.ts'
import { mariadbLab } from './mariadb-lab.ts'

const PREFIX = 'it`s "$1" \\ö_'

/** Makes the tables, and drops them at the end. */
export async function storeLab(
  address: ServerAddress,
  can: Pick<StoreLab, 'restart' | 'heavy' | 'shiftDate'> = {},
): Promise<StoreLab<PoolConnection>> {
  const lab = await mariadbLab(address)
  const drivers = new Map<string, MysqlDriver<PoolConnection>>()
  const at = (level: string): MysqlDriver<PoolConnection> => {
    const known = drivers.get(level)
    if (known !== undefined) return known
    const pool = lab.newPool({ connectionLimit: 20 })
    if (level !== '')
      pool.on('connection', (connection) => void connection.query(`set session transaction isolation level ${level}`))
    const driver = mysql2Driver(pool, { answerWithinMs: 15_000 })
    drivers.set(level, driver)
    return driver
  }
  await mysqlStore(lab.driver, { prefix: PREFIX }).migrate()
  await lab.pool.query('create table user_effect (name text not null) engine=InnoDB default charset utf8mb4')
  return {
    ...can,
    leaseMs: 1_500,
    heavy: can.heavy ?? 1_000,
    patienceMs: 20_000,
    levels: ['read committed', 'serializable'],
    open: ({ archive, owner, level = '' } = {}) => mysqlStore(at(level), { prefix: PREFIX, archive, owner }),
    unmigrated: ({ owner } = {}) => mysqlStore(at(''), { prefix: 'bare_', owner }),
    async begin() {
      const connection = await lab.pool.getConnection()
      await connection.query('start transaction')
      const end = async (how: string): Promise<void> => {
        await connection.query(how)
        connection.release()
      }
      return { tx: connection, commit: () => end('commit'), rollback: () => end('rollback') }
    },
    effect: async (tx, name) => void (await tx.query('insert into user_effect values (?)', [name])),
    async effects() {
      const [rows] = await lab.pool.query('select name from user_effect')
      return (rows as { name: string }[]).map(({ name }) => name)
    },
    notTransactions: [lab.pool, {}, undefined],
    close: lab.close,
  }
}
