// A lab of the store suite over any of the drivers: a schema for each case, one driver for all of them.
import { randomUUID } from 'node:crypto'
import { postgresStore } from '../../../../src/adapters/postgres/index.ts'
import type { ForeignTransaction, StoreLab } from '../../../../src/testing/index.ts'
import type { Opened, Subject } from './subjects.ts'

/**
 * Cases that ask something of the driver: its transactions, every kind of parameter and value, what is written and read in bulk. The others ask the same of the
 * database whatever the driver is; all of them were run over each one once.
 */
export const DRIVER_CASES: readonly string[] = [
  'commits all parts of a transaction together',
  'runs what was noted after the work and before the commit',
  'undoes everything when something noted throws',
  'knows a transaction that it did not begin',
  'refuses to write in a transaction that is over',
  'writes in a transaction that it did not begin',
  'appends many rows in one call',
  'undoes none of them',
  'gives envelopes out as they came in',
  'takes a body of 1 MiB',
  'refuses keys and ids with a NUL',
  'the last of 10,000 characters',
  'settles many at once, with verdicts of every kind',
  'wakes those who listen',
  'answers first again when the first one was rolled back',
  'answers for each message in order',
  'leaves a transaction usable that was told busy',
  'claims in a transaction that it did not begin',
  'sets keys aside for every process',
  'keeps answers of every length',
  'answers running while another one is at it',
  'gives a state out as the JSON that it was',
  'finds a state by what it waits for',
  'a saved position is loaded as it was',
  'makes tables once when several do it at once',
]

/** Labs on an open driver, one at a time: the tables are made once, and emptied for each. */
export function driverLabs(subject: Subject, opened: Opened): { lab(): Promise<StoreLab>; end(): Promise<void> } {
  const { driver } = opened
  const schema = `lab_${randomUUID().replaceAll('-', '')}`
  let empty: Promise<string> | undefined
  const make = async (): Promise<string> => {
    await postgresStore(driver, { schema }).migrate()
    await driver.execute(`create table ${schema}.user_effect (name text not null)`, [])
    const { rows } = await driver.execute('select tablename::text as name from pg_tables where schemaname = $1', [
      schema,
    ])
    const tables = rows.map(({ name }) => String(name)).filter((name) => name !== 'migration' && name !== 'owner')
    // What the migrations have written belongs there.
    const again: string[] = []
    for (const name of tables) {
      if ((await driver.execute(`select 1 as n from ${schema}.${name} limit 1`, [])).rows.length === 0) continue
      await driver.execute(`create table ${schema}.${name}_first as table ${schema}.${name}`, [])
      again.push(`insert into ${schema}.${name} table ${schema}.${name}_first`)
    }
    return [`truncate ${tables.map((name) => `${schema}.${name}`).join(', ')}`, ...again].join('; ')
  }
  return {
    async lab() {
      const text = await (empty ??= make())
      await driver.transaction((tx) => driver.query(tx, text, []))
      return labOn(subject, opened, schema)
    },
    end: async () => void (await driver.execute(`drop schema if exists ${schema} cascade`, [])),
  }
}

function labOn(subject: Subject, { driver, own, begin, others }: Opened, schema: string): StoreLab {
  const bare = `${schema}_bare`
  return {
    leaseMs: 800,
    heavy: 300,
    patienceMs: 20_000,
    open: ({ archive, owner } = {}) => postgresStore(driver, { schema, archive, owner }),
    unmigrated: ({ owner } = {}) => postgresStore(driver, { schema: bare, owner }),
    begin: () =>
      new Promise<ForeignTransaction<any>>((resolve, reject) => {
        const undo = new Error('undo')
        const running: Promise<unknown> = begin(
          (tx) =>
            new Promise<void>((commit, rollback) =>
              resolve({
                tx,
                async commit() {
                  commit()
                  await running
                },
                async rollback() {
                  rollback(undo)
                  await running.catch(() => undefined)
                },
              }),
            ),
        )
        running.catch(reject)
      }),
    effect: async (tx, name) => void (await own(tx, `insert into ${schema}.user_effect values ('${name}')`)),
    effects: async () =>
      (await driver.execute(`select name from ${schema}.user_effect`, [])).rows.map(({ name }) => String(name)),
    notTransactions: [...others, {}, undefined],
    ...(subject.embedded ? { serial: true } : undefined),
    async close() {
      await driver.execute(`drop schema if exists ${bare} cascade`, [])
    },
  }
}
