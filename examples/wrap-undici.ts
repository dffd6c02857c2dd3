// Recipe: undici's request().
import { lastGood, resilient } from 'fairlead'
import { Agent, request } from 'undici'
import type { Stock } from './wrap-any-function.ts'

export function stockClient(baseUrl: string) {
  const dispatcher = new Agent()
  return resilient(
    'inventory.stock',
    async ({ signal }, sku: string): Promise<Stock> => {
      const { statusCode, headers, body } = await request(`${baseUrl}/stock/${sku}`, { signal, dispatcher })
      if (statusCode >= 400) {
        await body.dump() // an unread body would hold its connection
        throw Object.assign(new Error(`status ${statusCode}`), { statusCode, headers })
      }
      return (await body.json()) as Stock
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
