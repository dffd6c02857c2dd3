// Same zone first, as far as it can carry it.
import { describe, expect, it } from 'vitest'
import { consistentHash } from '../../../src/discovery/balancers/consistent-hash.ts'
import { p2cEwma } from '../../../src/discovery/balancers/p2c-ewma.ts'
import { random } from '../../../src/discovery/balancers/random.ts'
import { sticky } from '../../../src/discovery/balancers/sticky.ts'
import { type ZoneAwareOptions, zoneAware } from '../../../src/discovery/balancers/zone-aware.ts'
import { balancing, counts, type View, view } from './views.ts'

const PICKS = 20_000
const zones = (sizes: Readonly<Record<string, number>>): View[] =>
  Object.entries(sizes).flatMap(([zone, size]) =>
    Array.from({ length: size }, (_, index) => view(`${zone}${index}`, {}, zone === '-' ? {} : { zone })),
  )
const shares = (all: readonly View[], options: Partial<ZoneAwareOptions> = {}): Record<string, number> => {
  const { balancer } = balancing(zoneAware({ zone: 'a', inner: random(), ...options }), all)
  const found: Record<string, number> = {}
  for (const [id, count] of counts(balancer, PICKS)) found[id[0] ?? ''] = (found[id[0] ?? ''] ?? 0) + count / PICKS
  return found
}

describe('zoneAware', () => {
  it('stays at home where the zone has its share', () => {
    expect(shares(zones({ a: 3, b: 3, c: 3 }))).toEqual({ a: 1 })
    expect(shares(zones({ a: 5, b: 3, c: 3 }))).toEqual({ a: 1 })
  })

  it('sends away what the zone cannot carry, to those that have more than they need', () => {
    // a carries 3/15 where a third of the callers are: 60 % stay; b has 5/15, just what it needs; c has 7/15.
    const found = shares(zones({ a: 3, b: 5, c: 7 }))
    expect(found['a']).toBeCloseTo(0.6, 1)
    expect(found['b']).toBeUndefined()
    expect(found['c']).toBeCloseTo(0.4, 1)
  })

  it('shares what is sent away in proportion, so that every endpoint gets the same in the end', () => {
    const sizes = { a: 3, b: 6, c: 9 }
    const load: Record<string, number> = {}
    for (const zone of Object.keys(sizes))
      for (const [to, share] of Object.entries(shares(zones(sizes), { zone }))) load[to] = (load[to] ?? 0) + share / 3
    for (const [zone, size] of Object.entries(sizes)) expect((load[zone] ?? 0) / (size / 18)).toBeCloseTo(1, 1)
  })

  it.each([
    ['sticky', sticky()],
    ['consistentHash', consistentHash({ factor: Infinity })],
  ])('sends a key to one endpoint with %s inside, and as many keys away as calls', (_name, inner) => {
    const all = zones({ a: 3, b: 5, c: 7 })
    const { balancer } = balancing(zoneAware({ zone: 'a', inner }), all)
    const found: Record<string, number> = {}
    for (let key = 0; key < 2_000; key++) {
      const ids = counts(balancer, 5, { key: `k${key}` })
      expect(ids.size).toBe(1)
      const zone = [...ids.keys()][0]?.[0] ?? ''
      found[zone] = (found[zone] ?? 0) + 1 / 2_000
    }
    expect(found['a']).toBeCloseTo(0.6, 1)
    expect(found['b']).toBeUndefined()
    expect(found['c']).toBeCloseTo(0.4, 1)
  })

  it('goes by where the callers are, if it is told', () => {
    expect(shares(zones({ a: 3, b: 3, c: 3 }), { callers: { a: 2 / 3, b: 1 / 3 } })['a']).toBeCloseTo(0.5, 1)
    expect(shares(zones({ a: 3, b: 6 }), { callers: { a: 1 / 3, b: 2 / 3 } })).toEqual({ a: 1 })
  })

  it('goes by weight', () => {
    const all = [...zones({ a: 3, b: 3 })].map((each) => ({
      ...each,
      endpoint: { ...each.endpoint, weight: each.endpoint.zone === 'a' ? 1 : 3 },
    }))
    expect(shares(all)['a']).toBeCloseTo(0.5, 1)
  })

  it('ignores zones where there are too few endpoints', () => {
    expect(shares(zones({ a: 2, b: 6 }))['b']).toBeCloseTo(0.75, 1)
    expect(shares(zones({ a: 3, b: 2 }))['b']).toBeCloseTo(0.4, 1)
    expect(shares(zones({ a: 2, b: 2 }), { minPerZone: 1, minEndpoints: 1 })).toEqual({ a: 1 })
    expect(shares(zones({ b: 6, c: 6 }))['b']).toBeCloseTo(0.5, 1)
    expect(shares(zones({ '-': 8 }))).toEqual({ '-': 1 })
  })

  it('counts endpoints without a zone as spare for everybody', () => {
    expect(shares(zones({ a: 3, b: 3, '-': 6 }))['-']).toBeCloseTo(0.5, 1)
  })

  it('spills when endpoints of the zone are gone, and comes home with them', () => {
    const all = zones({ a: 6, b: 6 })
    const { balancer } = balancing(zoneAware({ zone: 'a', inner: random() }), all)
    const away = (): number =>
      [...counts(balancer, 1_000)].filter(([id]) => id.startsWith('b')).reduce((sum, [, count]) => sum + count, 0)
    expect(away()).toBe(0)
    balancer.update(all.slice(3))
    expect(away()).toBeGreaterThan(200)
    balancer.update(all.slice(4))
    expect(away()).toBeGreaterThan(600)
    balancer.update(all)
    expect(away()).toBe(0)
  })

  it('asks another zone where the own has only suspects, or none that may be tried', () => {
    const all = zones({ a: 3, b: 3 })
    const { balancer } = balancing(zoneAware({ zone: 'a', inner: p2cEwma() }), all)
    const home = new Set(['a0', 'a1', 'a2'])
    expect([...counts(balancer, 100, { avoid: home }).keys()].every((id) => id.startsWith('b'))).toBe(true)
    for (const each of all.slice(0, 3)) each.suspect = true
    expect([...counts(balancer, 100).keys()].every((id) => id.startsWith('b'))).toBe(true)
    for (const each of all) each.suspect = true
    expect([...counts(balancer, 100).keys()].every((id) => id.startsWith('a'))).toBe(true)
  })

  it('refuses what it cannot go by', () => {
    expect(() => zoneAware({} as never)).toThrowError(/zone/)
    expect(() => zoneAware({ zone: '' })).toThrowError(/zone/)
    expect(() => zoneAware({ zone: 'a', callers: { a: 0 } })).toThrowError(/callers/)
    expect(() => zoneAware({ zone: 'a', minPerZone: 0 })).toThrowError(/minPerZone/)
    expect(() => zoneAware({ zone: 'a', zones: 3 } as never)).toThrowError(/no such option/)
  })
})
