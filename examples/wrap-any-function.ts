// Recipe: make any async function fail well. It gets the call's context first: pass `signal` on, so that a timeout cancels the work.
import { resilient, value } from 'fairlead'

export interface Stock {
  readonly sku: string
  readonly level: number | 'unknown'
}

/** Stands for whatever you have: an SDK, a driver, a function of a colleague. */
export type Lookup = (sku: string, signal: AbortSignal) => Promise<Stock>

export function stockClient(lookup: Lookup) {
  return resilient('inventory.stock', ({ signal }, sku: string) => lookup(sku, signal), {
    deadlineMs: 2_000, // for the whole call, retries included
    attemptTimeoutMs: 300, // for one attempt
    maxOutstanding: 50, // more are refused at once
    idempotent: true, // it may be run twice, so what may have happened already is tried again
    retry: { attempts: 3 },
    circuitBreaker: { errorRate: 0.5 },
    fallback: [value({ sku: '?', level: 'unknown' })],
  })
}
