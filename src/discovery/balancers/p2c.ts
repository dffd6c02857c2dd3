// Two choices by calls in flight, under the name that papers give it.
import type { BalancerFactory } from './factory.ts'
import { leastRequest } from './least-request.ts'

/**
 * Draws two endpoints and takes the one with fewer calls in flight for its weight (Mitzenmacher 2001): `leastRequest({ choices: 2 })`.
 * The most loaded of n is above its share by about ln ln n only.
 */
export function p2c(): BalancerFactory {
  return leastRequest({ choices: 2 })
}
