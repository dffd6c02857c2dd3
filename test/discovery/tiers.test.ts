import { describe, expect, it } from 'vitest'
import type { Endpoint } from '../../src/core/contracts/source.ts'
import { at, bad, bench } from './support.ts'

const tried = (...ids: readonly string[]): { readonly avoid: ReadonlySet<string> } => ({ avoid: new Set(ids) })

describe('the balancer sees the best tier only', () => {
  it.each<[string, readonly Endpoint[], readonly string[]]>([
    ['ready before starting', [at('s', { state: 'starting' }), at('r'), at('q', { state: 'ready' })], ['r', 'q']],
    ['starting before draining', [at('d', { state: 'draining' }), at('s', { state: 'starting' })], ['s']],
    ['draining where there is nobody else', [at('d', { state: 'draining' }), at('x', { state: 'down' })], ['d']],
    ['the lowest priority first', [at('b', { priority: 1 }), at('a'), at('c', { priority: -1 })], ['c']],
    ['priority before state', [at('a', { priority: 1 }), at('s', { state: 'starting' })], ['s']],
    ['not a priority of which all are down', [at('a', { state: 'down' }), at('b', { priority: 5 })], ['b']],
    ['weight 0 after all others of its priority', [at('z', { weight: 0 }), at('d', { state: 'draining' })], ['d']],
    ['weight 0 before the next priority', [at('z', { weight: 0 }), at('b', { priority: 1 })], ['z']],
    ['nobody where all are down', [at('a', { state: 'down' })], []],
  ])('%s', (_what, endpoints, expected) => {
    expect(bench({}, ...endpoints).balancer.ids).toEqual(expected)
  })

  it('a weight is never 0 there: where all are, all are alike', () => {
    const { view } = bench({}, at('y', { weight: 0 }), at('z', { weight: 0 }))
    expect([view('y').weight, view('z').weight]).toEqual([1, 1])
    expect(bench({}, at('a', { weight: 2.5 })).view('a').weight).toBe(2.5)
  })

  it('the next priority takes over when all of the first are ejected, and gives back', async () => {
    const far = [at('x', { priority: 1 }), at('y', { priority: 1 }), at('z', { priority: 1 })]
    const { balancer, call, lease, clock } = bench({}, 'a', 'b', ...far)
    for (const id of ['a', 'b']) for (let n = 0; n < 3; n++) call(id, 'failure')
    expect(balancer.ids).toEqual(['x', 'y', 'z'])
    await clock.advance(5_000)
    const probes = [lease(), lease()]
    expect(probes.map((each) => each.endpoint.id)).toEqual(['a', 'b'])
    probes[1]?.report({ kind: 'success', latencyMs: 1 })
    expect(balancer.ids).toEqual(['b'])
  })

  it('views are the same objects, and the balancer is told when words change', () => {
    const { source, balancer, view } = bench({}, 'a', 'b')
    const before = [view('a'), view('b')]
    const { updates } = balancer
    source.list('a', at('b', { weight: 7 }))
    expect(balancer.updates).toBe(updates + 1)
    expect(balancer.views).toEqual(before)
    expect(view('b')).toBe(before[1])
    expect(view('b').weight).toBe(7)
  })
})

describe('a call that has tried all of the best tier', () => {
  const all = [
    at('a'),
    at('b'),
    at('s', { state: 'starting' }),
    at('d', { state: 'draining' }),
    at('far', { priority: 1 }),
    at('x', { state: 'down' }),
  ]

  it('is given the next tiers one by one, then those that it has tried; never one that is down', () => {
    const { lease } = bench({}, ...all)
    expect(lease(tried('a', 'b')).endpoint.id).toBe('s')
    expect(lease(tried('a', 'b', 's')).endpoint.id).toBe('d')
    expect(lease(tried('a', 'b', 's', 'd')).endpoint.id).toBe('far')
    for (let n = 0; n < 20; n++) expect(['a', 'b']).toContain(lease(tried('a', 'b', 's', 'd', 'far')).endpoint.id)
  })

  it('an ejected one that it has not tried comes after all others, also those tried that do not fail all the time', () => {
    const { lease, call } = bench({}, 'a', 'b', at('far', { priority: 1 }))
    for (let n = 0; n < 3; n++) call('a', 'failure')
    expect(lease(tried('b')).endpoint.id).toBe('far')
    expect(lease(tried('b', 'far')).endpoint.id).toBe('b')
    for (let n = 0; n < 3; n++) lease(tried('a', 'far')).report(bad)
    expect(lease(tried('b', 'far')).endpoint.id).toBe('far')
    for (let n = 0; n < 3; n++) lease(tried('a', 'b')).report(bad)
    expect(lease(tried('b', 'far')).endpoint.id).toBe('a')
    expect(lease(tried('a', 'b', 'far')).endpoint.id).toBe('b')
  })

  it('is not always given the same one: many calls fail at once', () => {
    const { lease } = bench({}, 'a', at('x', { priority: 1 }), at('y', { priority: 1 }), at('z', { priority: 1 }))
    const given = new Set(Array.from({ length: 50 }, () => lease(tried('a')).endpoint.id))
    expect(given).toEqual(new Set(['x', 'y', 'z']))
  })

  it('is given one that failed just now only where there is no other', () => {
    const { lease, source, call } = bench({ ejection: false }, 'x', 'y')
    call('x', 'failure')
    source.list('a', at('x', { priority: 1 }), at('y', { priority: 1 }))
    for (let n = 0; n < 20; n++) expect(lease(tried('a')).endpoint.id).toBe('y')
    expect(lease(tried('a', 'y')).endpoint.id).toBe('x')
  })
})
