// The inbox of the PostgreSQL store.
import type { InboxStore, MessageIdentity, SqlResult } from '../../../core/contracts/store.ts'
import { digestOf } from '../../../core/digest.ts'
import { ageOption, countOption, durationOption } from '../../../core/options.ts'
import type { Session } from './session.ts'
import { bytesLiteral, hexOf, numberOf } from './values.ts'

// A UUID of version 7 begins with its time: as text, 13 characters of it.
const PREFIX_BYTES = 13
const DIGEST_BYTES = 16

const ANSWERS = { '1': 'first', '0': 'duplicate', '-1': 'busy' } as const

/**
 * The inbox in these tables. Each message that a transaction claims takes a lock of the server until it ends: batches of thousands in many transactions
 * at once need a higher `max_locks_per_transaction` (there is room for some 6,000 by default; beyond it the claim is refused, effect `none`).
 */
export function postgresInbox<Tx>(session: Session<Tx>, retentionMs: number): InboxStore<Tx> {
  const { at } = session
  return {
    retentionMs,
    async claim(tx, consumer, messages) {
      if (messages.length === 0) return []
      // As text: some drivers give arrays in ways of their own.
      const { rows } = await session.query(
        tx,
        `select array_to_string(${at}.inbox_claim($1::text[]::bytea[]), ',') as answers`,
        [messages.map((message) => messageName(consumer, message))],
      )
      return answersOf(rows)
    },
    claiming(consumer, messages) {
      const names = messages.map((message) => bytesLiteral(messageName(consumer, message)))
      return {
        statement: `select array_to_string(${at}.inbox_claim(array[${names.join(',')}]::bytea[]), ',') as answers`,
        answers: ({ rows }) => answersOf(rows),
      }
    },
    async started(consumer, message) {
      const { rows } = await session.execute(
        `insert into ${at}.inbox_attempt as a (name, open, begun_at) values ($1::text::bytea, 1, clock_timestamp())
        on conflict (name) do update set open = a.open + 1, begun_at = clock_timestamp() returning open`,
        [messageName(consumer, message)],
      )
      return numberOf(rows[0]?.['open'])
    },
    async finished(consumer, message) {
      await session.execute(
        `with ended as (update ${at}.inbox_attempt set open = open - 1 where name = $1::text::bytea and open > 1 returning name)
        delete from ${at}.inbox_attempt where name = $1::text::bytea and open <= 1 and not exists (select from ended)`,
        [messageName(consumer, message)],
      )
    },
    async park(consumer, key, forMs) {
      durationOption('forMs', forMs, forMs)
      await session.execute(
        `insert into ${at}.inbox_parked (name, until, wait)
        values ($1::text::bytea, clock_timestamp() + $2::float8 * interval '1 millisecond', $2::float8 * interval '1 millisecond')
        on conflict (name) do update set until = excluded.until, wait = excluded.wait`,
        [keyOf(consumer, key), forMs],
      )
    },
    async unpark(consumer, key) {
      await session.execute(`delete from ${at}.inbox_parked where name = $1::text::bytea`, [keyOf(consumer, key)])
    },
    async parked(consumer, keys) {
      if (keys.length === 0) return []
      const byName = new Map(keys.map((key) => [keyOf(consumer, key), key]))
      const { rows } = await session.execute(
        `select '\\x' || encode(name, 'hex') as name from ${at}.inbox_parked where name = any($1::text[]::bytea[])
        and until > clock_timestamp() and until <= clock_timestamp() + wait + interval '1 second'`,
        [[...byName.keys()]],
      )
      const aside = new Set(rows.map(({ name }) => name))
      return [...byName].flatMap(([name, key]) => (aside.has(name) ? [key] : []))
    },
    async purge(olderThanMs, limit) {
      ageOption('olderThanMs', olderThanMs)
      const { rows } = await session.execute(`select ${at}.inbox_purge($1::float8, $2::int) as count`, [
        olderThanMs,
        countOption('limit', limit, 0, 0),
      ])
      return numberOf(rows[0]?.['count'])
    },
  }
}

function answersOf(rows: SqlResult['rows']): readonly ('first' | 'duplicate' | 'busy')[] {
  return String(rows[0]?.['answers']).split(',').map(answerOf)
}

/** What the database says of a claim. */
export function answerOf(answer: unknown): 'first' | 'duplicate' | 'busy' {
  return ANSWERS[String(answer) as keyof typeof ANSWERS]
}

/** Under which a message stands in the inbox. */
export function messageName(consumer: string, { source, id }: MessageIdentity): string {
  const digest = digestOf(consumer, source, id).subarray(0, DIGEST_BYTES)
  return hexOf(Buffer.concat([Buffer.from(id.slice(0, PREFIX_BYTES)).subarray(0, PREFIX_BYTES), digest]))
}

function keyOf(consumer: string, key: string): string {
  return hexOf(digestOf(consumer, key))
}
