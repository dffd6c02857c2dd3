import { describe, expect, it, vi } from 'vitest'
import type { Balancer, EndpointView, Lease } from '../../src/core/contracts/balancer.ts'
import type { Source } from '../../src/core/contracts/source.ts'
import { deadlineIn } from '../../src/core/deadline.ts'
import { createDiscovery } from '../../src/discovery/discovery.ts'
import { staticSource } from '../../src/discovery/static-source.ts'
import { fakeClock } from '../../src/testing/fake-clock.ts'
import { seededRandom } from '../../src/testing/seeded-random.ts'
import { at, bad, bench, ok, toldSource } from './support.ts'

const noEndpoint = (message: string, more: object = {}): unknown =>
  expect.objectContaining({
    code: 'NO_ENDPOINT',
    effect: 'none',
    service: 'stock',
    message: expect.stringContaining(message),
    ...more,
  })

describe('acquire', () => {
  it('is synchronous once there is a word, and a promise before; all that wait share one watch', async () => {
    const { source, resolver, clock } = bench()
    const waiting = [resolver.acquire(), resolver.acquire(), resolver.acquire()]
    for (const each of waiting) expect(each).toBeInstanceOf(Promise)
    expect(source.watching).toBe(1)
    source.list('a')
    for (const each of waiting) expect((await each).endpoint.id).toBe('a')
    expect(resolver.acquire()).not.toBeInstanceOf(Promise)
    expect(clock.pending).toBe(0)
  })

  it('waits for the first word no longer than the deadline of the call', async () => {
    const { source, resolver, clock } = bench()
    const failed = vi.fn()
    Promise.resolve(resolver.acquire({ deadline: deadlineIn(300, clock) })).catch(failed)
    source.tell({ type: 'error', error: new Error('registry down') })
    await clock.advance(299)
    expect(failed).not.toHaveBeenCalled()
    await clock.advance(1)
    expect(failed.mock.calls[0]?.[0]).toEqual(noEndpoint('failed the last time'))
    expect(failed.mock.calls[0]?.[0].cause).toMatchObject({ message: 'registry down' })
  })

  it('waits until startupMs after the beginning; later calls fail at once, ask again, and go through with the first word', async () => {
    const { source, resolver, clock } = bench({ startupMs: 700 })
    const failed = vi.fn()
    await clock.advance(300)
    Promise.resolve(resolver.acquire()).catch(failed)
    await clock.advance(399)
    expect(failed).not.toHaveBeenCalled()
    await clock.advance(1)
    expect(failed).toHaveBeenCalledOnce()
    for (let n = 0; n < 5; n++) expect(() => resolver.acquire()).toThrow(noEndpoint('has not answered yet'))
    expect(source.refreshes).toBe(1)
    source.list('a')
    expect((resolver.acquire() as Lease).endpoint.id).toBe('a')
    expect(clock.pending).toBe(0)
  })

  it('outlives a watch that throws', () => {
    const clock = fakeClock()
    const source: Source = {
      name: 'broken',
      watch: () => {
        throw new Error('no such registry')
      },
    }
    const resolver = createDiscovery({ source, clock, startupMs: 1 }).resolver('stock')
    const failed = vi.fn()
    Promise.resolve(resolver.acquire()).catch(failed)
    return clock.advance(1).then(() => {
      expect(failed.mock.calls[0]?.[0].cause).toMatchObject({ message: 'no such registry' })
    })
  })
})

describe('NO_ENDPOINT says why', () => {
  it('nobody is known', () => {
    const { source, resolver } = bench()
    source.tell({ type: 'absent' })
    expect(() => resolver.acquire()).toThrow(noEndpoint('no endpoint of stock: told knows none that may be called'))
  })

  it('all are down: they are never called, not even when the call has nowhere else to go', () => {
    const { resolver } = bench({}, at('a', { state: 'down' }), at('b', { state: 'down' }))
    expect(() => resolver.acquire()).toThrow(noEndpoint('all 2 that told knows are down'))
    expect(resolver.untried(new Set())).toBe(0)
  })

  it('what was known is too old, with the error of the source as its cause', async () => {
    const { source, resolver, clock } = bench({ maxStaleMs: 1_000 }, 'a')
    source.tell({ type: 'error', error: new Error('registry down') })
    await clock.advance(999)
    expect((resolver.acquire() as Lease).endpoint.id).toBe('a')
    await clock.advance(1)
    expect(() => resolver.acquire()).toThrow(noEndpoint('maxStaleMs (1000)'))
    expect(() => resolver.acquire()).toThrow(
      expect.objectContaining({ cause: expect.objectContaining({ message: 'registry down' }) }),
    )
  })
})

