// Flow 2, a replica: the order service keeps a copy of what it needs of the two others, fed by their events, and asks nobody. What it decides on may be a little old.
import { createProxy, createServerAdapter } from 'fairlead'
import { type MemoryTx, memoryRpiTransport } from 'fairlead/memory'
import { memoryReplicaTable, replica as replicaOf, snapshotFrom } from 'fairlead/messaging'
import { ConsumerEvents, Consumers, Orders, RestaurantEvents, Restaurants, type Valid } from './contracts.ts'
import type { Flow } from './flow.ts'

export const replica: Flow = {
  name: 'replica',
  needs: ['order'],
  waitsFor: [],
  offer: 'events',
  orderService: (doors) => async (life) => {
    const { seams, store, transport } = life
    const consumers = createProxy(Consumers, { ...seams, transport: memoryRpiTransport(doors.consumer) })
    const restaurants = createProxy(Restaurants, { ...seams, transport: memoryRpiTransport(doors.restaurant) })
    // Nobody else writes these copies, and nothing is ever deleted: there is little to look after.
    const copying = {
      ...seams,
      store,
      transport,
      lookEveryMs: 600_000,
      probeEveryMs: 600_000,
      purgeEveryMs: false,
    } as const
    const consumerCopy = replicaOf({
      ...{ ...copying, name: 'consumers', channel: ConsumerEvents },
      table: memoryReplicaTable<Valid, MemoryTx>(store, { table: 'consumer' }),
      changes: { 'consumer.changed': ({ data: { id, version, valid } }) => ({ key: id, version, value: { valid } }) },
      // Only the first start asks for it; from then on the events are enough.
      snapshot: snapshotFrom((page, { signal }) => consumers.snapshot(page, { signal })),
    })
    const restaurantCopy = replicaOf({
      ...{ ...copying, name: 'restaurants', channel: RestaurantEvents },
      table: memoryReplicaTable<Valid, MemoryTx>(store, { table: 'restaurant' }),
      changes: { 'restaurant.changed': ({ data: { id, version, valid } }) => ({ key: id, version, value: { valid } }) },
      snapshot: snapshotFrom((page, { signal }) => restaurants.snapshot(page, { signal })),
    })
    await Promise.all([life.owns(consumerCopy).start(), life.owns(restaurantCopy).start()])
    const place = async (order: { orderId: string; consumerId: string; restaurantId: string }) => {
      await life.work()
      await store.transaction(async (tx) => {
        const consumer = await consumerCopy.read(order.consumerId, { tx })
        const restaurant = await restaurantCopy.read(order.restaurantId, { tx })
        if (consumer.value?.valid !== true || restaurant.value?.valid !== true)
          throw new Error(`${order.orderId} asks for what is not there`)
        tx.set(order.orderId, 'VALIDATED')
      })
      return { orderId: order.orderId, status: 'VALIDATED' as const }
    }
    return createServerAdapter(Orders, { place }, { clock: seams.clock })
  },
}
