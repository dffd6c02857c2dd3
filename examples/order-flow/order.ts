// The order service: reserves, then charges, then answers. Everything that can go wrong with the other two is settled by the options here.
import { createDiscovery, createProxy, createServerAdapter, httpTransport, isFailure, lastGood } from 'fairlead'
import { staticSource } from 'fairlead/discovery'
import { circuitBreaker } from 'fairlead/policies'
import { Inventory, Orders, Payment } from './contracts.ts'
import { runService } from './service.ts'

const discovery = createDiscovery({ source: staticSource(JSON.parse(process.argv[2] as string)) })
const transport = httpTransport({ discovery })
const circuits = [
  circuitBreaker({ name: 'inventory', openMs: 1_000 }),
  circuitBreaker({ name: 'payment', openMs: 1_000, rampMs: 500 }),
] as const

const inventory = createProxy(Inventory, {
  transport,
  attemptTimeoutMs: 1_000,
  maxOutstanding: 20,
  circuitBreaker: circuits[0],
  operations: { stock: { fallback: [lastGood({ maxAgeMs: 60_000 })] } },
})
const payment = createProxy(Payment, {
  transport,
  attemptTimeoutMs: 300,
  maxOutstanding: 50,
  circuitBreaker: circuits[1],
})

const adapter = createServerAdapter(Orders, {
  quote: async ({ sku }) => {
    const { value, from, ageMs } = await inventory.stock.detailed({ sku })
    return { level: value.level, from, ageMs: Math.round(ageMs ?? 0) }
  },
  place: async ({ orderId, sku, quantity, card }, context) => {
    try {
      const { reservationId } = await inventory.reserve({ orderId, sku, quantity })
      try {
        const { chargeId } = await payment.charge({ orderId, amount: 10 * quantity, card })
        return { orderId, chargeId }
      } catch (error) {
        if (!isFailure(error, Payment, 'charge', 'declined')) throw error
        await inventory.release({ reservationId })
        return context.fail('declined', error.details)
      }
    } catch (error) {
      if (isFailure(error, Inventory, 'reserve', 'outOfStock')) return context.fail('outOfStock', error.details)
      throw error
    }
  },
})
await runService(adapter.node(), {
  mood: ({ reset }) => {
    if (reset) for (const circuit of circuits) circuit.reset()
  },
  seen: () => ({ paymentCircuitOpen: circuits[1].state === 'closed' ? 0 : 1 }),
})
