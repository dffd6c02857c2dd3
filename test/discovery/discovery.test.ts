import { channel } from 'node:diagnostics_channel'
import { describe, expect, it, vi } from 'vitest'
import type { Lease } from '../../src/core/contracts/balancer.ts'
import type { Source } from '../../src/core/contracts/source.ts'
import { describe as describeIt } from '../../src/core/describe.ts'
import { createDiscovery, type DiscoveryOptions } from '../../src/discovery/discovery.ts'
import { staticSource } from '../../src/discovery/static-source.ts'
import { fakeClock } from '../../src/testing/fake-clock.ts'
import { at, bench, toldSource } from './support.ts'

describe('startup', () => {
  it("'lazy', the default: nothing is asked until a call needs it", async () => {
    const source = toldSource()
    const discovery = createDiscovery({ source })
    await discovery.ready()
    const resolver = discovery.resolver('stock')
    expect(source.watching).toBe(0)
    const waiting = resolver.acquire()
    expect(source.watching).toBe(1)
    source.list('a')
    await waiting
    await discovery.close()
  })

  it("'wait': the services are watched from the beginning, and ready() settles with the first word of each", async () => {
    const clock = fakeClock()
    const source = toldSource()
    const discovery = createDiscovery({ source, clock, startup: 'wait', services: ['stock', 'orders', 'stock'] })
    expect(source.watching).toBe(2)
    const ready = vi.fn()
    discovery.ready().then(ready)
    source.tell({ type: 'error', error: new Error('not yet') })
    await clock.advance(4_000)
    expect(ready).not.toHaveBeenCalled()
    source.tell({ type: 'absent' })
    await clock.advance(0)
    expect(ready).toHaveBeenCalledOnce()
    await discovery.ready()
    expect(clock.pending).toBe(0)
    await discovery.close()
  })

  it("'wait': rejects after startupMs, with what the source said, and again for whoever asks later", async () => {
    const clock = fakeClock()
    const source = toldSource()
    const discovery = createDiscovery({ source, clock, startup: 'wait', services: ['stock'], startupMs: 800 })
    const failed = vi.fn()
    discovery.ready().catch(failed)
    source.tell({ type: 'error', error: new Error('registry down') })
    await clock.advance(799)
    expect(failed).not.toHaveBeenCalled()
    await clock.advance(1)
    expect(failed.mock.calls[0]?.[0]).toMatchObject({ code: 'NO_ENDPOINT', cause: { message: 'registry down' } })
    discovery.ready().catch(failed)
    await clock.advance(0)
    expect(failed).toHaveBeenCalledTimes(2)
    source.list('a')
    await discovery.ready()
    await discovery.close()
  })
})

describe('options', () => {
  const source = staticSource({})
  it.each<[unknown, string]>([
    [{ source: undefined }, 'source'],
    [{ source, balancer: 'fastest' }, 'balancer'],
    [{ source, balancer: 'toString' }, 'balancer'],
    [{ source, startupMs: Number.NaN }, 'startupMs'],
    [{ source, maxServices: 0 }, 'maxServices'],
    [{ source, sauce: 1 }, 'sauce'],
    [{ source, onEvent: 1 }, 'onEvent'],
    [{ source, startup: 'eager' }, 'startup'],
    [{ source, startup: 'wait' }, 'services'],
    [{ source, startup: 'wait', services: [] }, 'services'],
    [{ source, services: 'stock' }, 'services'],
    [{ source, services: ['stock'] }, 'services'],
    [{ source, startup: 'lazy', services: ['stock'] }, 'services'],
    [{ source, startup: 'wait', services: ['stock', 'x'.repeat(256)] }, 'services'],
    [{ source, startup: 'wait', services: ['a', 'b'], maxServices: 1 }, 'maxServices'],
    [{ source, slowStartMs: 0 }, 'slowStartMs'],
    [{ source, drainMs: -1 }, 'drainMs'],
    [{ source, debounceMs: -1 }, 'debounceMs'],
    [{ source, ejection: true }, 'ejection'],
    [{ source, ejection: { consecutive: 0 } }, 'ejection.consecutive'],
    [{ source, ejection: { successRate: 80 } }, 'ejection.successRate'],
    [{ source, ejection: { maxShare: -1 } }, 'ejection.maxShare'],
    [{ source, ejection: { baseMs: 10_000, maxMs: 5_000 } }, 'ejection.maxMs'],
    [{ source, ejection: { times: 3 } }, 'ejection.times'],
  ])('names the one that makes no sense: %#', (options, name) => {
    expect(() => createDiscovery(options as DiscoveryOptions)).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTIONS', message: expect.stringContaining(name) }),
    )
  })

  it.each(['p2c-ewma', 'round-robin', 'random', 'least-request'] as const)(
    'takes the balancer by name: %s',
    (balancer) => {
      const discovery = createDiscovery({ source: staticSource({ stock: ['h:1'] }), balancer })
      expect((discovery.resolver('stock').acquire() as Lease).endpoint.id).toBe('h:1')
    },
  )
})

