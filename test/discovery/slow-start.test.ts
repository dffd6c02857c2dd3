import { describe, expect, it } from 'vitest'
import { at, bench } from './support.ts'

describe('slow start', () => {
  it('is off: a new endpoint gets its whole weight at once', () => {
    const { source, view } = bench({}, 'a')
    source.list('a', 'b')
    expect(view('b').weight).toBe(1)
  })

  it('a new endpoint rises from a tenth to its whole weight; those of the first word are not new', async () => {
    const { source, view, clock, lease, balancer } = bench({ slowStartMs: 20_000 }, 'a')
    source.list('a', at('b', { weight: 4 }))
    expect([view('a').weight, view('b').weight]).toEqual([1, 0.4])
    const seen: number[] = []
    for (let n = 0; n < 20; n++) {
      await clock.advance(1_000)
      const { updates } = balancer
      lease()
      lease()
      expect(balancer.updates).toBe(updates + 1)
      seen.push(view('b').weight)
    }
    expect(seen.slice(0, 3)).toEqual([0.4, 0.4, 0.6])
    expect(seen[9]).toBe(2)
    expect(seen[19]).toBe(4)
    const { updates } = balancer
    await clock.advance(60_000)
    lease()
    expect(balancer.updates).toBe(updates)
    expect(clock.pending).toBe(0)
  })

  it('begins when it is ready, and goes on over updates of its weight', async () => {
    const { source, view, clock, lease } = bench({ slowStartMs: 20_000 }, 'a')
    source.list('a', at('b', { state: 'starting' }))
    await clock.advance(60_000)
    source.list('a', 'b')
    expect(view('b').weight).toBeCloseTo(0.1)
    await clock.advance(10_000)
    source.list('a', at('b', { weight: 10 }))
    expect(view('b').weight).toBeCloseTo(5)
    await clock.advance(10_000)
    lease()
    expect(view('b').weight).toBe(10)
  })

  it('one that was away for a moment is not new', () => {
    const { source, view } = bench({ slowStartMs: 20_000 }, 'a', 'b')
    source.list('a')
    source.list('a', 'b')
    expect(view('b').weight).toBe(1)
  })
})
