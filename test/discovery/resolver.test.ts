import { describe, expect, it, vi } from 'vitest'
import type { Balancer, EndpointView, Lease } from '../../src/core/contracts/balancer.ts'
import type { Endpoint, Source, SourceUpdate } from '../../src/core/contracts/source.ts'
import { deadlineIn } from '../../src/core/deadline.ts'
import { createDiscovery } from '../../src/discovery/discovery.ts'
import { staticSource } from '../../src/discovery/static-source.ts'
import { fakeClock } from '../../src/testing/fake-clock.ts'
import { seededRandom } from '../../src/testing/seeded-random.ts'

const at = (id: string, more: Partial<Endpoint> = {}): Endpoint => ({
  id,
  addresses: [{ host: '127.0.0.1', port: 1 }],
  ...more,
})

/** A source that says what the test says. */
function toldSource(): Source & { tell(update: SourceUpdate): void; readonly watching: number; refreshes: number } {
  const sinks = new Set<(update: SourceUpdate) => void>()
  const self = {
    name: 'told',
    refreshes: 0,
    watch(_service: string, sink: (update: SourceUpdate) => void) {
      sinks.add(sink)
      return {
        refresh: () => void self.refreshes++,
        close: async () => void sinks.delete(sink),
      }
    },
    tell: (update: SourceUpdate) => {
      for (const sink of sinks) sink(update)
    },
    get watching() {
      return sinks.size
    },
  }
  return self
}

function seeing(): { readonly factory: () => Balancer; views: readonly EndpointView[] } {
  const self = {
    views: [] as readonly EndpointView[],
    factory: (): Balancer => ({
      update: (view) => {
        self.views = view
      },
      pick: ({ avoid }) => self.views.find((each) => !avoid?.has(each.endpoint.id)),
    }),
  }
  return self
}

const ok = { kind: 'success', latencyMs: 5 } as const
const bad = { kind: 'failure', latencyMs: 5 } as const

describe('acquire', () => {
  it('is synchronous once there is a snapshot, and a promise before', async () => {
    const source = toldSource()
    const clock = fakeClock()
    const resolver = createDiscovery({ source, clock }).resolver('stock')
    const first = resolver.acquire()
    expect(first).toBeInstanceOf(Promise)
    source.tell({ type: 'snapshot', endpoints: [at('a')] })
    expect((await first).endpoint.id).toBe('a')
    expect(resolver.acquire()).not.toBeInstanceOf(Promise)
    expect(clock.pending).toBe(0)
  })

  it('waits for the first snapshot no longer than the deadline of the call', async () => {
    const clock = fakeClock()
    const source = toldSource()
    const resolver = createDiscovery({ source, clock }).resolver('stock')
    const failed = vi.fn()
    Promise.resolve(resolver.acquire({ deadline: deadlineIn(300, clock) })).catch(failed)
    source.tell({ type: 'error', error: new Error('registry down') })
    await clock.advance(299)
    expect(failed).not.toHaveBeenCalled()
    await clock.advance(1)
    expect(failed.mock.calls[0]?.[0]).toMatchObject({
      code: 'NO_ENDPOINT',
      effect: 'none',
      service: 'stock',
      cause: { message: 'registry down' },
    })
  })

  it('waits no longer than startupMs without a deadline', async () => {
    const clock = fakeClock()
    const resolver = createDiscovery({ source: toldSource(), clock, startupMs: 700 }).resolver('stock')
    const failed = vi.fn()
    Promise.resolve(resolver.acquire()).catch(failed)
    await clock.advance(700)
    expect(failed).toHaveBeenCalledOnce()
  })

  it('says NO_ENDPOINT at once for a service that the source does not know', () => {
    const resolver = createDiscovery({ source: staticSource({}) }).resolver('nobody')
    expect(() => resolver.acquire()).toThrow(expect.objectContaining({ code: 'NO_ENDPOINT' }))
  })

  it('outlives a watch that throws', async () => {
    const clock = fakeClock()
    const source: Source = {
      name: 'broken',
      watch: () => {
        throw new Error('no such registry')
      },
    }
    const resolver = createDiscovery({ source, clock }).resolver('stock')
    const failed = vi.fn()
    Promise.resolve(resolver.acquire()).catch(failed)
    await clock.advance(5_000)
    expect(failed.mock.calls[0]?.[0]).toMatchObject({ code: 'NO_ENDPOINT', cause: { message: 'no such registry' } })
  })
})

