// Recipe: node:http, with nothing else installed.
import { once } from 'node:events'
import { Agent, get, type IncomingMessage } from 'node:http'
import { json } from 'node:stream/consumers'
import { lastGood, resilient } from 'fairlead'
import type { Stock } from './wrap-any-function.ts'

export function stockClient(baseUrl: string) {
  const agent = new Agent({ keepAlive: true })
  return resilient(
    'inventory.stock',
    async ({ signal }, sku: string): Promise<Stock> => {
      const [response] = (await once(get(`${baseUrl}/stock/${sku}`, { agent, signal }), 'response')) as [
        IncomingMessage,
      ]
      const { statusCode = 0, headers } = response
      if (statusCode >= 400) {
        response.resume()
        throw Object.assign(new Error(`status ${statusCode}`), { statusCode, headers })
      }
      return (await json(response)) as Stock
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
