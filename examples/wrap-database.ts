// Recipe: a database call (pg). A query takes no signal, so a timeout asks the server to stop it: work that goes on holds its slot.
import { lastGood, resilient } from 'fairlead'
import type { Pool } from 'pg'
import type { Stock } from './wrap-any-function.ts'

export function stockClient(pool: Pool) {
  return resilient(
    'database.stock',
    async (context, sku: string): Promise<Stock> => {
      const client = await pool.connect()
      const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
      let cancelled = false
      const stopListening = context.onAbort(() => {
        cancelled = true
        void pool.query('select pg_cancel_backend($1)', [rows[0]?.pid]).catch(() => {})
      })
      try {
        const found = await client.query<Stock>('select sku, level from stock where sku = $1', [sku])
        if (found.rows[0] === undefined) throw Object.assign(new Error(`no stock of ${sku}`), { statusCode: 404 })
        return found.rows[0]
      } finally {
        stopListening()
        // The cancel may yet come: it must not strike whoever gets this connection next.
        client.release(cancelled)
      }
    },
    {
      deadlineMs: 2_000,
      attemptTimeoutMs: 300,
      maxOutstanding: 10,
      idempotent: true,
      retry: { attempts: 2 },
      fallback: [lastGood({ maxAgeMs: 60_000 })],
    },
  )
}