describe('updates', () => {
  it('keeps what it knows when the source fails, and empties it when the source says absent', () => {
    const { source, resolver } = bench({}, 'a')
    source.tell({ type: 'error', error: new Error('registry down') })
    expect((resolver.acquire() as Lease).endpoint.id).toBe('a')
    source.tell({ type: 'absent' })
    expect(() => resolver.acquire()).toThrow(noEndpoint('knows none'))
    source.list('b')
    expect((resolver.acquire() as Lease).endpoint.id).toBe('b')
  })

  it('keeps the figures of an endpoint by its id, whatever else is said of it now', () => {
    const { source, balancer, lease, view } = bench({}, 'a', 'b')
    const taken = lease()
    const before = view('a')
    source.list('b', at('a', { hostname: 'a.example.com', metadata: { version: '2' } }))
    expect(view('a')).toBe(before)
    expect(before).toMatchObject({ inFlight: 1, endpoint: { hostname: 'a.example.com' } })
    taken.report(ok)
    expect(before.inFlight).toBe(0)
    expect(balancer.ids).toEqual(['b', 'a'])
  })

  it('keeps the figures of one that comes back within 60 s, and not later', async () => {
    const { source, clock, call, view } = bench({}, 'a', 'b')
    call('a', 'success', { latencyMs: 123 })
    source.list('b')
    await clock.advance(59_999)
    source.list('a', 'b')
    expect(view('a').latencyMs).toBe(123)
    source.list('b')
    await clock.advance(60_000)
    source.list('a', 'b')
    expect(view('a').latencyMs).toBe(0)
  })

  it('an ejected one that leaves and comes back is still ejected, and is given its one call when its time is over', async () => {
    const { source, balancer, call, clock, lease } = bench({}, 'a', 'b')
    for (let n = 0; n < 3; n++) call('a', 'failure')
    expect(balancer.ids).toEqual(['b'])
    source.list('b')
    await clock.advance(5_000)
    expect(lease().endpoint.id).toBe('b')
    source.list('a', 'b')
    expect(balancer.ids).toEqual(['b'])
    expect([lease(), lease()].map((each) => each.endpoint.id)).toEqual(['a', 'b'])
  })

  it('takes ids as they are', () => {
    const { balancer, lease } = bench({}, '__proto__')
    expect(balancer.ids).toEqual(['__proto__'])
    expect(lease().endpoint.id).toBe('__proto__')
  })
})

describe('figures', () => {
  it('counts leases in flight, their age and their latency, live in the view', async () => {
    const { clock, lease, view } = bench({}, 'a')
    const first = lease()
    await clock.advance(100)
    const second = lease()
    await clock.advance(50)
    expect(view('a')).toMatchObject({
      inFlight: 2,
      oldestInFlightMs: 150,
      oldestSince: 1_000,
      latencyMs: 0,
      pickedAt: 1_100,
    })
    first.report({ kind: 'success', latencyMs: 150 })
    expect(view('a')).toMatchObject({ inFlight: 1, oldestInFlightMs: 50, latencyMs: 150 })
    second.report({ kind: 'success', latencyMs: 50 })
    expect(view('a')).toMatchObject({ inFlight: 0, oldestInFlightMs: 0, oldestSince: 0 })
  })

  it('a slower answer counts at once, quicker ones bit by bit: two thirds of the way in 10 s, however many they are', async () => {
    const { clock, call, view } = bench({}, 'a')
    call('a', 'success', { latencyMs: 100 })
    call('a', 'success', { latencyMs: 2_000 })
    expect(view('a').latencyMs).toBe(2_000)
    for (let n = 0; n < 100; n++) {
      await clock.advance(100)
      call('a', 'success', { latencyMs: 100 })
    }
    expect(view('a').latencyMs).toBeCloseTo(100 + 1_900 / Math.E, 6)
  })

  it('takes a report once', () => {
    const { lease, view } = bench({}, 'a')
    const taken = lease()
    taken.report(ok)
    taken.report(bad)
    taken.report(ok)
    expect(view('a')).toMatchObject({ inFlight: 0, suspect: false })
  })

  it.each(['failure', 'not-sent', 'overload', 'cancelled'] as const)(
    'takes a quick %s for no sign of speed',
    (kind) => {
      const { call, view } = bench({}, 'a')
      call('a', 'success', { latencyMs: 100 })
      call('a', kind, { latencyMs: 1 })
      expect(view('a').latencyMs).toBe(100)
    },
  )

  it('a call that was given up says how long the answer took at least', () => {
    const { call, view } = bench({}, 'a')
    call('a', 'success', { latencyMs: 100 })
    call('a', 'cancelled', { latencyMs: 700 })
    expect(view('a')).toMatchObject({ latencyMs: 700, suspect: false })
  })

  it('is not spoilt by a latency that is no number', () => {
    const { call, view } = bench({}, 'a')
    for (const latencyMs of [Number.NaN, -1, Infinity]) {
      call('a', 'success', { latencyMs })
      call('a', 'cancelled', { latencyMs })
    }
    expect(view('a').latencyMs).toBe(0)
  })
})

