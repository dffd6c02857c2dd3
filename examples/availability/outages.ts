// When a service is down: periods drawn by chance, scaled so that together they are exactly the share of the run that was asked for.
import type { Random } from 'fairlead/core'

/** How a service that is down looks from outside. */
export type Mode = 'refuses' | 'is silent' | 'answers 503'

/** One period in which a service is down, milliseconds of the run. */
export interface Outage {
  readonly from: number
  readonly until: number
  readonly mode: Mode
}

const MODES: readonly Mode[] = ['refuses', 'is silent', 'answers 503']

/**
 * Alternating periods up and down, both exponential: the process that `share = mttr / (mttf + mttr)` describes, conditioned on a run that has exactly its expected share.
 * Unscaled, a run of a hundred outages misses its share by a tenth of it, and what is to be shown drowns in that.
 */
export function drawOutages(runMs: number, share: number, meanDownMs: number, random: Random): readonly Outage[] {
  const count = Math.max(1, Math.round((runMs * share) / meanDownMs))
  const downs = scaled(count, runMs * share, random)
  const ups = scaled(count + 1, runMs * (1 - share), random)
  let at = 0
  return downs.map((down, index) => {
    const from = at + (ups[index] as number)
    at = from + down
    return { from, until: at, mode: MODES[Math.floor(random() * MODES.length)] as Mode }
  })
}

function scaled(count: number, total: number, random: Random): readonly number[] {
  const drawn = Array.from({ length: count }, () => -Math.log(1 - random()))
  const sum = drawn.reduce((all, each) => all + each, 0)
  return drawn.map((each) => (each / sum) * total)
}

/** The outage at that instant, if there is one. */
export function outageAt(outages: readonly Outage[], at: number): Outage | undefined {
  return outages.find(({ from, until }) => from <= at && at < until)
}

/** How much of a span a service was down, milliseconds. */
export function downWithin(outages: readonly Outage[], from: number, until: number): number {
  return outages.reduce((sum, each) => sum + Math.max(0, Math.min(each.until, until) - Math.max(each.from, from)), 0)
}
