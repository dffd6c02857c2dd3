import { describe, expect, it } from 'vitest'
import type { Resolver } from '../../src/core/contracts/balancer.ts'
import { at, bench, ok } from './support.ts'

const listen = (resolver: Resolver): { readonly told: string[]; readonly stop: () => void } => {
  const told: string[] = []
  const stop = resolver.onRemoved?.((endpoint) => void told.push(endpoint.id)) as () => void
  return { told, stop }
}

describe('an endpoint that the registry does not name any more', () => {
  it('gets no call from then on, also where the call has nowhere else to go', () => {
    const { source, lease, resolver } = bench({}, 'a', 'b')
    source.list('b')
    for (let n = 0; n < 20; n++) expect(lease({ avoid: new Set(['b']) }).endpoint.id).toBe('b')
    expect(resolver.untried(new Set(['b']))).toBe(0)
  })

  it('is told of at once with no call in flight, when nobody is sent there any more', () => {
    const { source, resolver, balancer } = bench({}, 'a', 'b')
    const seen: (readonly string[])[] = []
    resolver.onRemoved?.(() => void seen.push(balancer.ids))
    source.list('b')
    expect(seen).toEqual([['b']])
  })

  it('is told of after its last call, once', async () => {
    const { source, resolver, lease, clock } = bench({}, 'a', 'b')
    const { told } = listen(resolver)
    const leases = [lease(), lease()]
    source.list('b')
    expect(clock.pending).toBe(1)
    leases[0]?.report(ok)
    expect(told).toEqual([])
    leases[1]?.report(ok)
    expect(told).toEqual(['a'])
    expect(clock.pending).toBe(0)
    await clock.advance(100_000)
    expect(told).toEqual(['a'])
  })

  it('is told of after drainMs at the latest, each at its own time, by one timer', async () => {
    const { source, resolver, lease, clock } = bench({ drainMs: 10_000 }, 'a', 'b', 'c')
    const { told } = listen(resolver)
    const late = lease()
    source.list('b', 'c')
    await clock.advance(4_000)
    lease()
    source.list('c')
    expect(clock.pending).toBe(1)
    await clock.advance(5_999)
    expect(told).toEqual([])
    await clock.advance(1)
    expect(told).toEqual(['a'])
    await clock.advance(4_000)
    expect(told).toEqual(['a', 'b'])
    late.report(ok)
    expect(told).toEqual(['a', 'b'])
    expect(clock.pending).toBe(0)
  })

  it('is not told of when it comes back in time, and goes on with its figures', async () => {
    const { source, resolver, lease, clock, view } = bench({}, 'a', 'b')
    const { told } = listen(resolver)
    const taken = lease()
    source.list('b')
    await clock.advance(29_999)
    source.list('a', 'b')
    expect(clock.pending).toBe(0)
    expect(view('a').inFlight).toBe(1)
    taken.report(ok)
    await clock.advance(100_000)
    expect(told).toEqual([])
  })

  it('is never told of twice for one leave, nor mixed up with a later one of the same id', async () => {
    const { source, resolver, lease, clock, view } = bench({ drainMs: 300_000 }, 'a', 'b')
    const { told } = listen(resolver)
    const taken = lease()
    source.list('b')
    await clock.advance(200_000)
    // Still drained, so still the same: a new state would have its pool closed by the old one's last call.
    source.list('a', 'b')
    expect(view('a').inFlight).toBe(1)
    taken.report(ok)
    expect(told).toEqual([])
  })

  it('an ejected one that is only ejected is not told of', () => {
    const { resolver, call } = bench({}, 'a', 'b')
    const { told } = listen(resolver)
    for (let n = 0; n < 3; n++) call('a', 'failure')
    expect(told).toEqual([])
  })
})

describe('listeners', () => {
  it('each is told; one that throws does not keep the others from it; one that stopped is not', () => {
    const { source, resolver } = bench({}, 'a', 'b')
    resolver.onRemoved?.(() => {
      throw new Error('broken')
    })
    const one = listen(resolver)
    const other = listen(resolver)
    one.stop()
    source.list('b')
    expect([one.told, other.told]).toEqual([[], ['a']])
  })

  it('without one there is no timer', () => {
    const { source, resolver, lease, clock } = bench({}, 'a', 'b')
    lease()
    source.list('b')
    expect(clock.pending).toBe(0)
    const { stop } = listen(resolver)
    expect(clock.pending).toBe(1)
    stop()
    expect(clock.pending).toBe(0)
  })

  it('listening alone starts no watch', () => {
    const { discovery, source } = bench()
    const before = source.watching
    listen(discovery.resolver('other'))
    expect(source.watching).toBe(before)
    expect(discovery.inspect('other')).toBeUndefined()
  })
})

describe('close', () => {
  it('tells of all that are there, of those with calls in flight after the last one, and leaves no timer', async () => {
    const { discovery, source, resolver, lease, clock } = bench({}, 'a', 'b', 'c')
    const { told } = listen(resolver)
    const gone = lease()
    source.list('b', 'c')
    const taken = lease()
    await discovery.close()
    expect(told).toEqual(['c'])
    expect(clock.pending).toBe(0)
    taken.report(ok)
    gone.report(ok)
    expect(told).toEqual(['c', 'b', 'a'])
  })
})

describe('what is remembered', () => {
  it('is bounded, however many ids come and go within a minute', async () => {
    const { source, view } = bench()
    source.list(at('first'), at('keep'))
    const first = view('first')
    for (let n = 0; n < 1_200; n++) source.list(at('keep'), at(`pod-${n}`))
    source.list(at('keep'), at('first'))
    expect(view('first')).not.toBe(first)
    const last = view('first')
    source.list(at('keep'))
    source.list(at('keep'), at('first'))
    expect(view('first')).toBe(last)
  })

  it('keeps those with calls in flight all the same: one of them is known as the same, and not told of', () => {
    const { source, resolver, lease, view } = bench({}, 'x')
    const first = view('x')
    const { told } = listen(resolver)
    const taken = lease()
    source.list('y')
    source.list(...Array.from({ length: 1_500 }, (_, n) => `n${n}`))
    source.list('z')
    source.list('x')
    expect(view('x')).toBe(first)
    taken.report(ok)
    expect(told).not.toContain('x')
  })
})