describe('suspect', () => {
  it('after a bad outcome, until a success', () => {
    const { call, view } = bench({ ejection: false }, 'a')
    for (const kind of ['failure', 'not-sent', 'overload'] as const) {
      call('a', kind)
      expect(view('a').suspect).toBe(true)
      call('a', 'cancelled')
      expect(view('a').suspect).toBe(true)
      call('a')
      expect(view('a').suspect).toBe(false)
    }
  })

  it('or for 2, 4, 8, 10 s as it goes on', async () => {
    const { clock, call, view } = bench({ ejection: false }, 'a')
    for (const ms of [2_000, 4_000, 8_000, 10_000, 10_000]) {
      call('a', 'failure')
      await clock.advance(ms - 1)
      expect(view('a').suspect).toBe(true)
      await clock.advance(1)
      expect(view('a').suspect).toBe(false)
    }
  })

  it('for as long as it asked for (Retry-After), whatever goes well meanwhile, but no longer than a minute', async () => {
    const { clock, call, view } = bench({}, 'a')
    call('a', 'overload', { retryAfterMs: 20_000 })
    call('a')
    await clock.advance(19_999)
    expect(view('a').suspect).toBe(true)
    await clock.advance(1)
    expect(view('a').suspect).toBe(false)
    call('a', 'overload', { retryAfterMs: 86_400_000 })
    await clock.advance(60_000)
    expect(view('a').suspect).toBe(false)
  })
})

describe('untried', () => {
  it('counts ready endpoints that the call has not tried', () => {
    const { resolver } = bench({}, 'a', 'b', at('c', { state: 'starting' }), at('d', { state: 'draining' }))
    expect(resolver.untried(new Set())).toBe(2)
    expect(resolver.untried(new Set(['a']))).toBe(1)
    expect(resolver.untried(new Set(['a', 'b', 'c', 'who']))).toBe(0)
  })

  it('is 0 and throws nothing once discovery or the resolver is closed: it is asked in timers and after failures', async () => {
    const { resolver, discovery } = bench({}, 'a', 'b')
    const other = discovery.resolver('stock')
    expect(other.untried(new Set())).toBe(2)
    await other.close()
    expect(other.untried(new Set())).toBe(0)
    const unused = discovery.resolver('unused')
    await discovery.close()
    expect(resolver.untried(new Set())).toBe(0)
    expect(unused.untried(new Set())).toBe(0)
  })

  it('does not count one that is ejected', () => {
    const { resolver, call } = bench({}, 'a', 'b', 'c')
    for (let n = 0; n < 3; n++) call('a', 'failure')
    expect(resolver.untried(new Set())).toBe(2)
    expect(resolver.untried(new Set(['a', 'b']))).toBe(1)
  })

  it('does not count one that failed just now, nor one that fails all the time, even if it only answers "too much"', async () => {
    const { resolver, call, clock, source } = bench({}, 'a', 'b')
    call('a', 'overload')
    expect(resolver.untried(new Set())).toBe(1)
    expect(resolver.untried(new Set(['a']))).toBe(1)
    expect(resolver.untried(new Set(['b']))).toBe(0)
    await clock.advance(2_000)
    expect(resolver.untried(new Set(['b']))).toBe(1)
    for (let n = 0; n < 2; n++) call('a', 'overload')
    await clock.advance(60_000)
    expect(resolver.untried(new Set(['b']))).toBe(0)
    source.list('b')
    expect(resolver.untried(new Set())).toBe(1)
    source.list('a', 'b')
    expect(resolver.untried(new Set())).toBe(1)
    call('a')
    expect(resolver.untried(new Set(['b']))).toBe(1)
  })
})

