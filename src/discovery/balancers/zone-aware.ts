// The own zone first, as far as its share of the endpoints can carry it.
import type { Balancer, EndpointView, PickContext } from '../../core/contracts/balancer.ts'
import { countOption, invalidOption, knownOptions } from '../../core/options.ts'
import type { BalancerFactory } from './factory.ts'
import { p2cEwma } from './p2c-ewma.ts'
import { again, hashOf } from './ring.ts'

/** Options of `zoneAware`. */
export interface ZoneAwareOptions {
  /** The zone of this process, as the endpoints name theirs. */
  readonly zone: string
  /** Chooses among the endpoints of a zone. Default `p2cEwma()`. */
  readonly inner?: BalancerFactory | undefined
  /**
   * The share of all callers that are in each zone: above 0 to 1 in all. Default: the same in each zone where there are endpoints. Say it
   * where callers are not spread evenly: a zone of many callers and few endpoints would be flooded.
   */
  readonly callers?: Readonly<Record<string, number>> | undefined
  /** Zones are ignored while fewer endpoints than this may be picked in the own zone. Default 3: the loss of one of two would double the load of the other. */
  readonly minPerZone?: number | undefined
  /** Zones are ignored while fewer endpoints than this may be picked in all. Default 6, as Envoy. */
  readonly minEndpoints?: number | undefined
}

// How many values a hash has: divided by this it is a number from 0 to 1.
const HASHES = 2 ** 32
// Beyond the turns that a ring makes of the same hash: what decides the zone must say nothing of the place in it.
const ZONE_TURN = 1_000

interface Group {
  readonly balancer: Balancer
  /** Of what is sent to other zones; adds up to 1. */
  share: number
}

/**
 * Keeps calls in the own zone as far as the endpoints there are enough, so that traffic between zones costs nothing without need: where the
 * zone has at least as large a share of the endpoints (by weight) as of the callers, all calls stay; otherwise the part that it can carry, and the
 * rest goes to the zones that have more than their callers need, in proportion (Envoy's zone-aware routing). So every endpoint
 * gets the same load in the end. Ejected endpoints do not count: a zone in trouble spills. Where the own zone has only
 * endpoints that fail, another is asked. Calls with the same `key` go to the same zone as long as the shares stay as they are.
 * @throws FairleadError INVALID_OPTIONS
 * @example createDiscovery({ source, balancer: zoneAware({ zone: process.env.ZONE ?? 'eu-1a' }) })
 */
export function zoneAware(options: ZoneAwareOptions): BalancerFactory {
  knownOptions('zoneAware', options, ['zone', 'inner', 'callers', 'minPerZone', 'minEndpoints'])
  const { zone: own, callers } = options
  if (typeof own !== 'string' || own === '') throw invalidOption('zone', own, 'give the zone of this process')
  for (const share of Object.values(callers ?? {}))
    if (!(share > 0 && share <= 1)) throw invalidOption('callers', share, 'give each zone its share, above 0 to 1')
  const minPerZone = countOption('minPerZone', options.minPerZone, 3)
  const minEndpoints = countOption('minEndpoints', options.minEndpoints, 6)
  const inner = options.inner ?? p2cEwma()

  return (seams) => {
    const { random } = seams
    const everywhere = inner(seams)
    const groups = new Map<string, Group>()
    let home: Group | undefined
    let staying = 0

    const elsewhere = (chance: number): Group | undefined => {
      let left = chance
      for (const group of groups.values()) {
        left -= group.share
        if (left < 0) return group
      }
      return undefined
    }

    // A key is its own chance, so that the calls with it go to one zone, and the inner balancer there can stick.
    const groupFor = (key: string | undefined, home: Group): Group => {
      const hash = key === undefined ? undefined : hashOf(key)
      const chance = (turn: number): number => (hash === undefined ? random() : again(hash, turn) / HASHES)
      return chance(ZONE_TURN) < staying ? home : (elsewhere(chance(ZONE_TURN + 1)) ?? home)
    }

    return {
      update(view) {
        everywhere.update(view)
        const zones = byZone(view)
        for (const zone of groups.keys()) if (!zones.has(zone)) groups.delete(zone)
        home = undefined
        const mine = zones.get(own)
        if (mine === undefined || mine.length < minPerZone || view.length < minEndpoints) return groups.clear()
        for (const [zone, members] of zones) {
          let group = groups.get(zone)
          if (group === undefined) groups.set(zone, (group = { balancer: inner(seams), share: 0 }))
          group.balancer.update(members)
        }
        home = groups.get(own)
        staying = spread(zones, groups, own, callers)
      },
      pick(context: PickContext, now) {
        if (home === undefined) return everywhere.pick(context, now)
        const group = staying >= 1 ? home : groupFor(context.key, home)
        const found = group.balancer.pick(context, now)
        if (found !== undefined && !found.suspect) return found
        const other = everywhere.pick(context, now)
        return other === undefined || (other.suspect && found !== undefined) ? found : other
      },
    }
  }
}

// Endpoints that name no zone are one of their own: never ours.
function byZone(view: readonly EndpointView[]): Map<string, EndpointView[]> {
  const zones = new Map<string, EndpointView[]>()
  for (const each of view) {
    const zone = each.endpoint.zone ?? ''
    const members = zones.get(zone)
    if (members === undefined) zones.set(zone, [each])
    else members.push(each)
  }
  return zones
}

// Sets what the other zones get of what is sent away, and gives the share that stays.
function spread(
  zones: ReadonlyMap<string, readonly EndpointView[]>,
  groups: ReadonlyMap<string, Group>,
  own: string,
  callers: ZoneAwareOptions['callers'],
): number {
  const capacities = new Map<string, number>()
  let total = 0
  for (const [zone, members] of zones) {
    let capacity = 0
    for (const { endpoint } of members) capacity += endpoint.weight ?? 1
    capacities.set(zone, capacity)
    total += capacity
  }
  // Nobody calls from a zone without a name.
  const named = zones.size - (zones.has('') ? 1 : 0)
  const needOf = (zone: string): number => (zone === '' ? 0 : callers === undefined ? 1 / named : (callers[zone] ?? 0))
  const capacityOf = (zone: string): number => (total === 0 ? 1 / zones.size : (capacities.get(zone) ?? 0) / total)
  let spare = 0
  for (const [zone, group] of groups) {
    group.share = zone === own ? 0 : Math.max(capacityOf(zone) - needOf(zone), 0)
    spare += group.share
  }
  const need = needOf(own)
  const staying = need === 0 ? 1 : capacityOf(own) / need
  if (spare === 0) return 1
  for (const group of groups.values()) group.share /= spare
  return staying
}
