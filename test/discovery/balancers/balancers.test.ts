// What holds for every balancer, and what is particular to the simple ones.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { consistentHash } from '../../../src/discovery/balancers/consistent-hash.ts'
import type { BalancerFactory } from '../../../src/discovery/balancers/factory.ts'
import { leastRequest } from '../../../src/discovery/balancers/least-request.ts'
import { BALANCER_NAMES, balancerNamed } from '../../../src/discovery/balancers/names.ts'
import { p2c } from '../../../src/discovery/balancers/p2c.ts'
import { random } from '../../../src/discovery/balancers/random.ts'
import { roundRobin } from '../../../src/discovery/balancers/round-robin.ts'
import { weighted } from '../../../src/discovery/balancers/weighted.ts'
import { zoneAware } from '../../../src/discovery/balancers/zone-aware.ts'
import { seededRandom } from '../../../src/testing/seeded-random.ts'
import { balancing, chiSquare, counts, type View, view, views } from './views.ts'

const ALL: readonly (readonly [string, BalancerFactory])[] = [
  ...BALANCER_NAMES.map((name) => [name, balancerNamed(name) as BalancerFactory] as const),
  ['least-request of all', leastRequest({ choices: 'all' })],
  ['least-request of 5', leastRequest({ choices: 5 })],
  ['zone-aware', zoneAware({ zone: 'a' })],
]

describe.each(ALL)('%s', (_name, factory) => {
  it('gives nothing where there is nothing', () => {
    expect(balancing(factory, []).balancer.pick({})).toBeUndefined()
    expect(balancing(factory, []).balancer.pick({ key: 'k' })).toBeUndefined()
    expect(factory({ clock: balancing(factory, []).clock, random: seededRandom(1) }).pick({})).toBeUndefined()
  })

  it('uses all of them', () => {
    const { balancer } = balancing(factory, views(5))
    expect(counts(balancer, 400, (pick) => ({ key: `k${pick}` })).size).toBe(5)
  })

  it('gives an endpoint to be avoided never, and another whenever there is one', () => {
    const figures = fc.record({
      inFlight: fc.nat(50),
      latencyMs: fc.nat(5_000),
      suspect: fc.boolean(),
      weight: fc.constantFrom(0.1, 1, 3),
      zone: fc.constantFrom('a', 'a', 'b'),
      avoided: fc.boolean(),
    })
    fc.assert(
      fc.property(
        fc.array(figures, { minLength: 1, maxLength: 12 }),
        fc.nat(),
        fc.option(fc.string(), { nil: undefined }),
        (given, seed, key) => {
          const all = given.map(({ zone, avoided: _avoided, ...rest }, index) => view(`e${index}`, rest, { zone }))
          const avoid = new Set(given.flatMap(({ avoided }, index) => (avoided ? [`e${index}`] : [])))
          const { balancer } = balancing(factory, all, seed)
          for (let pick = 0; pick < 20; pick++) {
            const found = balancer.pick({ key, avoid })
            if (avoid.size === all.length) expect(found).toBeUndefined()
            else expect(avoid.has(found?.endpoint.id ?? [...avoid][0] ?? '')).toBe(false)
            if (found !== undefined) expect(all).toContain(found)
          }
          const anyone = balancer.pick({ key })
          expect(anyone).toBeDefined()
        },
      ),
      { seed: 6, numRuns: 300 },
    )
  })

  it('knows only the last update', () => {
    const { balancer } = balancing(factory, views(4))
    counts(balancer, 10, (pick) => ({ key: `k${pick}` }))
    balancer.update([view('new')])
    expect(counts(balancer, 20, (pick) => ({ key: `k${pick}` }))).toEqual(new Map([['new', 20]]))
    balancer.update([])
    expect(balancer.pick({ key: 'k1' })).toBeUndefined()
  })

  it('goes on where many are to be avoided', () => {
    const many = views(100)
    const { balancer } = balancing(factory, many)
    const avoid = new Set(many.slice(1).map((each) => each.endpoint.id))
    expect(counts(balancer, 50, (pick) => ({ key: `k${pick}`, avoid }))).toEqual(new Map([['e0', 50]]))
  })
})