describe('the registry is asked again', () => {
  it('when a call finds nobody, once a second at most', async () => {
    const { source, resolver, clock } = bench()
    source.list()
    for (let n = 0; n < 5; n++) expect(() => resolver.acquire()).toThrow(noEndpoint('knows none'))
    expect(source.refreshes).toBe(1)
    await clock.advance(1_000)
    expect(() => resolver.acquire()).toThrow(noEndpoint('knows none'))
    expect(source.refreshes).toBe(2)
  })
})

describe('refresh', () => {
  it('is asked for when a call could not be sent, once a second at most', async () => {
    const { source, call, clock } = bench({ ejection: false }, 'a')
    for (const kind of ['failure', 'overload', 'cancelled', 'success'] as const) call('a', kind)
    expect(source.refreshes).toBe(0)
    for (let n = 0; n < 5; n++) call('a', 'not-sent')
    expect(source.refreshes).toBe(1)
    await clock.advance(999)
    call('a', 'not-sent')
    expect(source.refreshes).toBe(1)
    await clock.advance(1)
    call('a', 'not-sent')
    expect(source.refreshes).toBe(2)
  })

  it('is asked for when an endpoint is ejected', () => {
    const { source, call } = bench({}, 'a', 'b')
    for (let n = 0; n < 2; n++) call('a', 'failure')
    expect(source.refreshes).toBe(0)
    call('a', 'failure')
    expect(source.refreshes).toBe(1)
  })

  it('by hand goes to the source', () => {
    const { source, resolver } = bench({}, 'a')
    resolver.refresh()
    resolver.refresh()
    expect(source.refreshes).toBe(2)
  })
})

describe('a balancer of somebody else', () => {
  const withBalancer = (pick: (views: readonly EndpointView[]) => EndpointView | undefined) => {
    let all: EndpointView[] = []
    const factory = (): Balancer => ({
      update: (view) => {
        all = [...new Set([...all, ...view])]
      },
      pick: () => pick(all),
    })
    return bench({ balancer: factory }, 'a', 'b')
  }

  it('that gives one which is gone is not followed', () => {
    const { source, lease } = withBalancer((all) => all.find((each) => each.endpoint.id === 'a'))
    expect(lease().endpoint.id).toBe('a')
    source.list('b')
    expect(lease().endpoint.id).toBe('b')
  })

  it('that gives one of another service, or none of ours, is not followed', () => {
    const other = bench({}, 'x')
    const { lease } = withBalancer(() => other.view('x'))
    expect(['a', 'b']).toContain(lease().endpoint.id)
    const copied = withBalancer((all) => ({ ...(all[0] as EndpointView) }))
    expect(['a', 'b']).toContain(copied.lease().endpoint.id)
    expect(other.view('x').inFlight).toBe(0)
  })
})

describe('a call that has tried all that do well', () => {
  it('goes to one of those again before it goes to one that is ejected', () => {
    const { lease, call } = bench({}, 'a', 'b', 'c')
    for (let n = 0; n < 3; n++) call('a', 'failure')
    call('b', 'failure')
    for (let n = 0; n < 20; n++) {
      const again = lease({ avoid: new Set(['b', 'c']) })
      expect(again.endpoint.id).toBe('c')
      again.report({ kind: 'cancelled', latencyMs: 0 })
    }
  })

  it('but not where a tried one is of no use to it', () => {
    const { lease, call } = bench({}, 'a', 'b', 'c')
    for (let n = 0; n < 3; n++) call('a', 'failure')
    expect(lease({ avoid: new Set(['b', 'c']), onlyUntried: true }).endpoint.id).toBe('a')
  })

  it('and to the ejected one where the tried ones fail all the time', () => {
    const { lease, call } = bench({}, 'a', 'b')
    for (let n = 0; n < 3; n++) call('a', 'failure')
    for (let n = 0; n < 3; n++) call('b', 'failure')
    expect(lease({ avoid: new Set(['b']) }).endpoint.id).toBe('a')
  })
})

