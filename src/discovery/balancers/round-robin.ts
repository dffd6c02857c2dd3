// Each endpoint in turn.
import type { EndpointView } from '../../core/contracts/balancer.ts'
import type { BalancerFactory } from './factory.ts'

/**
 * Each endpoint in turn, whatever its weight, beginning anywhere, so that many clients
 * that start together do not all begin with the same one. Looks at no figure: a slow or failing endpoint keeps its full share
 * until it is ejected.
 */
export function roundRobin(): BalancerFactory {
  return ({ random }) => {
    let view: readonly EndpointView[] = []
    let turn = -1
    return {
      update(now) {
        if (turn < 0 && now.length > 0) turn = Math.floor(random() * now.length)
        view = now
      },
      pick({ avoid }) {
        const { length } = view
        for (let left = length; left > 0; left--) {
          if (++turn >= length) turn = 0
          const one = view[turn] as EndpointView
          if (!avoid?.has(one.endpoint.id)) return one
        }
        return undefined
      },
    }
  }
}
