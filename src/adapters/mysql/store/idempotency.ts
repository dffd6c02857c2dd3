// Answers to requests that name themselves by an Idempotency-Key, kept in the transaction of their operation.
import type { IdempotencyStore } from '../../../core/contracts/store.ts'
import { digestOf } from '../../../core/digest.ts'
import { ageOption, countOption } from '../../../core/options.ts'
import { createError } from '../../../errors/index.ts'
import { literal } from '../literals.ts'
import { NOW_MS } from '../time.ts'
import { purgeByDigest } from './inbox.ts'
import { insertWithoutWaiting } from './reserve.ts'
import type { Session } from './session.ts'
import { bytesOf, storable, textOf } from './values.ts'

/** The answers in these tables. */
export function mysqlIdempotency<Tx>(session: Session<Tx>, retentionMs: number): IdempotencyStore<Tx> {
  const { tables, query } = session
  const { idempotency } = tables
  const insert = insertWithoutWaiting(session)

  return {
    retentionMs,
    async reserve(tx, scope, key, bodyHash) {
      const digest = nameOf(scope, key)
      const inserted = await insert(
        tx,
        `${idempotency} (digest, scope, request_key, body_hash, at_ms) values (${[digest, scope, key, bodyHash].map(literal).join(',')},${NOW_MS})`,
      )
      if (inserted === 'busy') return { state: 'running' }
      if (inserted === 1) return { state: 'first' }
      // What is committed now, also where the transaction goes by an older snapshot. The insert has locked it for us.
      const { rows } = await query(
        tx,
        `select cast(body_hash as binary) as body_hash, response from ${idempotency} where digest = ? lock in share mode`,
        [digest],
      )
      const row = rows[0]
      if (row === undefined) return { state: 'running' }
      if (textOf(row['body_hash']) !== bodyHash) return { state: 'mismatch' }
      const response = row['response']
      return response === null ? { state: 'running' } : { state: 'stored', response: bytesOf(response) }
    },
    async complete(tx, scope, key, response) {
      const digest = nameOf(scope, key)
      const { affected } = await query(tx, `update ${idempotency} set response = ? where digest = ?`, [
        response,
        digest,
      ])
      if (affected > 0) return
      // A pool may count only what was changed.
      const { rows } = await query(tx, `select 1 as there from ${idempotency} where digest = ? for update`, [digest])
      if (rows.length === 0)
        throw createError({
          code: 'PROGRAMMING_ERROR',
          effect: 'none',
          message: `the key ${key} was not reserved in this transaction`,
        })
    },
    purge: (olderThanMs, limit) =>
      purgeByDigest(
        session,
        idempotency,
        `at_ms <= ${NOW_MS} - ${Math.floor(ageOption('olderThanMs', olderThanMs))}`,
        'at_ms',
        countOption('limit', limit, 0, 0),
      ),
  }
}

function nameOf(scope: string, key: string): Buffer {
  return digestOf(storable('the scope', scope), storable('the idempotency key', key))
}
