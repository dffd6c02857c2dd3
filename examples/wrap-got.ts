// Recipe: got. It retries by itself unless told not to.
import { lastGood, resilient } from 'fairlead'
import { got } from 'got'
import type { Stock } from './wrap-any-function.ts'

export function stockClient(baseUrl: string) {
  const client = got.extend({ prefixUrl: baseUrl, retry: { limit: 0 } })
  return resilient(
    'inventory.stock',
    ({ signal }, sku: string) => client.get(`stock/${sku}`, { signal }).json<Stock>(),
    {
      deadlineMs: 2_000,
      attemptTimeoutMs: 300,
      idempotent: true,
      retry: { attempts: 3 },
      fallback: [lastGood({ maxAgeMs: 60_000 })],
    },
  )
}
