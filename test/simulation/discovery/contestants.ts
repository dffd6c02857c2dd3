// The balancers of the simulation, and copies of the default that are broken on purpose.
import type { EndpointView } from '../../../src/core/contracts/balancer.ts'
import { consistentHash } from '../../../src/discovery/balancers/consistent-hash.ts'
import type { BalancerFactory } from '../../../src/discovery/balancers/factory.ts'
import { leastRequest } from '../../../src/discovery/balancers/least-request.ts'
import { p2c } from '../../../src/discovery/balancers/p2c.ts'
import { p2cEwma } from '../../../src/discovery/balancers/p2c-ewma.ts'
import { random } from '../../../src/discovery/balancers/random.ts'
import { roundRobin } from '../../../src/discovery/balancers/round-robin.ts'
import { sticky } from '../../../src/discovery/balancers/sticky.ts'
import { weighted } from '../../../src/discovery/balancers/weighted.ts'
import { zoneAware } from '../../../src/discovery/balancers/zone-aware.ts'
import type { RunOptions } from './simulate.ts'

/** A balancer by the name in the table; undefined is the default of `createDiscovery`. */
export const CONTESTANTS: Readonly<Record<string, RunOptions['balancer']>> = {
  'p2c-ewma (default)': undefined,
  'p2c / least-request': () => p2c(),
  'least-request, all': () => leastRequest({ choices: 'all' }),
  'round-robin': () => roundRobin(),
  weighted: () => weighted(),
  random: () => random(),
  'consistent-hash': () => consistentHash(),
  sticky: () => sticky(),
  'zone-aware': (zone, callers) => zoneAware({ zone, callers }),
}

/** What can be broken. */
export const MUTANTS: Readonly<Record<string, Pick<RunOptions, 'balancer' | 'options'>>> = {
  'blind to suspects': { balancer: () => seeing({ suspect: () => false }) },
  'blind to the age of the oldest call': { balancer: () => seeing({ oldestSince: (_, now) => now }) },
  'without ejection': { options: { ejection: false } },
  'deaf to latency': { balancer: () => seeing({ latencyMs: () => 0 }) },
}

// The default, shown other figures than the true ones.
function seeing(
  lies: Partial<{ readonly [K in keyof EndpointView]: (one: EndpointView, now: number) => EndpointView[K] }>,
): BalancerFactory {
  return (seams) => {
    const balancer = p2cEwma()(seams)
    const shown = new WeakMap<EndpointView, EndpointView>()
    const true_ = new WeakMap<EndpointView, EndpointView>()
    const show = (one: EndpointView): EndpointView => {
      let lying = shown.get(one)
      if (lying === undefined) {
        lying = Object.create(one, {
          ...Object.fromEntries(
            [
              'endpoint',
              'inFlight',
              'latencyMs',
              'oldestInFlightMs',
              'oldestSince',
              'suspect',
              'weight',
              'pickedAt',
            ].map((name) => [name, { get: () => one[name as keyof EndpointView] }]),
          ),
          ...Object.fromEntries(
            Object.entries(lies).map(([name, lie]) => [name, { get: () => lie(one, seams.clock.now()) }]),
          ),
        }) as EndpointView
        shown.set(one, lying)
        true_.set(lying, one)
      }
      return lying
    }
    return {
      update: (view) => balancer.update(view.map(show)),
      pick(context) {
        const found = balancer.pick(context)
        return found === undefined ? undefined : true_.get(found)
      },
    }
  }
}
