// Recipe: ky. It has retries and a timeout of its own: off with both.
import { lastGood, resilient } from 'fairlead'
import ky from 'ky'
import type { Stock } from './wrap-any-function.ts'

export function stockClient(baseUrl: string) {
  const client = ky.create({ prefixUrl: baseUrl, retry: 0, timeout: false })
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
