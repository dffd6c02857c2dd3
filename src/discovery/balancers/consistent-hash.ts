// The same key to the same endpoint in every process, and no endpoint above its share.
import type { EndpointView } from '../../core/contracts/balancer.ts'
import { invalidOption, knownOptions } from '../../core/options.ts'
import { draw } from './drawing.ts'
import type { BalancerFactory } from './factory.ts'
import { again, hashOf, type Ring, ring } from './ring.ts'

/** Options of `consistentHash`. */
export interface ConsistentHashOptions {
  /**
   * How far above its share of the calls in flight an endpoint may be before the next call with a key of its goes elsewhere: above 1;
   * Infinity for no bound. Default 1.25: the value of the paper and of the proxies that took it up; a smaller one is more even and moves more keys.
   */
  readonly factor?: number | undefined
}

// A key has so many places it goes to, one after another, before all endpoints are walked through.
const PLACES = 16
// Calls in flight are added up at each pick for so many endpoints; of more, at every pick in sixteen of them, so that a pick stays cheap.
const COUNTED_EACH_TIME = 64
const PICKS_PER_COUNT = 16

/**
 * Calls with the same `key` go to the same endpoint, in every process that knows the same ids. When one of n endpoints goes, its keys are
 * spread over the others, and no other key moves; when one comes, it takes about 1 / n of the keys. An endpoint with more calls in flight
 * than `factor` times its share gives the rest away, a key always to the same next one (consistent hashing with bounded loads,
 * Mirrokni, Thorup & Zadimoghaddam 2018, with the jumps of Chen, Coleman & Shrivastava 2021); so does one whose
 * last outcome was a failure. Without a key: any one by chance.
 *
 * The bound counts this process's calls. With more than 64 endpoints the sum is kept between picks, for up to a sixteenth as
 * many picks as there are endpoints.
 * @throws FairleadError INVALID_OPTIONS
 */
export function consistentHash(options: ConsistentHashOptions = {}): BalancerFactory {
  knownOptions('consistentHash', options, ['factor'])
  const factor = options.factor ?? 1.25
  if (typeof factor !== 'number' || !(factor > 1))
    throw invalidOption('factor', factor, 'give a number above 1, or Infinity')
  return ({ random }) => {
    let placed: Ring = ring([])
    let weights = 0
    let inFlight = 0
    let picksSinceCount = Infinity

    const count = (): void => {
      const { view } = placed
      if (++picksSinceCount <= (view.length <= COUNTED_EACH_TIME ? 0 : view.length / PICKS_PER_COUNT)) {
        inFlight++
        return
      }
      picksSinceCount = 0
      inFlight = 0
      weights = 0
      for (const one of view) {
        inFlight += one.inFlight
        weights += one.weight
      }
    }
    const roomAt = (one: EndpointView): boolean =>
      one.inFlight === 0 || weights === 0 || one.inFlight < Math.ceil((factor * (inFlight + 1) * one.weight) / weights)
    // In the order of the key's places: with room and well, then well, then whoever is left.
    const find = (hash: number, avoid: ReadonlySet<string> | undefined): EndpointView | undefined => {
      let second: EndpointView | undefined
      let last: EndpointView | undefined
      const good = (one: EndpointView): boolean => {
        if (avoid?.has(one.endpoint.id)) return false
        last ??= one
        if (one.suspect) return false
        second ??= one
        return roomAt(one)
      }
      let at = hash
      for (let place = 0; place < PLACES; place++) {
        const one = placed.owner(at) as EndpointView
        if (good(one)) return one
        at = again(at, place)
      }
      const { view } = placed
      for (let index = at % view.length, left = view.length; left > 0; left--) {
        const one = view[index] as EndpointView
        if (good(one)) return one
        if (++index === view.length) index = 0
      }
      return second ?? last
    }

    return {
      update(view) {
        placed = ring(view)
        picksSinceCount = Infinity
      },
      pick({ key, avoid }) {
        if (placed.view.length === 0) return undefined
        if (key === undefined) return draw(placed.view, random, avoid)
        count()
        return find(hashOf(key), avoid)
      },
    }
  }
}
