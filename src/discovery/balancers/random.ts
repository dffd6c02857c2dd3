// Any endpoint, by chance.
import type { EndpointView } from '../../core/contracts/balancer.ts'
import { draw } from './drawing.ts'
import type { BalancerFactory } from './factory.ts'

/**
 * Any endpoint, each as likely as the other, whatever its weight. Looks at no figure.
 * The most loaded of n has about ln n / ln ln n times its share: a turn (`roundRobin`) is more even, two choices (`p2c`) much more so.
 */
export function random(): BalancerFactory {
  return ({ random: chance }) => {
    let view: readonly EndpointView[] = []
    return {
      update(now) {
        view = now
      },
      pick: ({ avoid }) => draw(view, chance, avoid),
    }
  }
}
