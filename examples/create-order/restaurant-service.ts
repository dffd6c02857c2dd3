// Knows the restaurants: is it on the menu, at this price, and is there enough of it? Portions are set aside until they are cooked, or released.
import { createResponder } from 'fairlead/messaging'
import { Restaurants } from './channels.ts'
import { openGround, type Place } from './ground.ts'

/** What each restaurant makes: what a portion costs, and how many there are. */
export type Menus = Readonly<
  Record<string, Readonly<Record<string, { readonly cents: number; readonly portions: number }>>>
>

export async function restaurantService(place: Place, menus: Menus) {
  const table = 'set_aside (order_id text, restaurant_id text, dish text, portions integer)'
  const ground = await openGround('restaurants', place, table)
  const { store, outbox } = ground
  const responder = createResponder({
    ...{ transport: place.transport, channel: Restaurants, inbox: store, outbox },
    handlers: {
      'details.validate': ({ data: { orderId, restaurantId, dish, portions, cents } }, { tx, fail }) => {
        const known = menus[restaurantId]?.[dish] ?? fail('REFUSED', { why: `${restaurantId} does not make ${dish}` })
        const costs = portions * known.cents
        if (cents !== costs) return fail('REFUSED', { why: `${portions} portions of ${dish} cost ${costs} cents` })
        const sum = 'select coalesce(sum(portions), 0) as portions from set_aside where restaurant_id = ? and dish = ?'
        const aside = Number((tx.prepare(sum).get(restaurantId, dish) as { portions: number | bigint }).portions)
        if (aside + portions > known.portions)
          return fail('REFUSED', { why: `${known.portions - aside} portions of ${dish} are left` })
        tx.prepare('insert into set_aside values (?, ?, ?, ?)').run(orderId, restaurantId, dish, portions)
        return {}
      },
      'details.release': ({ data }, { tx }) => tx.prepare('delete from set_aside where order_id = ?').run(data.orderId),
    },
  })
  await responder.start()
  return { file: ground.file, close: () => responder.close().then(() => ground.close()) }
}
