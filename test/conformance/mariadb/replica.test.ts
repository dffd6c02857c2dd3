// Replicas on MariaDB: the user's table and the rows of the store; the topics in memory.
import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { memoryBroker, memoryTransport } from '../../../src/adapters/memory/index.ts'
import { mysqlStore } from '../../../src/adapters/mysql/index.ts'
import { systemClock } from '../../../src/core/clock.ts'
import { isFairleadError } from '../../../src/errors/index.ts'
import { sqlReplicaTable } from '../../../src/messaging/replica/index.ts'
import { errorOf } from '../../messaging/kit.ts'
import type { ReplicaLab } from '../../messaging/replica/kit.ts'
import { replicaCases } from '../../messaging/replica/replica-cases.ts'
import { revisionCases } from '../../messaging/replica/revision-cases.ts'
import { makeTable, rowsOf, tableOf, waits } from '../../messaging/replica/sql-lab.ts'
import { mariadbLab } from './mariadb-lab.ts'

const openLab = async (): Promise<ReplicaLab> => {
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
}

replicaCases('on MariaDB', openLab)
revisionCases('on MariaDB', openLab)

describe('tables of replicas on MariaDB', () => {
  it('says what would make one entry of two, and what to do about it', async () => {
    const lab = await mariadbLab()
    const check = async (name: string, key: string, more = '') => {
      await lab.driver.execute(
        `create table ${name} (id ${key}, version bigint not null, gone_at bigint, name varchar(50)${more})`,
        [],
      )
      return await errorOf(() => sqlReplicaTable(lab.driver, { table: name, columns: { name: 'text' } }).check())
    }
    const text = 'varchar(50) character set utf8mb4'
    expect((await check('cases', `${text} collate utf8mb4_general_ci primary key`)).message).toMatch(
      /compares `id` by utf8mb4_general_ci.*modify its column `id`.*utf8mb4_bin/,
    )
    const exact = `${text} collate utf8mb4_bin`
    expect((await check('prefixes', `${exact} not null`, ', unique (id(10))')).message).toContain('has no unique')
    expect((await check('pairs', `${exact} primary key`, ', unique (name)')).message).toContain('has a unique index')
    await expect(check('good', `${exact} primary key`)).rejects.toThrow('nothing was thrown')
    await expect(check('numbers', 'bigint primary key')).rejects.toThrow('nothing was thrown')
    await lab.close()
  })

  it('waits only a while for who uses the table, and then is tried again', async () => {
    const lab = await mariadbLab()
    await makeTable(lab.driver, 'held')
    const table = tableOf(lab.driver, 'held')
    await table.beside(2)
    const user = lab.newDriver()
    let release: () => void = () => undefined
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    let reads: () => void = () => undefined
    const reading = new Promise<void>((resolve) => {
      reads = resolve
    })
    const report = user.transaction(async (tx) => {
      await user.query(tx, 'select * from held', [])
      reads()
      await held
    })
    await reading
    expect(isFairleadError(await errorOf(() => table.swap(2)))).toBe(true)
    release()
    await report
    await table.swap(2)
    expect(await table.isBeside(2)).toBe(false)
    await lab.close()
  })
})
