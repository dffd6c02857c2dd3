// Stability, evenness and the bound of the consistent hash.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { consistentHash } from '../../../src/discovery/balancers/consistent-hash.ts'
import { seededRandom } from '../../../src/testing/seeded-random.ts'
import { balancing, counts, type View, view, views } from './views.ts'

const KEYS = Array.from({ length: 10_000 }, (_, index) => `user-${index}`)
const homes = (of: readonly View[]): Map<string, string> => {
  const { balancer } = balancing(consistentHash(), of)
  return new Map(KEYS.map((key) => [key, balancer.pick({ key })?.endpoint.id ?? '-']))
}

describe('consistentHash', () => {
  it('gives a key the same endpoint, whatever the order and the chance', () => {
    const all = views(20)
    const one = balancing(consistentHash(), all, 1).balancer
    const other = balancing(consistentHash(), [...all].reverse(), 2).balancer
    for (const key of KEYS.slice(0, 1_000)) expect(one.pick({ key })).toBe(other.pick({ key }))
  })

  it.each([2, 5, 20, 100])('moves only the keys of the one that goes, of %i', (size) => {
    const all = views(size)
    const before = homes(all)
    const after = homes(all.slice(1))
    let moved = 0
    for (const [key, home] of before) {
      if (home === after.get(key)) continue
      expect(home).toBe('e0')
      moved++
    }
    expect(moved / KEYS.length).toBeGreaterThan(0.6 / size)
    expect(moved / KEYS.length).toBeLessThan(1.5 / size)
    // And they are spread over the others, not given to one neighbour.
    if (size >= 20) {
      const heirs = new Set([...before].filter(([, home]) => home === 'e0').map(([key]) => after.get(key)))
      expect(heirs.size).toBeGreaterThan(5)
    }
  })

  it.each([10, 100])('is even over %i endpoints', (size) => {
    const found = new Map<string, number>()
    for (const home of homes(views(size)).values()) found.set(home, (found.get(home) ?? 0) + 1)
    const mean = KEYS.length / size
    expect(Math.max(...found.values()) / mean).toBeLessThan(size === 10 ? 1.25 : 1.5)
    expect(found.size).toBe(size)
  })

  it('gives weights their share', () => {
    const all = views(10).map((each) => ({
      ...each,
      endpoint: { ...each.endpoint, weight: each.endpoint.id === 'e0' ? 4 : 1 },
    }))
    const found = [...homes(all).values()].filter((home) => home === 'e0').length / KEYS.length
    expect(found).toBeGreaterThan(0.22)
    expect(found).toBeLessThan(0.4)
  })

  it('holds the bound: nobody has more in flight than factor times its share', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 30 }),
        fc.constantFrom(1.1, 1.25, 2),
        fc.integer({ min: 1, max: 20 }),
        fc.nat(),
        (size, factor, keys, seed) => {
          const all = views(size)
          const { balancer } = balancing(consistentHash({ factor }), all, seed)
          const random = seededRandom(seed)
          const calls: View[] = []
          for (let step = 0; step < 300; step++) {
            if (calls.length > 0 && random() < 0.3) {
              const [ended] = calls.splice(Math.floor(random() * calls.length), 1)
              ;(ended as View).inFlight--
            } else {
              const found = balancer.pick({ key: `k${Math.floor(random() * keys)}` }) as View
              found.inFlight++
              calls.push(found)
              expect(found.inFlight).toBeLessThanOrEqual(Math.ceil((factor * calls.length) / size))
            }
          }
        },
      ),
      { seed: 6, numRuns: 100 },
    )
  })

  it('holds it nearly for a thousand, where the sum is kept for a while', () => {
    const all = views(1_000)
    const { balancer } = balancing(consistentHash(), all)
    for (let call = 0; call < 10_000; call++) (balancer.pick({ key: `k${call % 7}` }) as View).inFlight++
    expect(Math.max(...all.map((each) => each.inFlight))).toBeLessThanOrEqual(Math.ceil(1.25 * 10 + 1))
  })

  it('sends what is too much for one always to the same next one', () => {
    const all = views(10)
    const { balancer } = balancing(consistentHash(), all)
    const home = balancer.pick({ key: 'k' }) as View
    home.inFlight = 50
    const next = new Set(Array.from({ length: 20 }, () => balancer.pick({ key: 'k' })))
    expect(next.size).toBe(1)
    expect(next.has(home)).toBe(false)
    home.inFlight = 0
    expect(balancer.pick({ key: 'k' })).toBe(home)
  })

  it('passes over a suspect, and comes back to it', () => {
    const all = views(10)
    const { balancer } = balancing(consistentHash(), all)
    const home = balancer.pick({ key: 'k' }) as View
    home.suspect = true
    expect(balancer.pick({ key: 'k' })).not.toBe(home)
    expect(
      balancer.pick({ key: 'k', avoid: new Set(all.filter((each) => each !== home).map((each) => each.endpoint.id)) }),
    ).toBe(home)
    home.suspect = false
    expect(balancer.pick({ key: 'k' })).toBe(home)
  })

  it('has no bound with a factor of Infinity', () => {
    const { balancer } = balancing(consistentHash({ factor: Infinity }), views(10))
    const home = balancer.pick({ key: 'k' }) as View
    home.inFlight = 10_000
    expect(balancer.pick({ key: 'k' })).toBe(home)
    expect(counts(balancer, 20, { key: 'k' }).size).toBe(1)
  })

  it('refuses a factor that leaves no room', () => {
    for (const factor of [1, 0, Number.NaN, '2'] as never[])
      expect(() => consistentHash({ factor })).toThrowError(/factor/)
    expect(() => consistentHash({ faktor: 2 } as never)).toThrowError(/no such option/)
  })

  it('takes any text for a key', () => {
    const { balancer } = balancing(consistentHash(), [view('a'), view('b')])
    for (const key of ['', '\u0000', '\ud83d', '__proto__', 'x'.repeat(100_000)]) {
      const found = balancer.pick({ key })
      expect(found).toBeDefined()
      expect(balancer.pick({ key })).toBe(found)
    }
  })
})
