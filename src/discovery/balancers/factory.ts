// What makes a balancer: one for each service, given time and chance.
import type { Clock, Random } from '../../core/clock.ts'
import type { Balancer } from '../../core/contracts/balancer.ts'

/** What a balancer may know of time and chance; it uses no other. */
export interface BalancerSeams {
  readonly clock: Clock
  readonly random: Random
}

/** Makes the balancer of one service. */
export type BalancerFactory = (seams: BalancerSeams) => Balancer
