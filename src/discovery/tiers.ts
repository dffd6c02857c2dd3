// Whose turn it is at all: by priority, then by what the registry says of each endpoint. The balancer chooses within the best tier only.
import type { Random } from '../core/clock.ts'
import type { Endpoint } from '../core/contracts/source.ts'

/** Never called. */
export const NEVER: number = -1

// Those of weight 0 come after all others of their priority, also the draining ones.
const WEIGHTLESS = 3
/** How many grades there are. */
export const GRADES: number = 2 * WEIGHTLESS

/** 0 ready, 1 starting, 2 draining; 3 to 5 the same with weight 0; `NEVER` for down. */
export function gradeOf({ state, weight }: Endpoint): number {
  if (state === 'down') return NEVER
  const grade = state === undefined || state === 'ready' ? 0 : state === 'starting' ? 1 : 2
  return weight === 0 ? grade + WEIGHTLESS : grade
}

/** What a tier is told by. */
export interface Ranked {
  readonly endpoint: Endpoint
  readonly grade: number
}

/** Below 0: `one` comes before `other`; 0: they are of one tier. Priority first (RFC 2782), then the grade. */
export function compareTiers(one: Ranked, other: Ranked): number {
  return (one.endpoint.priority ?? 0) - (other.endpoint.priority ?? 0) || one.grade - other.grade
}

/** Of those that are wanted, all of the best tier, in their order. */
export function bestTier<S extends Ranked>(states: Iterable<S>, wanted: (state: S) => boolean): S[] {
  let best: S[] = []
  let first: S | undefined
  for (const state of states) {
    if (state.grade === NEVER || !wanted(state)) continue
    const order = first === undefined ? -1 : compareTiers(state, first)
    if (order > 0) continue
    if (order < 0) {
      first = state
      best = []
    }
    best.push(state)
  }
  return best
}

/** Any of the best tier of those that are wanted; one that did not fail lately where there is one. For calls that have tried the others. */
export function anyOfBestTier<S extends Ranked & { readonly suspect: boolean }>(
  states: Iterable<S>,
  wanted: (state: S) => boolean,
  random: Random,
): S | undefined {
  const tier = bestTier(states, wanted)
  if (tier.length < 2) return tier[0]
  const well = tier.filter((each) => !each.suspect)
  const from = well.length === 0 ? tier : well
  return from[Math.floor(random() * from.length)]
}
