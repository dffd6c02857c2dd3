// How balancers that go by chance draw: evenly, past those to be avoided, without a list of the others.
import type { Random } from '../../core/clock.ts'
import type { EndpointView } from '../../core/contracts/balancer.ts'

// Drawn so often before the rest is walked through: with one of two to be passed over, 94 in 100 draws need no walk.
const DRAWS = 4

/**
 * One of them, each as likely as the other.
 * @param avoid ids to be passed over
 * @param other an endpoint to be passed over: the first of a pair
 * @param healthy pass over those whose last outcome was a failure
 * @returns undefined where nobody is left
 */
export function draw(
  view: readonly EndpointView[],
  random: Random,
  avoid: ReadonlySet<string> | undefined,
  other?: EndpointView | undefined,
  healthy: boolean = false,
): EndpointView | undefined {
  const { length } = view
  if (length === 0 || (length === 1 && view[0] === other)) return undefined
  let index = 0
  for (let draws = 0; draws < DRAWS; draws++) {
    index = Math.floor(random() * length)
    const one = view[index] as EndpointView
    if (one !== other && !(healthy && one.suspect) && !avoid?.has(one.endpoint.id)) return one
  }
  for (let left = length; left > 0; left--) {
    const one = view[index] as EndpointView
    if (one !== other && !(healthy && one.suspect) && !avoid?.has(one.endpoint.id)) return one
    if (++index === length) index = 0
  }
  return undefined
}

/**
 * The better one of two that are drawn: the power of two choices (Mitzenmacher 2001). One whose last outcome was a failure comes behind
 * every one that did well: what fails at once looks idle, and would draw all calls to it.
 * @param cost the lower the better; asked for two endpoints a pick
 */
export function betterOfTwo(
  view: readonly EndpointView[],
  random: Random,
  avoid: ReadonlySet<string> | undefined,
  cost: (one: EndpointView) => number,
): EndpointView | undefined {
  let first = draw(view, random, avoid, undefined, true)
  const healthy = first !== undefined
  if (first === undefined) first = draw(view, random, avoid)
  if (first === undefined) return undefined
  const second = draw(view, random, avoid, first, healthy)
  return second !== undefined && cost(second) < cost(first) ? second : first
}
