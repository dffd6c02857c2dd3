// Replicas on MariaDB: the user's table and the rows of the store; the topics in memory.
import { randomUUID } from 'node:crypto'
import { memoryBroker, memoryTransport } from '../../../src/adapters/memory/index.ts'
import { mysqlStore } from '../../../src/adapters/mysql/index.ts'
import { systemClock } from '../../../src/core/clock.ts'
import { replicaCases } from '../../messaging/replica/replica-cases.ts'
import { makeTable, rowsOf, tableOf, waits } from '../../messaging/replica/sql-lab.ts'
import { mariadbLab } from './mariadb-lab.ts'

replicaCases('on MariaDB', async () => {
  const lab = await mariadbLab()
  await mysqlStore(lab.driver).migrate()
  const broker = memoryBroker()
  return {
    ...waits,
    clock: systemClock,
    mark: randomUUID().slice(0, 8),
    // It answers alike for a row that was added and one that was left alone.
    tellsSkipped: false,
    async process() {
      const driver = lab.newDriver()
      return { store: mysqlStore(driver), table: (name) => tableOf(driver, name) }
    },
    transport: () => memoryTransport({ broker }),
    make: (table) => makeTable(lab.driver, table),
    rows: (table) => rowsOf(lab.driver, table),
    close: () => lab.close(),
  }
})
