import { describe, expect, it } from 'vitest'
import type { Lease } from '../../src/core/contracts/balancer.ts'
import { at, bad, bench, ok } from './support.ts'

const ids = ['a', 'b'] as const

describe('a call whose answer is there', () => {
  it('goes on counting as in flight and no longer as waiting', async () => {
    const { clock, lease, view } = bench({}, 'a')
    const stream = lease()
    await clock.advance(100)
    const other = lease()
    stream.answered?.(100)
    expect(view('a')).toMatchObject({ inFlight: 2, latencyMs: 100, oldestInFlightMs: 0, oldestSince: 1_100 })
    other.answered?.(0)
    await clock.advance(60_000)
    expect(view('a')).toMatchObject({ inFlight: 2, oldestInFlightMs: 0, oldestSince: 0 })
    other.report(ok)
    stream.report(ok)
    expect(view('a')).toMatchObject({ inFlight: 0, oldestInFlightMs: 0, oldestSince: 0 })
  })

  it('is measured once: neither the end of its stream nor an abort of it is the latency of the endpoint', async () => {
    const { clock, lease, view, call } = bench({}, 'a')
    const slow = lease()
    slow.answered?.(1_000)
    slow.answered?.(5_000)
    expect(view('a').latencyMs).toBe(1_000)
    await clock.advance(100_000)
    call('a', 'success', { latencyMs: 10 })
    const now = view('a').latencyMs
    expect(now).toBeLessThan(11)
    slow.report({ kind: 'success', latencyMs: 1_000 })
    expect(view('a').latencyMs).toBe(now)
    const stopped = lease()
    stopped.answered?.(10)
    stopped.report({ kind: 'cancelled', latencyMs: 600_000 })
    expect(view('a').latencyMs).toBe(now)
    await clock.advance(10_000)
    const long = lease()
    long.answered?.(2)
    long.report({ kind: 'success', latencyMs: 600_000 })
    expect(view('a').latencyMs).toBeLessThan(now)
    expect(view('a').latencyMs).toBeGreaterThan(2)
  })

  it('one that was given up soon is no sign of speed', () => {
    const { lease, view, call } = bench({}, 'a')
    call('a', 'success', { latencyMs: 100 })
    const abandoned = lease()
    abandoned.answered?.(1)
    expect(view('a').latencyMs).toBe(100)
    abandoned.report({ kind: 'failure', latencyMs: 1 })
    expect(view('a').latencyMs).toBe(100)
  })

  it('nothing is said after the report', () => {
    const { lease, view } = bench({}, 'a', 'b')
    const first = lease()
    const second = lease()
    first.report(ok)
    first.answered?.(9_000)
    expect(view('a')).toMatchObject({ inFlight: 1, oldestSince: 1_000, latencyMs: 5 })
    second.report(ok)
    expect(view('a').inFlight).toBe(0)
  })

  it('a long stream does not starve its endpoint under the default balancer', async () => {
    const { clock, resolver } = bench({ balancer: 'p2c-ewma' }, ...ids)
    const take = (): Lease => resolver.acquire() as Lease
    for (let n = 0; n < 40; n++) {
      const lease = take()
      await clock.advance(5)
      lease.report(ok)
    }
    const stream = take()
    stream.answered?.(5)
    await clock.advance(10_000)
    const calls = new Map<string, number>()
    for (let n = 0; n < 250; n++) {
      const leases = Array.from({ length: 8 }, take)
      await clock.advance(5)
      for (const lease of leases) {
        calls.set(lease.endpoint.id, (calls.get(lease.endpoint.id) ?? 0) + 1)
        lease.report(ok)
      }
    }
    expect(calls.get(stream.endpoint.id)).toBeGreaterThan(600)
  })
})

describe('an endpoint at another place under the same id', () => {
  const moved = at('a', { addresses: [{ host: '10.9.9.9', port: 80 }] })

  it('begins anew: neither its ejection nor its failures, latency and hung calls are those of the new place', async () => {
    const { source, balancer, call, lease, view, clock, resolver, discovery } = bench({}, 'a', 'b')
    const before = view('a')
    const hung = [lease(), lease()]
    for (let n = 0; n < 3; n++) call('a', 'failure', { latencyMs: 2_000 })
    expect(balancer.ids).toEqual(['b'])
    await clock.advance(1_000)
    source.list(moved, 'b')
    expect(balancer.ids).toEqual(['a', 'b'])
    expect(view('a')).toBe(before)
    expect(view('a')).toMatchObject({ inFlight: 0, latencyMs: 0, oldestSince: 0, suspect: false, ejected: false })
    expect(resolver.untried(new Set(['b']))).toBe(1)
    expect(discovery.inspect('stock')?.endpoints[0]).toMatchObject({ ejections: 0, failed: 0 })
    const fresh = lease()
    for (const each of hung) each.report({ kind: 'failure', latencyMs: 60_000 })
    expect(view('a')).toMatchObject({ inFlight: 1, latencyMs: 0, oldestSince: 2_000, suspect: false })
    fresh.report(ok)
    expect(view('a').inFlight).toBe(0)
    // And its backoff: the next ejection is as short as a first one, and nobody probes the one that is not ejected.
    for (let n = 0; n < 3; n++) call('a', 'failure')
    expect(discovery.inspect('stock')?.endpoints[0]).toMatchObject({ ejected: true, ejections: 1 })
  })

  it('keeps its figures where one of its addresses only comes first now', () => {
    const [one, two] = [
      { host: '10.0.0.1', port: 80 },
      { host: 'fd00::1', port: 80 },
    ]
    const { source, call, view } = bench({}, at('a', { addresses: [one, two] }), 'b')
    for (let n = 0; n < 3; n++) call('a', 'failure')
    source.list(at('a', { addresses: [two, one] }), 'b')
    expect(view('a').ejected).toBe(true)
  })

  it('is told of only after the calls to its former place are over as well', () => {
    const { source, resolver, lease } = bench({}, 'a', 'b')
    const told: string[] = []
    resolver.onRemoved?.((endpoint) => void told.push(endpoint.id))
    const before = lease()
    source.list(moved, 'b')
    source.list('b')
    expect(told).toEqual([])
    before.report(bad)
    expect(told).toEqual(['a'])
  })

  it('also when it was away meanwhile', () => {
    const { source, balancer, call } = bench({}, 'a', 'b')
    for (let n = 0; n < 3; n++) call('a', 'failure')
    source.list('b')
    source.list(moved, 'b')
    expect(balancer.ids).toEqual(['a', 'b'])
  })
})
