// The default balancer: what it prefers, what it does with those it knows nothing of, and how it comes back to those it left.
import { describe, expect, it } from 'vitest'
import type { Clock } from '../../../src/core/clock.ts'
import { p2cEwma } from '../../../src/discovery/balancers/p2c-ewma.ts'
import { seededRandom } from '../../../src/testing/seeded-random.ts'
import { balancing, counts, type View, view, views } from './views.ts'

const NOW = 1_000_000
const share = (found: Map<string, number>, id: string, picks: number): number => (found.get(id) ?? 0) / picks

describe('p2cEwma', () => {
  it('prefers who answers sooner', () => {
    const [a, b] = [view('a', { latencyMs: 100, pickedAt: NOW }), view('b', { latencyMs: 101, pickedAt: NOW })]
    expect(counts(balancing(p2cEwma(), [a, b]).balancer, 100)).toEqual(new Map([['a', 100]]))
  })

  it('counts the calls in flight and the weight', () => {
    const of = (a: Partial<View>, b: Partial<View>): (string | undefined)[] => [
      ...counts(
        balancing(p2cEwma(), [
          view('a', { latencyMs: 100, pickedAt: NOW, oldestSince: NOW, ...a }),
          view('b', { latencyMs: 100, pickedAt: NOW, oldestSince: NOW, ...b }),
        ]).balancer,
        50,
      ).keys(),
    ]
    expect(of({ inFlight: 3 }, { inFlight: 2 })).toEqual(['b'])
    expect(of({ inFlight: 3, weight: 2 }, { inFlight: 2 })).toEqual(['a'])
    expect(of({ inFlight: 3, latencyMs: 50 }, { inFlight: 2 })).toEqual(['a'])
  })

  it('leaves a hung endpoint before any of its calls ended', () => {
    const hung = view('hung', { latencyMs: 100, inFlight: 1, oldestSince: NOW - 250, pickedAt: NOW })
    const slower = view('slower', { latencyMs: 200, inFlight: 1, oldestSince: NOW - 10, pickedAt: NOW })
    expect(counts(balancing(p2cEwma(), [hung, slower]).balancer, 50)).toEqual(new Map([['slower', 50]]))
  })

  it('puts every suspect behind every healthy one, however quick it failed', () => {
    const all = views(10, { latencyMs: 1, suspect: true, pickedAt: NOW })
    Object.assign(all[4] as View, { suspect: false, latencyMs: 60_000, inFlight: 500, oldestSince: NOW - 60_000 })
    const { balancer } = balancing(p2cEwma(), all)
    expect(counts(balancer, 100)).toEqual(new Map([['e4', 100]]))
    const others = counts(balancer, 100, { avoid: new Set(['e4']) })
    expect(others.has('e4')).toBe(false)
    expect(others.size).toBeGreaterThan(1)
  })

  it('takes who was never measured for as good as its peers', () => {
    const all = views(10, { latencyMs: 100, pickedAt: NOW, inFlight: 1, oldestSince: NOW })
    const fresh = all[0] as View
    fresh.latencyMs = 0
    const { balancer } = balancing(p2cEwma(), all)
    // Not flooded: with as many in flight as the others it gets its share.
    expect(share(counts(balancer, 5_000), 'e0', 5_000)).toBeLessThan(0.25)
    fresh.inFlight = 2
    expect(share(counts(balancer, 5_000), 'e0', 5_000)).toBe(0)
    // Not starved: with fewer it gets both chances.
    fresh.inFlight = 0
    expect(share(counts(balancer, 5_000), 'e0', 5_000)).toBeGreaterThan(0.15)
    // Nor is it tried first because nobody ever called it.
    fresh.pickedAt = 0
    for (const each of all.slice(1)) Object.assign(each, { inFlight: 0, latencyMs: 100 })
    for (const each of all.slice(1, 6)) each.latencyMs = 90
    expect(share(counts(balancer, 5_000), 'e0', 5_000)).toBeLessThan(0.15)
  })

  it('leaves a slow endpoint that is idle also where its peers have many calls in flight', () => {
    const all = views(10, { latencyMs: 300, inFlight: 15, oldestSince: NOW - 100, pickedAt: NOW })
    Object.assign(all[3] as View, { latencyMs: 2_000, inFlight: 0 })
    expect(counts(balancing(p2cEwma(), all).balancer, 1_000).has('e3')).toBe(false)
  })

  it('goes by the calls in flight where nobody was measured', () => {
    const all = [view('a', { inFlight: 2, oldestSince: NOW }), view('b', { inFlight: 1, oldestSince: NOW })]
    expect(counts(balancing(p2cEwma(), all).balancer, 50)).toEqual(new Map([['b', 50]]))
  })

  it('forgets while nobody calls: what was twelve times slower is tried again after 25 s, not before', async () => {
    const slow = view('slow', { latencyMs: 2_000, pickedAt: NOW })
    const quick = view('quick', { latencyMs: 167, inFlight: 0, pickedAt: NOW })
    const { balancer, clock } = balancing(p2cEwma(), [slow, quick])
    const pickedAfter = async (ms: number): Promise<string | undefined> => {
      await clock.advance(NOW + ms - clock.now())
      quick.pickedAt = clock.now()
      return balancer.pick({})?.endpoint.id
    }
    expect(await pickedAfter(10_000)).toBe('quick')
    expect(await pickedAfter(24_500)).toBe('quick')
    expect(await pickedAfter(25_500)).toBe('slow')
    // On trial: what it was known for counts again at once.
    Object.assign(slow, { inFlight: 1, pickedAt: clock.now(), oldestSince: clock.now() })
    expect(await pickedAfter(25_600)).toBe('quick')
  })

  it('reads the clock once a pick, and not at all when it is told the time', () => {
    let readings = 0
    const clock = { now: () => ++readings } as unknown as Clock
    const balancer = p2cEwma()({ clock, random: seededRandom(1) })
    balancer.update(views(10))
    for (let pick = 0; pick < 100; pick++) balancer.pick({})
    expect(readings).toBe(100)
    for (let pick = 0; pick < 100; pick++) balancer.pick({}, 1_000 + pick)
    expect(readings).toBe(100)
  })
})