describe('updates', () => {
  it('keeps what it knows when the source fails, and empties it when the source says absent', () => {
    const source = toldSource()
    const resolver = createDiscovery({ source }).resolver('stock')
    resolver.untried(new Set())
    source.tell({ type: 'snapshot', endpoints: [at('a')] })
    source.tell({ type: 'error', error: new Error('registry down') })
    expect((resolver.acquire() as Lease).endpoint.id).toBe('a')
    source.tell({ type: 'absent' })
    expect(() => resolver.acquire()).toThrow(expect.objectContaining({ code: 'NO_ENDPOINT' }))
    source.tell({ type: 'snapshot', endpoints: [at('b')] })
    expect((resolver.acquire() as Lease).endpoint.id).toBe('b')
  })

  it('keeps the figures of an endpoint over a refresh', () => {
    const source = toldSource()
    const balancer = seeing()
    const resolver = createDiscovery({ source, balancer: balancer.factory }).resolver('stock')
    resolver.refresh()
    source.tell({ type: 'snapshot', endpoints: [at('a'), at('b')] })
    const lease = resolver.acquire() as Lease
    source.tell({ type: 'snapshot', endpoints: [at('b'), at('a', { zone: 'new' })] })
    const view = balancer.views.find((each) => each.endpoint.id === 'a')
    expect(view).toMatchObject({ inFlight: 1, endpoint: { zone: 'new' } })
    lease.report(ok)
    expect(view?.inFlight).toBe(0)
  })

  it('ignores endpoints without an address and ids that come twice', () => {
    const source = toldSource()
    const balancer = seeing()
    const resolver = createDiscovery({ source, balancer: balancer.factory }).resolver('stock')
    resolver.refresh()
    source.tell({ type: 'snapshot', endpoints: [at('a'), at('a'), at('b', { addresses: [] }), at('__proto__')] })
    expect(balancer.views.map((each) => each.endpoint.id)).toEqual(['a', '__proto__'])
    expect(source.refreshes).toBe(1)
  })
})

describe('figures', () => {
  it('counts leases in flight, their age and their latency, live in the view', async () => {
    const clock = fakeClock({ now: 1_000 })
    const balancer = seeing()
    const resolver = createDiscovery({
      source: staticSource({ stock: ['h:1'] }),
      balancer: balancer.factory,
      clock,
    }).resolver('stock')
    const first = resolver.acquire() as Lease
    const [view] = balancer.views
    await clock.advance(100)
    const second = resolver.acquire() as Lease
    await clock.advance(50)
    expect(view).toMatchObject({ inFlight: 2, oldestInFlightMs: 150, latencyMs: 0 })
    first.report({ kind: 'success', latencyMs: 150 })
    expect(view).toMatchObject({ inFlight: 1, oldestInFlightMs: 50, latencyMs: 150 })
    second.report({ kind: 'success', latencyMs: 50 })
    expect(view?.inFlight).toBe(0)
    expect(view?.oldestInFlightMs).toBe(0)
    expect(view?.latencyMs).toBeLessThan(150)
  })

  it('takes a report once', () => {
    const balancer = seeing()
    const resolver = createDiscovery({ source: staticSource({ stock: ['h:1'] }), balancer: balancer.factory }).resolver(
      'stock',
    )
    const lease = resolver.acquire() as Lease
    lease.report(ok)
    lease.report(bad)
    lease.report(ok)
    expect(balancer.views[0]?.inFlight).toBe(0)
  })

  it('takes a quick failure for no sign of speed', () => {
    const balancer = seeing()
    const clock = fakeClock({ now: 1 })
    const resolver = createDiscovery({
      source: staticSource({ stock: ['h:1'] }),
      balancer: balancer.factory,
      clock,
    }).resolver('stock')
    ;(resolver.acquire() as Lease).report({ kind: 'success', latencyMs: 100 })
    ;(resolver.acquire() as Lease).report({ kind: 'not-sent', latencyMs: 1 })
    expect(balancer.views[0]?.latencyMs).toBe(100)
  })
})

describe('untried', () => {
  it('counts ready endpoints that the call has not tried', () => {
    const source = staticSource({
      stock: [at('a'), at('b'), at('c', { state: 'starting' }), at('d', { state: 'draining' })],
    })
    const resolver = createDiscovery({ source }).resolver('stock')
    expect(resolver.untried(new Set())).toBe(2)
    expect(resolver.untried(new Set(['a']))).toBe(1)
    expect(resolver.untried(new Set(['a', 'b']))).toBe(0)
  })

  it('does not count an endpoint that fails all the time, even one that only answers "too much"', () => {
    const balancer = seeing()
    const resolver = createDiscovery({
      source: staticSource({ stock: [at('a'), at('b')] }),
      balancer: balancer.factory,
    }).resolver('stock')
    for (let n = 0; n < 3; n++) (resolver.acquire() as Lease).report({ kind: 'overload', latencyMs: 1 })
    expect(balancer.views[0]?.ejected).toBe(false)
    expect(resolver.untried(new Set(['b']))).toBe(0)
    ;(resolver.acquire() as Lease).report(ok)
    expect(resolver.untried(new Set(['b']))).toBe(1)
  })
})

