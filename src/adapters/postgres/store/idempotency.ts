// Responses to requests with an `Idempotency-Key`, in PostgreSQL.
import type { IdempotencyStore } from '../../../core/contracts/store.ts'
import { digestOf } from '../../../core/digest.ts'
import { ageOption, countOption } from '../../../core/options.ts'
import { createError } from '../../../errors/index.ts'
import type { Session } from './session.ts'
import { bytesOf, hexOf, numberOf } from './values.ts'

/** The responses in these tables. */
export function postgresIdempotency<Tx>(session: Session<Tx>, retentionMs: number): IdempotencyStore<Tx> {
  const { at } = session
  return {
    retentionMs,
    async reserve(tx, scope, key, bodyHash) {
      const { rows } = await session.query(
        tx,
        `select state, answer from ${at}.idempotency_reserve($1::text::bytea, $2::text)`,
        [hexOf(digestOf(scope, key)), bodyHash],
      )
      const state = rows[0]?.['state']
      if (state === 'stored') return { state, response: bytesOf(rows[0]?.['answer']) }
      return { state: state as 'first' | 'running' | 'mismatch' }
    },
    async complete(tx, scope, key, response) {
      const { affected } = await session.query(
        tx,
        `update ${at}.idempotency set response = $2::bytea where name = $1::text::bytea and response is null`,
        [hexOf(digestOf(scope, key)), response],
      )
      if (affected === 0)
        throw createError({
          code: 'PROGRAMMING_ERROR',
          effect: 'none',
          message: `the key ${key} was not reserved in this transaction`,
        })
    },
    async purge(olderThanMs, limit) {
      ageOption('olderThanMs', olderThanMs)
      const { rows } = await session.execute(`select ${at}.idempotency_purge($1::float8, $2::int) as count`, [
        olderThanMs,
        countOption('limit', limit, 0, 0),
      ])
      return numberOf(rows[0]?.['count'])
    },
  }
}
