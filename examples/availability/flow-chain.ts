// Flow 1, a synchronous chain: the order service calls both others and answers when both have answered. All three have to be up at once.
import { createProxy, createServerAdapter } from 'fairlead'
import { memoryRpiTransport } from 'fairlead/memory'
import type { ProxyOptions } from 'fairlead/rpi'
import { Consumers, Orders, Restaurants } from './contracts.ts'
import type { Flow } from './flow.ts'

/** Policies of the calls between services, on top of the standard pipeline. */
export type Policies = Pick<ProxyOptions<Record<never, never>>, 'retry' | 'deadlineMs' | 'circuitBreaker'>

// Deadline, attempt timeout, cap and circuit breaker as they come. Retries that end long before the outage does change little; off, the prediction is exact.
const WITHOUT_RETRIES: Policies = { retry: false, deadlineMs: 1_000 }

export const chain = (policies: Policies = WITHOUT_RETRIES): Flow => ({
  name: 'synchronous chain',
  needs: ['order', 'consumer', 'restaurant'],
  waitsFor: [],
  offer: 'calls',
  orderService: (doors) => async (life) => {
    const { seams, store } = life
    const consumers = createProxy(Consumers, {
      ...{ ...policies, ...seams, transport: memoryRpiTransport(doors.consumer) },
    })
    const restaurants = createProxy(Restaurants, {
      ...{ ...policies, ...seams, transport: memoryRpiTransport(doors.restaurant) },
    })
    const place = async (order: { orderId: string; consumerId: string; restaurantId: string }) => {
      await life.work()
      await consumers.validate({ id: order.consumerId })
      await restaurants.validate({ id: order.restaurantId })
      await store.transaction(async (tx) => tx.set(order.orderId, 'VALIDATED'))
      return { orderId: order.orderId, status: 'VALIDATED' as const }
    }
    return createServerAdapter(Orders, { place }, { clock: seams.clock })
  },
})