describe('the name of a service', () => {
  it.each([undefined, null, 1, '', 'a\nb', 'a\u0000', 'x'.repeat(256), {}])('cannot be %j', (service) => {
    const source = toldSource()
    const discovery = createDiscovery({ source, clock: fakeClock() })
    expect(() => discovery.resolver(service as string)).toThrow(expect.objectContaining({ code: 'INVALID_OPTIONS' }))
    expect(source.watching).toBe(0)
  })

  it.each(['x'.repeat(255), 'Größe ß', '__proto__'])('can be %j', (service) => {
    const discovery = createDiscovery({ source: toldSource(), clock: fakeClock() })
    expect(discovery.resolver(service).service).toBe(service)
  })
})

describe('describe', () => {
  it('says which options hold, and which services are watched', async () => {
    const { discovery } = bench({ balancer: 'p2c', massLoss: false, ejection: { consecutive: 5 } }, 'a')
    expect(describeIt(discovery)).toEqual({
      layer: 'discovery',
      options: {
        source: 'told',
        balancer: 'p2c',
        startup: 'lazy',
        startupMs: 5_000,
        ejection: {
          consecutive: 5,
          successRate: 0.8,
          windowMs: 30_000,
          minRequests: 10,
          baseMs: 5_000,
          maxMs: 300_000,
          calmMs: 30_000,
          maxShare: 0.5,
          panicBelow: 0.5,
        },
        slowStartMs: undefined,
        drainMs: 30_000,
        debounceMs: 0,
        maxStaleMs: undefined,
        massLoss: false,
        maxEndpoints: 10_000,
        port: undefined,
        maxServices: 1_000,
      },
      state: { services: ['stock'] },
    })
    await discovery.close()
    expect(describeIt(discovery)).toMatchObject({ state: { services: [] } })
  })
})

describe('inspect', () => {
  it('gives the figures of a service that is watched, and starts no watch', async () => {
    const { discovery, source, clock, call, lease } = bench({}, 'a', 'b', at('c', { state: 'draining' }))
    expect(discovery.inspect('orders')).toBeUndefined()
    expect(source.watching).toBe(1)
    for (let n = 0; n < 3; n++) call('a', 'failure', { latencyMs: 40 })
    call('b', 'success', { latencyMs: 10 })
    call('b', 'failure', { latencyMs: 1 })
    lease({ avoid: new Set(['a', 'c']) })
    await clock.advance(500)
    const figures = discovery.inspect('stock')
    expect(figures).toMatchObject({
      service: 'stock',
      source: 'told',
      known: true,
      ageMs: 500,
      panic: false,
      waiting: 0,
    })
    expect(figures).not.toHaveProperty('error')
    expect(figures?.endpoints).toEqual([
      {
        endpoint: at('a'),
        state: 'ready',
        inUse: false,
        inFlight: 0,
        latencyMs: 40,
        oldestInFlightMs: 0,
        weight: 1,
        suspect: true,
        ejected: true,
        ejectedForMs: expect.any(Number),
        ejections: 1,
        succeeded: 0,
        failed: 0,
      },
      {
        endpoint: at('b'),
        state: 'ready',
        inUse: true,
        inFlight: 1,
        latencyMs: 10,
        oldestInFlightMs: 500,
        weight: 1,
        suspect: true,
        ejected: false,
        ejections: 0,
        succeeded: 1,
        failed: 1,
      },
      expect.objectContaining({ endpoint: at('c', { state: 'draining' }), state: 'draining', inUse: false }),
    ])
    await clock.advance(10_000)
    expect(discovery.inspect('stock')?.endpoints[0]?.ejectedForMs).toBe(0)
  })

  it('says how long the source has been failing, and with what; and who waits', async () => {
    const { discovery, source, clock, resolver } = bench()
    const waiting = resolver.acquire()
    expect(discovery.inspect('stock')).toMatchObject({ known: false, waiting: 1, endpoints: [] })
    source.list('a')
    await waiting
    await clock.advance(1_000)
    source.tell({ type: 'error', error: new Error('registry down') })
    await clock.advance(60_000)
    expect(discovery.inspect('stock')).toMatchObject({
      known: true,
      ageMs: 61_000,
      failingMs: 60_000,
      error: { message: 'registry down' },
      waiting: 0,
    })
  })
})

describe('events', () => {
  it('go to the listener and to the diagnostics channel, and a listener that throws does no harm', () => {
    const heard: unknown[] = []
    const listener = (event: unknown): void => void heard.push(event)
    channel('fairlead:event').subscribe(listener)
    try {
      const told = bench(
        {
          onEvent: () => {
            throw new Error('broken')
          },
        },
        'a',
        'b',
      )
      for (let n = 0; n < 3; n++) told.call('a', 'failure')
      expect(heard).toContainEqual(expect.objectContaining({ type: 'endpoint-ejected', endpoint: 'a' }))
    } finally {
      channel('fairlead:event').unsubscribe(listener)
    }
  })
})

describe('a registry that is down for good', () => {
  it('keeps nothing running after close', async () => {
    const clock = fakeClock()
    const source: Source = {
      name: 'dead',
      watch(_service, sink) {
        sink({ type: 'error', error: new Error('down') })
        return { refresh() {}, async close() {} }
      },
    }
    const discovery = createDiscovery({ source, clock, maxStaleMs: 1_000 })
    const waiting = Promise.resolve(discovery.resolver('stock').acquire())
    waiting.catch(() => {})
    expect(clock.pending).toBeGreaterThan(0)
    await discovery.close()
    await expect(waiting).rejects.toMatchObject({ code: 'SHUTDOWN' })
    expect(clock.pending).toBe(0)
  })
})