describe('ejection', () => {
  const failing = (
    resolver: { acquire(context?: { avoid?: ReadonlySet<string> }): unknown },
    avoid: readonly string[],
    times: number,
  ): void => {
    for (let n = 0; n < times; n++) (resolver.acquire({ avoid: new Set(avoid) }) as Lease).report(bad)
  }

  it('leaves an endpoint out after three failures in a row, longer each time, and takes it back', async () => {
    const clock = fakeClock()
    const balancer = seeing()
    const resolver = createDiscovery({
      source: staticSource({ stock: [at('a'), at('b')] }),
      balancer: balancer.factory,
      clock,
    }).resolver('stock')
    failing(resolver, ['b'], 2)
    expect(balancer.views[0]?.ejected).toBe(false)
    failing(resolver, ['b'], 1)
    expect(balancer.views[0]?.ejected).toBe(true)
    expect(resolver.untried(new Set())).toBe(1)
    await clock.advance(5_000)
    expect(balancer.views[0]?.ejected).toBe(false)
    failing(resolver, ['b'], 1)
    expect(balancer.views[0]?.ejected).toBe(true)
    await clock.advance(5_000)
    expect(balancer.views[0]?.ejected).toBe(true)
    await clock.advance(5_000)
    expect(balancer.views[0]?.ejected).toBe(false)
    ;(resolver.acquire({ avoid: new Set(['b']) }) as Lease).report(ok)
    failing(resolver, ['b'], 2)
    expect(balancer.views[0]?.ejected).toBe(false)
  })

  it('never leaves out more than half, nor the only one', () => {
    const balancer = seeing()
    const discovery = createDiscovery({
      source: staticSource({ one: [at('a')], two: [at('a'), at('b')] }),
      balancer: balancer.factory,
    })
    failing(discovery.resolver('one'), [], 10)
    expect(balancer.views.filter((each) => each.ejected)).toHaveLength(0)
    const two = discovery.resolver('two')
    failing(two, ['b'], 10)
    failing(two, ['a'], 10)
    expect(balancer.views.filter((each) => each.ejected)).toHaveLength(1)
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
    const lease = kept.acquire() as Lease
    for (let n = 0; n < 50_000; n++) discovery.resolver(`service-${n}`).untried(new Set())
    await Promise.resolve()
    expect(open).toBeLessThanOrEqual(100)
    lease.report(ok)
    expect((kept.acquire() as Lease).endpoint.id).toBe('a')
  }, 30_000)
})

describe('close', () => {
  it('ends watches and waiters, and refuses afterwards', async () => {
    const source = toldSource()
    const discovery = createDiscovery({ source, clock: fakeClock() })
    const resolver = discovery.resolver('stock')
    const waiting = resolver.acquire()
    const closed = discovery.close()
    await expect(waiting).rejects.toMatchObject({ code: 'SHUTDOWN' })
    await closed
    expect(source.watching).toBe(0)
    expect(() => resolver.acquire()).toThrow(expect.objectContaining({ code: 'SHUTDOWN' }))
    expect(() => discovery.resolver('stock')).toThrow(expect.objectContaining({ code: 'SHUTDOWN' }))
  })

  it('of one resolver leaves the others alone', async () => {
    const discovery = createDiscovery({ source: staticSource({ stock: ['h:1'] }) })
    const one = discovery.resolver('stock')
    const other = discovery.resolver('stock')
    await one.close()
    expect(() => one.acquire()).toThrow(expect.objectContaining({ code: 'SHUTDOWN' }))
    expect((other.acquire() as Lease).endpoint.id).toBe('h:1')
  })
})

describe('options', () => {
  it.each([
    [{ source: undefined }, 'source'],
    [{ source: staticSource({}), balancer: 'fastest' }, 'balancer'],
    [{ source: staticSource({}), startupMs: Number.NaN }, 'startupMs'],
    [{ source: staticSource({}), maxServices: 0 }, 'maxServices'],
    [{ source: staticSource({}), sauce: 1 }, 'sauce'],
  ])('names the one that makes no sense: %#', (options, name) => {
    expect(() => createDiscovery(options as never)).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTIONS', message: expect.stringContaining(name) }),
    )
  })
})
