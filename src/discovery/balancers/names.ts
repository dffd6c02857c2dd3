// The balancers that can be asked for by name, with their defaults.
import { consistentHash } from './consistent-hash.ts'
import type { BalancerFactory } from './factory.ts'
import { leastRequest } from './least-request.ts'
import { p2c } from './p2c.ts'
import { p2cEwma } from './p2c-ewma.ts'
import { random } from './random.ts'
import { roundRobin } from './round-robin.ts'
import { sticky } from './sticky.ts'
import { weighted } from './weighted.ts'

const MAKERS = {
  'p2c-ewma': p2cEwma,
  p2c,
  'least-request': leastRequest,
  'round-robin': roundRobin,
  weighted,
  random,
  'consistent-hash': consistentHash,
  sticky,
} as const satisfies Readonly<Record<string, () => BalancerFactory>>

/** A balancer by its name. The one that is zone-aware has to be told the zone and has no name: `zoneAware({ zone })`. */
export type BalancerName =
  | 'p2c-ewma'
  | 'p2c'
  | 'least-request'
  | 'round-robin'
  | 'weighted'
  | 'random'
  | 'consistent-hash'
  | 'sticky'

/** All names. */
export const BALANCER_NAMES: readonly BalancerName[] = Object.freeze(Object.keys(MAKERS) as BalancerName[])

/** The balancer of that name with its defaults; undefined for a name that there is not. */
export function balancerNamed(name: string): BalancerFactory | undefined {
  return Object.hasOwn(MAKERS, name) ? MAKERS[name as BalancerName]() : undefined
}
