// Recipe: questions and answers over a queue. Checkout asks for a price and waits for it; pricing may be down for a moment, busy, or many:
// the question waits in the queue for as long as somebody wants to know, and not a millisecond longer.
import { queue } from 'fairlead'
import type { MessageTransport } from 'fairlead/core'
import { createRequester, createResponder, isRequestFailure } from 'fairlead/messaging'
import { z } from 'zod'

export const Pricing = queue('pricing', {
  'price.quote': {
    schema: z.object({ sku: z.string(), quantity: z.int().positive() }),
    reply: z.object({ cents: z.int() }),
    failures: { UNKNOWN_SKU: z.object({ similar: z.array(z.string()) }) }, // an answer, not a fault
  },
})

export function pricing(transport: MessageTransport, prices: ReadonlyMap<string, number>) {
  return createResponder({
    transport,
    channel: Pricing,
    source: '/pricing',
    handlers: {
      'price.quote': ({ data: { sku, quantity } }, { fail }) => {
        const cents = prices.get(sku)
        return cents === undefined ? fail('UNKNOWN_SKU', { similar: [...prices.keys()] }) : { cents: cents * quantity }
      },
    },
  })
}

export function checkout(transport: MessageTransport) {
  const requester = createRequester({ transport, source: '/shop/checkout', timeoutMs: 2_000 })
  const price = async (sku: string, quantity: number): Promise<string> => {
    const result = await requester.result(Pricing, 'price.quote', { sku, quantity })
    if (result.ok) return `${result.value.cents / 100} EUR`
    if (isRequestFailure(result.error, Pricing, 'price.quote', 'UNKNOWN_SKU'))
      return `no ${sku}, but ${result.error.details.similar.join(', ')}`
    throw result.error // its effect says what was done
  }
  return { price, close: () => requester.close() }
}
