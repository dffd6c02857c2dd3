// Each endpoint in turn.
import type { Random } from '../../core/clock.ts'
import type { Balancer } from '../../core/contracts/balancer.ts'
import { firstUsable, NOTHING, rank } from './rank.ts'

/**
 * Each endpoint in turn, beginning anywhere, so that many clients that start together do not all begin with the same one.
 * Leaves out those that the call has tried, prefers ready to starting, never takes draining or down.
 */
export function roundRobin(options: { readonly random: Random }): Balancer {
  let ranks = NOTHING
  let turn = Math.floor(options.random() * 1_000_003)
  return {
    update(view) {
      ranks = rank(view)
    },
    pick(context) {
      // Kept a small integer: the ring is walked modulo its length anyway.
      turn = turn >= 0x3fff_ffff ? 0 : turn + 1
      return firstUsable(ranks, turn, context.avoid)
    },
  }
}
