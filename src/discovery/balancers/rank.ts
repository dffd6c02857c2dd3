// Which endpoints come first, whatever the balancer: ready before starting, and those that are going or gone never.
import type { EndpointView } from '../../core/contracts/balancer.ts'

/** Endpoints by rank; a lower rank is used only where the higher ones have nothing to give. */
export interface Ranks {
  readonly ready: readonly EndpointView[]
  readonly starting: readonly EndpointView[]
}

/** No endpoints at all. */
export const NOTHING: Ranks = { ready: [], starting: [] }

/** Sorts a view into ranks; draining and down are left out. */
export function rank(view: readonly EndpointView[]): Ranks {
  const ready: EndpointView[] = []
  const starting: EndpointView[] = []
  for (const each of view) {
    const state = each.endpoint.state ?? 'ready'
    if (state === 'ready') ready.push(each)
    else if (state === 'starting') starting.push(each)
  }
  return { ready, starting }
}

/**
 * The first endpoint from `start` on, round the ring, that is good to use: untried and not ejected; then, as there is no
 * better, untried though ejected; then one that was tried. Ready ones before starting ones at each of these steps.
 */
export function firstUsable(
  ranks: Ranks,
  start: number,
  avoid: ReadonlySet<string> | undefined,
): EndpointView | undefined {
  const { ready, starting } = ranks
  const tried = avoid === undefined || avoid.size === 0 ? undefined : avoid
  return (
    scan(ready, start, tried, false) ??
    scan(starting, start, tried, false) ??
    scan(ready, start, tried, true) ??
    scan(starting, start, tried, true) ??
    (tried === undefined
      ? undefined
      : (scan(ready, start, undefined, false) ??
        scan(starting, start, undefined, false) ??
        scan(ready, start, undefined, true) ??
        scan(starting, start, undefined, true)))
  )
}

function scan(
  ring: readonly EndpointView[],
  start: number,
  avoid: ReadonlySet<string> | undefined,
  ejectedToo: boolean,
): EndpointView | undefined {
  const { length } = ring
  if (length === 0) return undefined
  let index = start % length
  for (let left = length; left > 0; left--) {
    const view = ring[index] as EndpointView
    if ((ejectedToo || !view.ejected) && (avoid === undefined || !avoid.has(view.endpoint.id))) return view
    if (++index === length) index = 0
  }
  return undefined
}
