// Who has the fewest calls in flight.
import type { EndpointView } from '../../core/contracts/balancer.ts'
import { countOption, knownOptions } from '../../core/options.ts'
import { betterOfTwo, draw } from './drawing.ts'
import type { BalancerFactory } from './factory.ts'

/** Options of `leastRequest`. */
export interface LeastRequestOptions {
  /**
   * How many endpoints are drawn and compared at each pick, 2 and more; `'all'` compares every one, which costs a walk over all of them.
   * Default 2, as Envoy: nearly as even as all, and clients that know nothing of one another do not all run to the same idle endpoint.
   */
  readonly choices?: number | 'all' | undefined
}

/**
 * The one of `choices` drawn endpoints with the fewest calls in flight for its weight: (in flight + 1) / weight. One whose last outcome was
 * a failure comes behind every one that did well. Goes by the calls of this process only.
 * @throws FairleadError INVALID_OPTIONS
 */
export function leastRequest(options: LeastRequestOptions = {}): BalancerFactory {
  knownOptions('leastRequest', options, ['choices'])
  const choices = options.choices === 'all' ? Infinity : countOption('choices', options.choices, 2, 2)
  return ({ random }) => {
    let view: readonly EndpointView[] = []
    const several = (avoid: ReadonlySet<string> | undefined): EndpointView | undefined => {
      if (choices >= view.length) return leastOfAll(view, Math.floor(random() * view.length), avoid)
      let best: EndpointView | undefined
      for (let draws = 0; draws < choices; draws++) {
        const one = draw(view, random, avoid, best, true)
        if (one !== undefined && (best === undefined || load(one) < load(best))) best = one
      }
      return best ?? draw(view, random, avoid)
    }
    return {
      update(now) {
        view = now
      },
      pick: ({ avoid }) => (choices === 2 ? betterOfTwo(view, random, avoid, load) : several(avoid)),
    }
  }
}

function load(one: EndpointView): number {
  return (one.inFlight + 1) / one.weight
}

// From anywhere on, so that equals are each as likely.
function leastOfAll(
  view: readonly EndpointView[],
  start: number,
  avoid: ReadonlySet<string> | undefined,
): EndpointView | undefined {
  let best: EndpointView | undefined
  let index = start
  for (let left = view.length; left > 0; left--) {
    const one = view[index] as EndpointView
    if (++index === view.length) index = 0
    if (avoid?.has(one.endpoint.id)) continue
    if (best === undefined) best = one
    else if (best.suspect !== one.suspect) best = best.suspect ? one : best
    else if (load(one) < load(best)) best = one
  }
  return best
}