describe('balancerNamed', () => {
  it('knows no others', () => {
    for (const name of ['', 'p2c ewma', 'toString', '__proto__', 'zone-aware'])
      expect(balancerNamed(name)).toBeUndefined()
  })
})

// 0.1 % of fair runs lie above these (chi-square with 9 degrees of freedom: 27.9).
const FAIR_9 = 27.9
const TEN = Object.fromEntries(views(10).map((each) => [each.endpoint.id, 1]))

describe('roundRobin', () => {
  it('takes each in turn', () => {
    const { balancer } = balancing(roundRobin(), views(3))
    const order = Array.from({ length: 6 }, () => balancer.pick({})?.endpoint.id)
    expect(new Set(order.slice(0, 3)).size).toBe(3)
    expect(order.slice(3)).toEqual(order.slice(0, 3))
  })

  it('begins anywhere, so that clients that start together spread', () => {
    const firsts = new Map<string, number>()
    for (let seed = 0; seed < 1_000; seed++) {
      const id = balancing(roundRobin(), views(10), seed).balancer.pick({})?.endpoint.id ?? '-'
      firsts.set(id, (firsts.get(id) ?? 0) + 1)
    }
    expect(chiSquare(firsts, TEN)).toBeLessThan(FAIR_9)
  })
})

describe('random', () => {
  it('is even', () => {
    expect(chiSquare(counts(balancing(random(), views(10)).balancer, 20_000), TEN)).toBeLessThan(FAIR_9)
  })

  it('is even past those that are avoided', () => {
    const { e0: _e0, e1: _e1, ...rest } = TEN
    const found = counts(balancing(random(), views(10)).balancer, 20_000, { avoid: new Set(['e0', 'e1']) })
    expect(chiSquare(found, rest)).toBeLessThan(FAIR_9)
  })
})

describe('weighted', () => {
  it('gives exact shares, and not in runs', () => {
    const all = [view('a', { weight: 5 }), view('b', { weight: 1 }), view('c', { weight: 1 })]
    const { balancer } = balancing(weighted(), all)
    const order = Array.from({ length: 700 }, () => balancer.pick({})?.endpoint.id)
    const shares = counts(balancing(weighted(), all).balancer, 700)
    expect(Math.abs((shares.get('a') ?? 0) - 500)).toBeLessThanOrEqual(5)
    expect(Math.abs((shares.get('b') ?? 0) - 100)).toBeLessThanOrEqual(1)
    for (let at = 0; at + 7 <= order.length; at++)
      expect(order.slice(at, at + 7).filter((id) => id === 'a').length).toBeLessThanOrEqual(6)
  })

  it('goes by the weight as it is now', () => {
    const [a, b] = [view('a'), view('b', { weight: 0.1 })]
    const { balancer } = balancing(weighted(), [a, b])
    expect(counts(balancer, 110).get('b')).toBeLessThanOrEqual(11)
    ;(b as View).weight = 1
    counts(balancer, 20)
    expect(Math.abs((counts(balancer, 100).get('b') ?? 0) - 50)).toBeLessThanOrEqual(1)
  })

  it('sees at an update that a weight has risen, and not only when the old one would have had its turn', () => {
    const [a, b] = [view('a'), view('b', { weight: 0.001 })]
    const { balancer } = balancing(weighted(), [a, b])
    counts(balancer, 1_200)
    ;(b as View).weight = 1
    balancer.update([a, b])
    expect(Math.abs((counts(balancer, 100).get('b') ?? 0) - 50)).toBeLessThanOrEqual(2)
    ;(b as View).weight = 0.001
    balancer.update([a, b])
    expect(counts(balancer, 100).get('b') ?? 0).toBeLessThanOrEqual(1)
  })

  it('gives nobody what it missed while it was avoided', () => {
    const { balancer } = balancing(weighted(), [view('a'), view('b')])
    counts(balancer, 100, { avoid: new Set(['a']) })
    expect(Math.abs((counts(balancer, 100).get('a') ?? 0) - 50)).toBeLessThanOrEqual(1)
  })

  it('keeps its turns over an update', () => {
    const all = views(10)
    const { balancer } = balancing(weighted(), all)
    const found = new Map<string, number>()
    for (let pick = 0; pick < 1_000; pick++) {
      balancer.update(all)
      const id = balancer.pick({})?.endpoint.id ?? '-'
      found.set(id, (found.get(id) ?? 0) + 1)
    }
    expect([...found.values()].every((count) => Math.abs(count - 100) <= 1)).toBe(true)
  })

  it('survives a weight of 0', () => {
    const { balancer } = balancing(weighted(), [view('a', { weight: 0 }), view('b', { weight: 0 })])
    expect(counts(balancer, 10).size).toBe(2)
  })
})

