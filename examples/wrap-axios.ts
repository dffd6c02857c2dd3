// Recipe: axios. Switch its own timeout and axios-retry off: two layers of retries multiply.
import axios from 'axios'
import { lastGood, resilient } from 'fairlead'
import type { Stock } from './wrap-any-function.ts'

export function stockClient(baseUrl: string) {
  const client = axios.create({ baseURL: baseUrl })
  return resilient(
    'inventory.stock',
    ({ signal }, sku: string) => client.get<Stock>(`/stock/${sku}`, { signal }).then((response) => response.data),
    {
      deadlineMs: 2_000,
      attemptTimeoutMs: 300,
      idempotent: true,
      retry: { attempts: 3 },
      fallback: [lastGood({ maxAgeMs: 60_000 })],
    },
  )
}
