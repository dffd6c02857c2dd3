// What labs of replicas on databases share: the user's migration, and how he looks at his own table.
import type { SqlDriver } from '../../../src/core/contracts/store.ts'
import { type ReplicaTable, sqlReplicaTable } from '../../../src/messaging/replica/index.ts'
import { COLUMNS, type Customer, type ReplicaLab, type Row } from './kit.ts'

const quote = (dialect: string, name: string): string =>
  dialect === 'mysql' ? `\`${name.replaceAll('`', '``')}\`` : `"${name.replaceAll('"', '""')}"`

const TYPES: Readonly<Record<string, readonly [json: string, boolean: string]>> = {
  postgres: ['jsonb', 'boolean'],
  mysql: ['json', 'boolean'],
  sqlite: ['text', 'integer'],
}

/** A table as a user makes it, with an index of his own. */
export async function makeTable(driver: SqlDriver<any>, table: string, schema?: string): Promise<void> {
  const [json, boolean] = TYPES[driver.dialect] as readonly [string, string]
  const q = (name: string): string => quote(driver.dialect, name)
  const full = schema === undefined ? q(table) : `${q(schema)}.${q(table)}`
  const id = driver.dialect === 'mysql' ? 'varchar(100) character set utf8mb4 collate utf8mb4_bin' : 'text'
  const text = driver.dialect === 'mysql' ? 'varchar(200)' : 'text'
  await driver.execute(
    `create table ${full} (id ${id} primary key, version bigint not null, gone_at bigint, name ${text} default 'nobody', ${q('land "of"')} ${text}, vip ${boolean}, credit bigint, tags ${json}, extra ${text} default 'mine')`,
    [],
  )
  await driver.execute(`create index ${q(`${table} by name`)} on ${full} (name)`, [])
}

export const tableOf = (driver: SqlDriver<any>, table: string, schema?: string): ReplicaTable<any, Customer> =>
  sqlReplicaTable(driver, { table, schema, columns: COLUMNS })

export async function rowsOf(driver: SqlDriver<any>, table: string, schema?: string): Promise<readonly Row[]> {
  const q = `${schema === undefined ? '' : `${quote(driver.dialect, schema)}.`}${quote(driver.dialect, table)}`
  const { rows } = await driver.execute(`select id, version, name, gone_at from ${q}`, [])
  return rows
    .map((row) => ({
      id: String(row['id']),
      version: Number(row['version']),
      name: row['name'] as string | null,
      gone: row['gone_at'] !== null,
    }))
    .sort((a, b) => (a.id < b.id ? -1 : 1))
}

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Real time. */
export const waits: Pick<ReplicaLab, 'until' | 'pass'> = {
  async until(what) {
    const end = Date.now() + 15_000
    while (!(await what())) {
      if (Date.now() > end) throw new Error('it did not come to that')
      await wait(10)
    }
  },
  pass: wait,
}
