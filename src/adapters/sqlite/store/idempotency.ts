// Answers to requests that carry an Idempotency-Key, kept in the transaction of the operation.
import type { IdempotencyStore } from '../../../core/contracts/store.ts'
import { ageOption, countOption } from '../../../core/options.ts'
import { createError } from '../../../errors/index.ts'
import type { Ground } from './tables.ts'

/** The idempotency keys of a store. A request that is still under way in another transaction is waited for: one connection writes at a time. */
export function idempotencyOf<Tx>(
  { tables, date, inside, alone }: Ground<Tx>,
  retentionMs: number,
): IdempotencyStore<Tx> {
  return {
    retentionMs,

    async reserve(tx, scope, key, bodyHash) {
      const run = inside(tx)
      const { affected } = await run(
        `insert into ${tables.idempotency} (scope, key, body_hash, at) values (?, ?, ?, ?) on conflict do nothing`,
        [scope, key, bodyHash, date()],
      )
      if (affected === 1) return { state: 'first' }
      const { rows } = await run(`select body_hash, response from ${tables.idempotency} where scope = ? and key = ?`, [
        scope,
        key,
      ])
      const { body_hash, response } = rows[0] as { readonly body_hash: string; readonly response: Uint8Array | null }
      if (body_hash !== bodyHash) return { state: 'mismatch' }
      return response === null ? { state: 'running' } : { state: 'stored', response }
    },

    async complete(tx, scope, key, response) {
      const { affected } = await inside(tx)(
        `update ${tables.idempotency} set response = ? where scope = ? and key = ?`,
        [response, scope, key],
      )
      if (affected === 0)
        throw createError({
          code: 'PROGRAMMING_ERROR',
          effect: 'none',
          message: 'complete() without reserve(): the key is not there',
          transport: 'sqlite',
        })
    },

    async purge(olderThanMs, limit) {
      const { affected } = await alone(
        `delete from ${tables.idempotency} where n in (select n from ${tables.idempotency} order by n limit ?) and at <= ?`,
        [countOption('limit', limit, 0, 0), date() - ageOption('olderThanMs', olderThanMs)],
      )
      return affected
    },
  }
}
