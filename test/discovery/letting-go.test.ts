// Names may come from outside: which service is let go when there are too many, and what those who hold it notice.
import { describe, expect, it, vi } from 'vitest'
import type { Lease } from '../../src/core/contracts/balancer.ts'
import type { Source, SourceUpdate } from '../../src/core/contracts/source.ts'
import { createDiscovery } from '../../src/discovery/discovery.ts'
import { fakeClock } from '../../src/testing/fake-clock.ts'
import { at, bench, ok } from './support.ts'

// Knows the services whose names do not begin with "no".
function registry() {
  const watched: string[] = []
  const open = new Set<string>()
  const source: Source = {
    name: 'registry',
    watch(service, sink) {
      watched.push(service)
      open.add(service)
      const update: SourceUpdate = service.startsWith('no')
        ? { type: 'absent' }
        : { type: 'snapshot', endpoints: [at(service)] }
      if (!service.startsWith('silent')) sink(update)
      return { refresh() {}, close: async () => void open.delete(service) }
    },
  }
  return { source, watched, open }
}

const calls = (discovery: ReturnType<typeof createDiscovery>, service: string): void => {
  try {
    const lease = discovery.resolver(service).acquire()
    if ('report' in lease) lease.report(ok)
    else lease.catch(() => {})
  } catch {
    // Nobody is there.
  }
}

describe('which service is let go', () => {
  it('not the one that calls go to, however many others are asked for', () => {
    const { source, watched, open } = registry()
    const discovery = createDiscovery({ source, clock: fakeClock(), maxServices: 3 })
    const hot = discovery.resolver('hot')
    for (let n = 0; n < 50; n++) {
      ;(hot.acquire() as Lease).report(ok)
      calls(discovery, `cold-${n}`)
    }
    expect(watched.filter((each) => each === 'hot')).toHaveLength(1)
    expect(open.size).toBe(3)
  })

  it('rather one that nobody serves or nobody knows than one with endpoints, also when that one is idle', () => {
    const { source, watched } = registry()
    const discovery = createDiscovery({ source, clock: fakeClock(), maxServices: 3 })
    for (const service of ['one', 'two']) calls(discovery, service)
    for (let n = 0; n < 50; n++) calls(discovery, n % 2 === 0 ? `nobody-${n}` : `silent-${n}`)
    for (const service of ['one', 'two']) calls(discovery, service)
    expect(watched.filter((each) => each === 'one' || each === 'two')).toEqual(['one', 'two'])
  })

  it('one goes in any case: with thousands in use no watch is left over', () => {
    const { source, open } = registry()
    const discovery = createDiscovery({ source, clock: fakeClock(), maxServices: 200 })
    const all = Array.from({ length: 200 }, (_, n) => discovery.resolver(`hot-${n}`))
    for (let n = 0; n < 500; n++) {
      for (const each of all.slice(0, 150)) (each.acquire() as Lease).report(ok)
      calls(discovery, `more-${n}`)
      expect(open.size).toBeLessThanOrEqual(200)
    }
  })

  it('calls that wait for it hear so', async () => {
    const { source } = registry()
    const discovery = createDiscovery({ source, clock: fakeClock(), maxServices: 1 })
    const failed = vi.fn()
    Promise.resolve(discovery.resolver('silent').acquire()).catch(failed)
    calls(discovery, 'other')
    await Promise.resolve()
    await Promise.resolve()
    expect(failed.mock.calls[0]?.[0]).toMatchObject({
      code: 'NO_ENDPOINT',
      effect: 'none',
      service: 'silent',
      message: expect.stringContaining('maxServices'),
    })
  })
})

describe('who holds one that was let go', () => {
  const letGo = (again: boolean) => {
    const it = bench({ maxServices: 1 }, 'a')
    const told: string[] = []
    const stop = it.resolver.onRemoved?.((endpoint) => void told.push(endpoint.id)) as () => void
    const lease = it.lease()
    it.discovery.resolver('other').untried(new Set())
    if (again) {
      it.resolver.refresh()
      it.source.list('a')
    }
    return { ...it, told, stop, taken: lease }
  }

  it('is not told of an endpoint that is in use again', () => {
    const { taken, told, resolver, source } = letGo(true)
    resolver.acquire()
    taken.report(ok)
    expect(told).toEqual([])
    source.list('b')
    source.list('a', 'b')
    expect(told).toEqual([])
  })

  it('is told of one that is not', () => {
    const { taken, told } = letGo(false)
    taken.report(ok)
    expect(told).toEqual(['a'])
  })

  it('is told nothing after it stopped listening', () => {
    const { taken, told, stop, resolver } = letGo(false)
    resolver.refresh()
    stop()
    taken.report(ok)
    expect(told).toEqual([])
  })
})

describe('close', () => {
  it('waits for the watches of those that were let go before', async () => {
    let end = (): void => {}
    const source: Source = {
      name: 'slow to end',
      watch: (service) => ({
        refresh() {},
        close: () => (service === 'first' ? new Promise<void>((done) => (end = done)) : Promise.resolve()),
      }),
    }
    const discovery = createDiscovery({ source, clock: fakeClock(), maxServices: 1 })
    for (const service of ['first', 'second']) discovery.resolver(service).untried(new Set())
    const closed = vi.fn()
    const closing = discovery.close().then(closed)
    for (let n = 0; n < 20; n++) await Promise.resolve()
    expect(closed).not.toHaveBeenCalled()
    end()
    await closing
    expect(closed).toHaveBeenCalledOnce()
  })
})
