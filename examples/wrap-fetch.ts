// Recipe: the fetch that is built in. An HTTP error status is no error for fetch, so the function throws the response.
import { lastGood, resilient } from 'fairlead'
import type { Stock } from './wrap-any-function.ts'

export function stockClient(baseUrl: string) {
  return resilient(
    'inventory.stock',
    async ({ signal }, sku: string): Promise<Stock> => {
      const response = await fetch(`${baseUrl}/stock/${sku}`, { signal })
      if (!response.ok) throw response // its status and Retry-After say whether to try again
      return (await response.json()) as Stock
    },
    {
      deadlineMs: 2_000,
      attemptTimeoutMs: 300,
      idempotent: true,
      retry: { attempts: 3 },
      fallback: [lastGood({ maxAgeMs: 60_000 })],
    },
  )
}
