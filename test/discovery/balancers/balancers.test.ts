import { describe, expect, it } from 'vitest'
import type { Balancer, EndpointView } from '../../../src/core/contracts/balancer.ts'
import type { Endpoint } from '../../../src/core/contracts/source.ts'
import { random } from '../../../src/discovery/balancers/random.ts'
import { roundRobin } from '../../../src/discovery/balancers/round-robin.ts'
import { seededRandom } from '../../../src/testing/seeded-random.ts'

type View = { -readonly [K in keyof EndpointView]: EndpointView[K] }

const view = (id: string, state?: Endpoint['state'], ejected = false): View => ({
  endpoint: { id, addresses: [{ host: 'h', port: 1 }], ...(state === undefined ? {} : { state }) },
  inFlight: 0,
  latencyMs: 0,
  oldestInFlightMs: 0,
  ejected,
})

const picks = (balancer: Balancer, count: number, avoid?: readonly string[]): (string | undefined)[] =>
  Array.from({ length: count }, () => balancer.pick(avoid === undefined ? {} : { avoid: new Set(avoid) })?.endpoint.id)

describe.each([
  ['roundRobin', roundRobin],
  ['random', random],
])('%s', (_name, make) => {
  const balancer = (...views: readonly View[]): Balancer => {
    const made = make({ random: seededRandom(7) })
    made.update(views)
    return made
  }

  it('gives nothing where there is nothing', () => {
    expect(make({ random: seededRandom(1) }).pick({})).toBeUndefined()
    expect(balancer().pick({})).toBeUndefined()
    expect(balancer(view('a', 'down'), view('b', 'draining')).pick({})).toBeUndefined()
  })

  it('uses all of them', () => {
    expect(new Set(picks(balancer(view('a'), view('b'), view('c')), 100))).toEqual(new Set(['a', 'b', 'c']))
  })

  it('avoids what the call has tried while there is another', () => {
    expect(new Set(picks(balancer(view('a'), view('b')), 50, ['a']))).toEqual(new Set(['b']))
    expect(new Set(picks(balancer(view('a'), view('b')), 50, ['a', 'b']))).toEqual(new Set(['a', 'b']))
  })

  it('takes a starting one only where no ready one is left, and never a draining or downed one', () => {
    const some = balancer(view('a', 'ready'), view('b', 'starting'), view('c', 'draining'), view('d', 'down'))
    expect(new Set(picks(some, 50))).toEqual(new Set(['a']))
    expect(new Set(picks(some, 50, ['a']))).toEqual(new Set(['b']))
    expect(new Set(picks(some, 50, ['a', 'b']))).toEqual(new Set(['a']))
  })

  it('leaves ejected ones out while another is left, and reads that live', () => {
    const [a, b] = [view('a'), view('b')]
    const some = balancer(a, b)
    a.ejected = true
    expect(new Set(picks(some, 50))).toEqual(new Set(['b']))
    expect(new Set(picks(some, 50, ['b']))).toEqual(new Set(['a']))
    a.ejected = false
    expect(new Set(picks(some, 50))).toEqual(new Set(['a', 'b']))
  })

  it('knows only the last update', () => {
    const some = balancer(view('a'), view('b'))
    some.update([view('c')])
    expect(new Set(picks(some, 10))).toEqual(new Set(['c']))
  })
})

describe('roundRobin', () => {
  it('takes each in turn', () => {
    const balancer = roundRobin({ random: seededRandom(3) })
    balancer.update([view('a'), view('b'), view('c')])
    const [first = '', second = '', third = ''] = picks(balancer, 3)
    expect(new Set([first, second, third]).size).toBe(3)
    expect(picks(balancer, 6)).toEqual([first, second, third, first, second, third])
  })

  it('begins anywhere, so that clients that start together spread', () => {
    const firsts = Array.from({ length: 300 }, (_, seed) => {
      const balancer = roundRobin({ random: seededRandom(seed) })
      balancer.update([view('a'), view('b'), view('c')])
      return picks(balancer, 1)[0]
    })
    for (const id of ['a', 'b', 'c']) expect(firsts.filter((each) => each === id).length).toBeGreaterThan(60)
  })
})

describe('random', () => {
  it('is even', () => {
    const balancer = random({ random: seededRandom(5) })
    balancer.update([view('a'), view('b'), view('c'), view('d')])
    const all = picks(balancer, 8_000)
    for (const id of ['a', 'b', 'c', 'd']) expect(all.filter((each) => each === id).length).toBeGreaterThan(1_800)
  })
})
