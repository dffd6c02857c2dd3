// Any endpoint, by chance.
import type { Random } from '../../core/clock.ts'
import type { Balancer } from '../../core/contracts/balancer.ts'
import { firstUsable, NOTHING, rank } from './rank.ts'

/**
 * Any endpoint, each as likely as the other. Leaves out those that the call has tried, prefers ready to starting,
 * never takes draining or down.
 */
export function random(options: { readonly random: Random }): Balancer {
  let ranks = NOTHING
  return {
    update(view) {
      ranks = rank(view)
    },
    pick(context) {
      const size = ranks.ready.length === 0 ? ranks.starting.length : ranks.ready.length
      return firstUsable(ranks, Math.floor(options.random() * size), context.avoid)
    },
  }
}