describe.each([
  ['p2c', p2c()],
  ['least-request of all', leastRequest({ choices: 'all' })],
])('%s', (name, factory) => {
  it('evens out calls that stay', () => {
    const all = views(100)
    const { balancer } = balancing(factory, all)
    for (let call = 0; call < 1_000; call++) (balancer.pick({}) as View).inFlight++
    const most = Math.max(...all.map((each) => each.inFlight))
    expect(most).toBeLessThanOrEqual(name === 'p2c' ? 13 : 10)
    // By chance alone it would be about 20.
    const alone = views(100)
    const chance = balancing(random(), alone).balancer
    for (let call = 0; call < 1_000; call++) (chance.pick({}) as View).inFlight++
    expect(Math.max(...alone.map((each) => each.inFlight))).toBeGreaterThan(15)
  })

  it('goes by weight', () => {
    const all = [view('a', { weight: 3 }), view('b', { weight: 1 })]
    const { balancer } = balancing(factory, all)
    for (let call = 0; call < 400; call++) (balancer.pick({}) as View).inFlight++
    expect(Math.abs((all[0]?.inFlight ?? 0) - 300)).toBeLessThanOrEqual(3)
  })

  it('takes a suspect one only where there is no other, however idle it looks', () => {
    const all = views(10, { inFlight: 90 })
    for (const each of all.slice(0, 9)) Object.assign(each, { suspect: true, inFlight: 0 })
    const { balancer } = balancing(factory, all)
    expect(counts(balancer, 100)).toEqual(new Map([['e9', 100]]))
    expect(counts(balancer, 100, { avoid: new Set(['e9']) }).has('e9')).toBe(false)
  })
})

describe('leastRequest', () => {
  it('refuses a number of choices that is none', () => {
    for (const choices of [1, 0, 2.5, Number.NaN, 'every'] as never[])
      expect(() => leastRequest({ choices })).toThrowError(/choices/)
    expect(() => leastRequest({ choice: 2 } as never)).toThrowError(/no such option/)
  })

  it('finds the least of all, equals by chance', () => {
    const all = views(10, { inFlight: 3 })
    for (const each of all.slice(0, 2)) each.inFlight = 1
    const found = counts(balancing(leastRequest({ choices: 'all' }), all).balancer, 1_000)
    expect([...found.keys()].sort()).toEqual(['e0', 'e1'])
    // The walk begins anywhere: nine of ten beginnings meet e0 first.
    expect(found.get('e1')).toBeGreaterThan(50)
  })
})

describe('consistentHash', () => {
  it('spreads keys that are no strings', () => {
    const { balancer } = balancing(consistentHash(), views(10))
    expect(counts(balancer, 200, (pick) => ({ key: pick as never })).size).toBe(10)
  })
})

describe('consistentHash without a key', () => {
  it('is even', () => {
    expect(chiSquare(counts(balancing(consistentHash(), views(10)).balancer, 20_000), TEN)).toBeLessThan(FAIR_9)
  })
})
