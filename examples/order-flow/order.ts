// The order service: reserves, charges, then writes the order and tells the others of it in one commit. Everything that can go wrong with inventory and
// payment is settled by the options here; what happens to warehouse and notification cannot fail an order at all.
import {
  createDiscovery,
  createOutbox,
  createProxy,
  createRelay,
  createServerAdapter,
  httpTransport,
  isFailure,
  lastGood,
} from 'fairlead'
import { circuitBreaker } from 'fairlead/policies'
import { openCarrier } from './carrier.ts'
import { Inventory, OrderEvents, Orders, Payment } from './contracts.ts'
import { openDatabase } from './database.ts'
import { sourceOf } from './registry.ts'
import { paced, runService } from './service.ts'

const { registry, instances, subscribers, databases, broker, port } = JSON.parse(process.argv[2] as string)
const discovery = createDiscovery({
  source: sourceOf(registry, instances),
  allow: ['127.0.0.0/8'], // all of the demo is on this machine; else a remote registry may not send calls there
  startup: 'wait',
  services: ['inventory', 'payment'],
})
await discovery.ready()
const transport = httpTransport({ discovery })
const circuits = [
  circuitBreaker({ name: 'inventory', openMs: paced(1_000) }),
  circuitBreaker({ name: 'payment', openMs: paced(1_000), rampMs: paced(500) }),
] as const

const inventory = createProxy(Inventory, {
  transport,
  attemptTimeoutMs: paced(1_000),
  maxOutstanding: 20,
  circuitBreaker: circuits[0],
  operations: { stock: { fallback: [lastGood({ maxAgeMs: 60_000 })] } },
})
const payment = createProxy(Payment, {
  transport,
  attemptTimeoutMs: paced(300),
  maxOutstanding: 50,
  circuitBreaker: circuits[1],
})

const { store, run } = await openDatabase(
  databases,
  'order',
  '{placed} (order_id text primary key, charge text not null)',
)
const outbox = createOutbox(store)
const carrier = openCarrier(broker, { 'order-events': subscribers })
let relay = createRelay({ outbox, transport: carrier.transport, backoff: { maxMs: 1_000 } })
await relay.start()

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
        await store.transaction(async (tx) => {
          const known = await run(tx, 'select 1 from {placed} where order_id = ?', orderId)
          if (known.length > 0) return // asked again: it was written and told then
          await run(tx, 'insert into {placed} (order_id, charge) values (?, ?)', orderId, chargeId)
          await outbox.publish(tx, OrderEvents, {
            type: 'order.placed',
            key: orderId,
            data: { orderId, sku, quantity },
          })
        })
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
  port,
  mood: async ({ reset, holdRelay }) => {
    if (reset) for (const circuit of circuits) circuit.reset()
    if (holdRelay) await relay.close()
    else if (relay.health().state === 'closed') {
      relay = createRelay({ outbox, transport: carrier.transport, backoff: { maxMs: 1_000 } })
      await relay.start()
    }
  },
  seen: () => ({
    paymentCircuitOpen: circuits[1].state === 'closed' ? 0 : 1,
    inventories: discovery.inspect('inventory')?.endpoints.length ?? 0,
    payments: discovery.inspect('payment')?.endpoints.length ?? 0,
  }),
})