describe('a balancer that throws in update', () => {
  it('harms nobody else: that is told, and calls go to whoever is there', async () => {
    let broken = false
    const factory = (): Balancer => {
      let view: readonly EndpointView[] = []
      return {
        update(now) {
          if (broken) throw new Error('mine')
          view = now
        },
        pick: () => view[0],
      }
    }
    const { source, clock, resolver, events } = bench({ balancer: factory, debounceMs: 100 }, 'a')
    broken = true
    source.list('b')
    await clock.advance(100)
    expect((resolver.acquire() as Lease).endpoint.id).toBe('b')
    expect(events).toContainEqual({
      type: 'balancer-failed',
      service: 'stock',
      source: 'told',
      error: expect.objectContaining({ message: 'mine' }),
    })
  })

  it.each([undefined, {}, { update() {} }, { pick() {} }])('and what is no balancer is refused: %o', (made) => {
    const discovery = createDiscovery({ source: toldSource(), clock: fakeClock(), balancer: (() => made) as never })
    expect(() => discovery.resolver('stock').acquire()).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTIONS', message: expect.stringContaining('balancer') }),
    )
  })
})

describe('more names than anybody has', () => {
  it('keeps a bounded number of watches, and a resolver that was let go works on', async () => {
    let open = 0
    const counted: Source = {
      name: 'counted',
      watch(_service, sink) {
        open++
        sink({ type: 'snapshot', endpoints: [at('a')] })
        return { refresh() {}, close: async () => void open-- }
      },
    }
    const discovery = createDiscovery({ source: counted, maxServices: 100, random: seededRandom(1) })
    const kept = discovery.resolver('stock')
    const gone = vi.fn()
    kept.onRemoved?.(gone)
    const lease = kept.acquire() as Lease
    for (let n = 0; n < 20_000; n++) (discovery.resolver(`service-${n}`).acquire() as Lease).report(ok)
    await Promise.resolve()
    expect(open).toBeLessThanOrEqual(100)
    expect(gone).not.toHaveBeenCalled()
    lease.report(ok)
    expect(gone).toHaveBeenCalledOnce()
    expect((kept.acquire() as Lease).endpoint.id).toBe('a')
    await discovery.close()
    expect(open).toBe(0)
  }, 30_000)
})

describe('close', () => {
  it('ends watches and waiters, and refuses afterwards', async () => {
    const source = toldSource()
    const clock = fakeClock()
    const discovery = createDiscovery({ source, clock })
    const resolver = discovery.resolver('stock')
    const waiting = resolver.acquire()
    const closed = discovery.close()
    await expect(waiting).rejects.toMatchObject({ code: 'SHUTDOWN' })
    await closed
    expect(source.watching).toBe(0)
    expect(clock.pending).toBe(0)
    expect(() => resolver.acquire()).toThrow(expect.objectContaining({ code: 'SHUTDOWN' }))
    expect(() => discovery.resolver('stock')).toThrow(expect.objectContaining({ code: 'SHUTDOWN' }))
  })

  it('of one resolver leaves the others alone', async () => {
    const discovery = createDiscovery({ source: staticSource({ stock: ['h:1'] }) })
    const one = discovery.resolver('stock')
    const other = discovery.resolver('stock')
    const told = vi.fn()
    const otherTold = vi.fn()
    ;(one.acquire() as Lease).report(ok)
    one.onRemoved?.(told)
    other.onRemoved?.(otherTold)
    await one.close()
    expect(() => one.acquire()).toThrow(expect.objectContaining({ code: 'SHUTDOWN' }))
    const lease = other.acquire() as Lease
    expect(lease.endpoint.id).toBe('h:1')
    lease.report(ok)
    await discovery.close()
    expect(otherTold).toHaveBeenCalledOnce()
    expect(told).not.toHaveBeenCalled()
  })

  it('nothing that is reported afterwards does any harm', async () => {
    const { discovery, lease, events, clock } = bench({}, 'a', 'b')
    const leases = Array.from({ length: 12 }, () => lease())
    await discovery.close()
    for (const each of leases) each.report({ kind: 'not-sent', latencyMs: 1 })
    expect(events.filter((each) => each.type === 'endpoint-ejected')).toEqual([])
    expect(clock.pending).toBe(0)
  })
})
