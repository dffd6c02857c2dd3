// fairlead/mysql: everything that keeps its state in MySQL or MariaDB.
export { classifyMysql, type MysqlHints, type MysqlPhase } from './classify-mysql.ts'
export {
  type Isolation,
  type Mysql2DriverOptions,
  type MysqlDriver,
  mysql2Driver,
  type Run,
  type RunOptions,
} from './driver.ts'
export { printMysqlMigrations } from './migrate.ts'
export type { Mysql2Connection, Mysql2Pool, Mysql2Query, Mysql2Tx } from './mysql2-types.ts'
export type { MysqlTablesOptions } from './names.ts'
export { printMysqlProcedure } from './publish-procedure.ts'
export { type MysqlStore, type MysqlStoreOptions, mysqlStore } from './store/mysql-store.ts'
