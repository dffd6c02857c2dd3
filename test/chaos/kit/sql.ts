// The tables in which producers and consumers write down what they did, and how both databases are asked.
import { sleep, systemClock } from '../../../src/core/clock.ts'
import type { SqlDriver, SqlResult, Transactional } from '../../../src/core/contracts/store.ts'

/** Of a worker: in its own transaction, or alone. */
export interface Ledger<Tx> {
  /** Behind the outbox rows of the same transaction, so under the locks of their keys: `n` rises in order of commit. */
  sent(
    tx: Tx,
    messages: readonly { readonly key: string; readonly id: string; readonly cause?: string | undefined }[],
  ): Promise<void>
  /** `sent`, with the commit where the outbox rows of the transaction go out with it; then all its locks are held for so long. */
  sentWithCommit(
    store: Transactional<Tx>,
    tx: Tx,
    messages: readonly { readonly key: string; readonly id: string; readonly cause?: string | undefined }[],
    holdMs?: number,
  ): Promise<void>
  /** First a row of the key is locked, then the number is drawn: numbers are in order of commit for each key. */
  applied(tx: Tx, consumer: string, key: string, id: string, worker: string): Promise<void>
}

const TABLES: Readonly<Record<'postgres' | 'mysql', readonly string[]>> = {
  postgres: [
    'create schema if not exists chaos',
    'create table chaos.sent (n bigint generated always as identity primary key, key text not null, id text not null, cause text)',
    'create table chaos.applied (n bigint generated always as identity primary key, consumer text not null, key text not null, id text not null, worker text not null, at timestamptz default clock_timestamp())',
    'create table chaos.totals (consumer text, key text, count int not null, primary key (consumer, key))',
    'create table chaos.tickets (ticket bigint generated always as identity primary key, id text not null unique)',
    'create table chaos.cursors (part int primary key, seq bigint not null)',
    'create table chaos.claims (seq bigint primary key, until float8 not null)',
    'create table chaos.leases (part int primary key, epoch bigint not null)',
  ],
  mysql: [
    'create database if not exists chaos',
    'create table chaos.sent (n bigint auto_increment primary key, `key` varchar(100) not null, id varchar(100) not null, cause varchar(100)) engine=InnoDB',
    'create table chaos.applied (n bigint auto_increment primary key, consumer varchar(100) not null, `key` varchar(100) not null, id varchar(100) not null, worker varchar(100) not null, at timestamp(3) default now(3)) engine=InnoDB',
    'create table chaos.totals (consumer varchar(100), `key` varchar(100), count int not null, primary key (consumer, `key`)) engine=InnoDB',
    'create table chaos.tickets (ticket bigint auto_increment primary key, id varchar(100) not null unique) engine=InnoDB',
    'create table chaos.cursors (part int primary key, seq bigint not null) engine=InnoDB',
    'create table chaos.claims (seq bigint primary key, until double not null) engine=InnoDB',
    'create table chaos.leases (part int primary key, epoch bigint not null) engine=InnoDB',
  ],
}

export async function createTables(driver: Pick<SqlDriver<unknown>, 'dialect' | 'execute'>): Promise<void> {
  for (const table of TABLES[driver.dialect as 'postgres' | 'mysql']) await driver.execute(table, [])
}

/** `?` for parameters in both dialects, and `` `key` `` for the name that MySQL reserves. */
export function say(dialect: string, text: string): string {
  if (dialect !== 'postgres') return text
  let n = 0
  return text.replaceAll('`', '"').replaceAll('?', () => `$${++n}`)
}

export function ledger<Tx>(driver: SqlDriver<Tx>): Ledger<Tx> {
  const ask = (tx: Tx, text: string, params: readonly unknown[]): Promise<SqlResult> =>
    driver.query(tx, say(driver.dialect, text), params)
  const count =
    driver.dialect === 'postgres'
      ? 'insert into chaos.totals as t (consumer, `key`, count) values (?, ?, 1) on conflict (consumer, `key`) do update set count = t.count + 1'
      : 'insert into chaos.totals (consumer, `key`, count) values (?, ?, 1) on duplicate key update count = count + 1'
  return {
    async sent(tx, messages) {
      const rows = messages.map(() => '(?, ?, ?)').join(', ')
      const params = messages.flatMap(({ key, id, cause }) => [key, id, cause ?? null])
      await ask(tx, `insert into chaos.sent (\`key\`, id, cause) values ${rows}`, params)
    },
    async sentWithCommit(store, tx, messages, holdMs = 0) {
      let closes = false
      store.closeWith?.(tx, (before) => {
        if (before === undefined) return undefined
        closes = true
        const rows = messages.map(({ key, id, cause }) => `(${[key, id, cause].map(literal).join(', ')})`)
        const note = `insert into chaos.sent (key, id, cause) values ${rows.join(', ')}`
        const hold = holdMs > 0 ? `; select pg_sleep(${holdMs / 1_000})` : ''
        return { ...before, statement: `${before.statement}; ${note}${hold}` }
      })
      if (closes) return
      await this.sent(tx, messages)
      await sleep(systemClock, holdMs)
    },
    async applied(tx, consumer, key, id, worker) {
      await ask(tx, count, [consumer, key])
      await ask(tx, 'insert into chaos.applied (consumer, `key`, id, worker) values (?, ?, ?, ?)', [
        consumer,
        key,
        id,
        worker,
      ])
    },
  }
}

const literal = (text: string | undefined): string => (text === undefined ? 'null' : `'${text.replaceAll("'", "''")}'`)
