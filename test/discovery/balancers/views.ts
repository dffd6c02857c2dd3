// Endpoints with figures that a test sets, for balancers without a resolver.
import type { Balancer, EndpointView, PickContext } from '../../../src/core/contracts/balancer.ts'
import type { Endpoint } from '../../../src/core/contracts/source.ts'
import type { BalancerFactory } from '../../../src/discovery/balancers/factory.ts'
import { type FakeClock, fakeClock } from '../../../src/testing/fake-clock.ts'
import { seededRandom } from '../../../src/testing/seeded-random.ts'

/** A view that can be written. */
export type View = { -readonly [K in keyof EndpointView]: EndpointView[K] }

/** One endpoint with figures; the others are those of a healthy one that is idle. */
export function view(id: string, figures: Partial<View> = {}, endpoint: Partial<Endpoint> = {}): View {
  return {
    endpoint: { id, addresses: [{ host: '10.0.0.1', port: 80 }], ...endpoint },
    inFlight: 0,
    latencyMs: 0,
    oldestInFlightMs: 0,
    oldestSince: 0,
    ejected: false,
    suspect: false,
    weight: endpoint.weight || 1,
    pickedAt: 0,
    ...figures,
  }
}

/** So many of them: e0, e1, ... */
export function views(count: number, figures: Partial<View> = {}): View[] {
  return Array.from({ length: count }, (_, index) => view(`e${index}`, figures))
}

/** A balancer that knows these. The clock stands at 1,000,000 ms. */
export function balancing(
  factory: BalancerFactory,
  of: readonly EndpointView[],
  seed = 7,
): { readonly balancer: Balancer; readonly clock: FakeClock } {
  const clock = fakeClock({ now: 1_000_000 })
  const balancer = factory({ clock, random: seededRandom(seed) })
  balancer.update(of)
  return { balancer, clock }
}

/** How often each was picked. */
export function counts(
  balancer: Balancer,
  picks: number,
  context: PickContext | ((pick: number) => PickContext) = {},
): Map<string, number> {
  const found = new Map<string, number>()
  for (let pick = 0; pick < picks; pick++) {
    const id = balancer.pick(typeof context === 'function' ? context(pick) : context)?.endpoint.id ?? '-'
    found.set(id, (found.get(id) ?? 0) + 1)
  }
  return found
}

/** Pearson's chi-square of counts against shares (which are brought to a sum of 1). */
export function chiSquare(found: ReadonlyMap<string, number>, shares: Readonly<Record<string, number>>): number {
  const whole = Object.values(shares).reduce((sum, share) => sum + share, 0)
  const picks = [...found.values()].reduce((sum, count) => sum + count, 0)
  let sum = 0
  for (const [id, share] of Object.entries(shares)) {
    const expected = (picks * share) / whole
    sum += ((found.get(id) ?? 0) - expected) ** 2 / expected
  }
  return sum
}
