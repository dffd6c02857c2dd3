import { describe, expect, it } from 'vitest'
import type { Lease } from '../../src/core/contracts/balancer.ts'
import type { Source } from '../../src/core/contracts/source.ts'
import type { PipelineEvent } from '../../src/core/events.ts'
import { createDiscovery } from '../../src/discovery/discovery.ts'
import { RollingCounts } from '../../src/discovery/rolling-counts.ts'
import { fakeClock } from '../../src/testing/fake-clock.ts'
import { seededRandom } from '../../src/testing/seeded-random.ts'
import { at, type Bench, bad, bench, ok } from './support.ts'

const ids = (count: number): readonly string[] => Array.from({ length: count }, (_, n) => `e${n}`)
const fail = (bench: Bench, id: string, times = 3): void => {
  for (let n = 0; n < times; n++) bench.call(id, 'failure')
}
const ejections = (events: readonly PipelineEvent[]) =>
  events.filter((each) => each.type === 'endpoint-ejected') as Extract<
    PipelineEvent,
    { readonly type: 'endpoint-ejected' }
  >[]

describe('failures in a row', () => {
  it('the third ejects: the endpoint leaves the view and no call is given to it', () => {
    const it = bench({}, 'a', 'b', 'c')
    fail(it, 'a', 2)
    expect(it.balancer.ids).toEqual(['a', 'b', 'c'])
    it.call('a', 'not-sent')
    expect(it.balancer.ids).toEqual(['b', 'c'])
    expect(it.view('a').ejected).toBe(true)
    for (let n = 0; n < 20; n++) expect(it.lease().endpoint.id).not.toBe('a')
    expect(it.events).toContainEqual({
      type: 'endpoint-ejected',
      service: 'stock',
      source: 'told',
      endpoint: 'a',
      reason: 'consecutive',
      forMs: expect.any(Number),
    })
  })

  it('a success between them begins the count anew; what was given up or shed does not count', () => {
    const it = bench({ ejection: { successRate: 0 } }, 'a', 'b')
    for (let round = 0; round < 5; round++) {
      fail(it, 'a', 2)
      it.call('a')
    }
    fail(it, 'a', 2)
    for (const kind of ['cancelled', 'overload'] as const) for (let n = 0; n < 10; n++) it.call('a', kind)
    expect(it.view('a').ejected).toBe(false)
    fail(it, 'a', 1)
    expect(it.view('a').ejected).toBe(true)
  })

  it('how many is an option, and false turns it off', () => {
    const five = bench({ ejection: { consecutive: 5 } }, 'a', 'b')
    fail(five, 'a', 4)
    expect(five.view('a').ejected).toBe(false)
    fail(five, 'a', 1)
    expect(five.view('a').ejected).toBe(true)
    const off = bench({ ejection: false }, 'a', 'b')
    fail(off, 'a', 100)
    expect(off.view('a').ejected).toBe(false)
  })
})

describe('success rate', () => {
  // Every third call of `a` fails, so never three in a row.
  const mixed = (it: Bench, id: string, calls: number): void => {
    for (let n = 0; n < calls; n++) it.call(id, n % 3 === 2 ? 'failure' : 'success')
  }

  it('below 80 % of at least 10 calls in 30 s ejects', () => {
    const it = bench({}, 'a', 'b')
    mixed(it, 'a', 9)
    expect(it.view('a').ejected).toBe(false)
    it.call('a')
    it.call('a', 'failure')
    expect(it.view('a').ejected).toBe(true)
    expect(ejections(it.events)[0]).toMatchObject({ reason: 'success-rate' })
  })

  it('what is older than the window does not count', async () => {
    const it = bench({}, 'a', 'b')
    for (let n = 0; n < 20; n++) {
      it.call('a', n % 3 === 2 ? 'failure' : 'success')
      // Nine of them within 30 s.
      await it.clock.advance(3_400)
    }
    expect(it.view('a').ejected).toBe(false)
  })

  it('where the others fail alike, it is the service and nobody is ejected for it', async () => {
    const it = bench({}, 'a', 'b', 'c')
    for (let n = 0; n < 300; n++) for (const id of ['a', 'b', 'c']) it.call(id, n % 3 === 2 ? 'failure' : 'success')
    expect(ejections(it.events)).toEqual([])
    // More than twice as bad as they are is bad.
    await it.clock.advance(30_000)
    for (let n = 0; n < 100; n++) for (const id of ['b', 'c']) it.call(id, n % 4 === 3 ? 'failure' : 'success')
    for (let n = 0; n < 50 && !it.view('a').ejected; n++) it.call('a', n % 3 === 0 ? 'success' : 'failure')
    expect(ejections(it.events)).toMatchObject([{ endpoint: 'a', reason: 'success-rate' }])
  })

  it('0 turns it off', () => {
    const it = bench({ ejection: { successRate: 0 } }, 'a', 'b')
    mixed(it, 'a', 300)
    expect(it.view('a').ejected).toBe(false)
  })
})

describe('for how long', () => {
  it('5 s, doubling with each failed probe up to 300 s, each drawn from its upper half', async () => {
    const it = bench({}, 'a', 'b')
    fail(it, 'a')
    for (let n = 0; n < 9; n++) {
      await it.clock.advance(ejections(it.events).at(-1)?.forMs ?? 0)
      const probe = it.lease()
      expect(probe.endpoint.id).toBe('a')
      probe.report(bad)
    }
    const most = [5_000, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000, 300_000, 300_000]
    const told = ejections(it.events).map((each) => each.forMs)
    expect(told).toHaveLength(most.length)
    told.forEach((forMs, n) => {
      expect(forMs).toBeGreaterThanOrEqual((most[n] as number) / 2)
      expect(forMs).toBeLessThanOrEqual(most[n] as number)
    })
    expect(new Set(told).size).toBe(told.length)
  })

  it('one doubling is forgotten for each 30 s that it was well', async () => {
    const it = bench({}, 'a', 'b')
    const round = async (calmMs: number): Promise<number> => {
      await it.clock.advance(calmMs)
      fail(it, 'a')
      const { forMs } = ejections(it.events).at(-1) as { readonly forMs: number }
      await it.clock.advance(forMs)
      it.lease().report(ok)
      expect(it.view('a').ejected).toBe(false)
      return Math.ceil(Math.log2(forMs / 2_500))
    }
    expect(await round(0)).toBe(1)
    expect(await round(0)).toBe(2)
    expect(await round(0)).toBe(3)
    expect(await round(30_000)).toBe(3)
    expect(await round(60_000)).toBe(2)
    expect(await round(300_000)).toBe(1)
  })
})

describe('in an outage of all', () => {
  it('a failed probe does not make it longer: nobody stays away for minutes after it', async () => {
    const it = bench({}, 'a', 'b')
    fail(it, 'a')
    fail(it, 'b', 5)
    for (let n = 0; n < 10; n++) {
      await it.clock.advance(5_000)
      const probe = it.lease()
      expect(probe.endpoint.id).toBe('a')
      probe.report(bad)
    }
    expect(ejections(it.events)).toHaveLength(11)
    for (const { forMs } of ejections(it.events)) expect(forMs).toBeLessThanOrEqual(5_000)
    it.call('b')
    await it.clock.advance(5_000)
    it.lease().report(bad)
    expect(ejections(it.events).at(-1)?.forMs).toBeGreaterThan(5_000)
  })
})

describe('when its time is over', () => {
  const ejected = async (...more: readonly string[]): Promise<Bench> => {
    const it = bench({}, 'a', 'b', ...more)
    fail(it, 'a')
    const { forMs } = ejections(it.events)[0] as { readonly forMs: number }
    await it.clock.advance(forMs - 1)
    expect(it.lease().endpoint.id).not.toBe('a')
    await it.clock.advance(1)
    return it
  }

  it('exactly one call is given to it, and a success returns it', async () => {
    const it = await ejected()
    const probe = it.lease()
    expect(probe.endpoint.id).toBe('a')
    for (let n = 0; n < 20; n++) expect(it.lease().endpoint.id).toBe('b')
    expect(it.balancer.ids).toEqual(['b'])
    probe.report(ok)
    expect(it.balancer.ids).toEqual(['a', 'b'])
    expect(it.events.at(-1)).toEqual({ type: 'endpoint-returned', service: 'stock', source: 'told', endpoint: 'a' })
  })

  it('not a call that has tried it', async () => {
    const it = await ejected()
    expect(it.lease({ avoid: new Set(['a']) }).endpoint.id).toBe('b')
    expect(it.lease().endpoint.id).toBe('a')
  })

  it('a failure of the probe ejects it again, without another three', async () => {
    const it = await ejected()
    it.lease().report(bad)
    expect(ejections(it.events)).toHaveLength(2)
    expect(it.lease().endpoint.id).toBe('b')
  })

  it('a probe that was given up says nothing: the next call is one', async () => {
    const it = await ejected()
    it.lease().report({ kind: 'cancelled', latencyMs: 0 })
    expect(it.lease().endpoint.id).toBe('a')
    expect(it.lease().endpoint.id).toBe('b')
  })

  it('a probe that was sent and then given up is not sent again at once: whoever hangs would get every impatient call', async () => {
    const it = await ejected()
    const { clock } = it
    let probes = 0
    const began = clock.now()
    while (clock.now() - began < 60_000) {
      const lease = it.lease()
      await clock.advance(100)
      if (lease.endpoint.id === 'a') {
        probes++
        lease.report({ kind: 'cancelled', latencyMs: 100 })
      } else lease.report(ok)
    }
    // Every 2.5 to 5 s.
    expect(probes).toBeGreaterThanOrEqual(11)
    expect(probes).toBeLessThanOrEqual(24)
  })

  it('after a long ejection the next probe comes no later than after a first one', async () => {
    const it = await ejected()
    for (let n = 0; n < 8; n++) {
      it.lease().report(bad)
      await it.clock.advance(ejections(it.events).at(-1)?.forMs ?? 0)
    }
    it.lease().report({ kind: 'cancelled', latencyMs: 100 })
    expect(it.lease().endpoint.id).toBe('b')
    await it.clock.advance(5_000)
    expect(it.lease().endpoint.id).toBe('a')
  })

  it('a call that will not say how it went is none', async () => {
    const it = await ejected()
    for (let n = 0; n < 5; n++) expect(it.lease({ noProbe: true }).endpoint.id).toBe('b')
    expect(it.lease().endpoint.id).toBe('a')
  })

  it('"too much" of the probe returns it: it is there, and comes behind the others', async () => {
    const it = await ejected()
    it.lease().report({ kind: 'overload', latencyMs: 1 })
    expect(it.view('a')).toMatchObject({ ejected: false, suspect: true })
  })

  it('where nobody says how the probe went, another call is one after as long a time', async () => {
    const it = await ejected()
    it.lease()
    const { forMs } = ejections(it.events)[0] as { readonly forMs: number }
    await it.clock.advance(forMs - 1)
    expect(it.lease().endpoint.id).toBe('b')
    await it.clock.advance(1)
    expect(it.lease().endpoint.id).toBe('a')
  })

  it('what began before it was ejected says nothing of the time after', async () => {
    const it = bench({}, 'a', 'b')
    const before = Array.from({ length: 10 }, () => it.lease({ avoid: new Set(['b']) }))
    fail(it, 'a')
    for (const each of before.slice(0, 5)) each.report(ok)
    expect(it.view('a').ejected).toBe(true)
    const { forMs } = ejections(it.events)[0] as { readonly forMs: number }
    await it.clock.advance(forMs)
    const probe = it.lease()
    for (const each of before.slice(5, 8)) each.report(bad)
    expect(ejections(it.events)).toHaveLength(1)
    probe.report(ok)
    for (const each of before.slice(8)) each.report(bad)
    fail(it, 'a', 2)
    expect(it.view('a').ejected).toBe(false)
  })

  it('one of a lower priority that nobody uses is left alone', async () => {
    const it = bench({}, 'a', 'b', at('c', { priority: 1 }), at('d', { priority: 1 }))
    it.source.list(
      at('a', { state: 'down' }),
      at('b', { state: 'down' }),
      at('c', { priority: 1 }),
      at('d', { priority: 1 }),
    )
    fail(it, 'c')
    it.source.list('a', 'b', at('c', { priority: 1 }), at('d', { priority: 1 }))
    await it.clock.advance(300_000)
    for (let n = 0; n < 5; n++) expect(it.lease().endpoint.id).toBe('a')
    it.source.list(at('c', { priority: 1 }), at('d', { priority: 1 }))
    expect(it.lease().endpoint.id).toBe('c')
  })
})

describe('an ejection that makes the source say something new at once', () => {
  it('leaves the counts right', () => {
    const clock = fakeClock()
    let tell: (ids: readonly string[]) => void = () => {}
    const source: Source = {
      name: 'prompt',
      watch(_service, sink) {
        tell = (given) => sink({ type: 'snapshot', endpoints: given.map((id) => at(id)) })
        tell(['a', 'b', 'c'])
        return { refresh: () => tell(['b', 'c']), async close() {} }
      },
    }
    const discovery = createDiscovery({ source, clock, debounceMs: 0, massLoss: false })
    const resolver = discovery.resolver('stock')
    for (let n = 0; n < 3; n++) (resolver.acquire({ avoid: new Set(['b', 'c']) }) as Lease).report(bad)
    expect(discovery.inspect('stock')?.endpoints).toHaveLength(2)
    expect(resolver.untried(new Set())).toBe(2)
    expect(resolver.untried(new Set(['a']))).toBe(2)
  })
})

describe('how many', () => {
  it.each([
    [1, 0],
    [2, 1],
    [3, 1],
    [4, 2],
    [10, 5],
    [11, 5],
  ])('of %i no more than %i', (count, most) => {
    const it = bench({}, ...ids(count))
    for (let round = 0; round < 5; round++) for (const id of ids(count)) if (!it.view(id).ejected) fail(it, id)
    expect(ids(count).filter((id) => it.view(id).ejected)).toHaveLength(most)
  })

  it('never the last, whatever the share', () => {
    const it = bench({ ejection: { maxShare: 1, panicBelow: 0 } }, ...ids(4))
    for (const id of ids(4)) fail(it, id)
    expect(it.balancer.ids).toEqual(['e3'])
  })

  it('the draining do not help to eject the ready', () => {
    const draining = ids(10).map((id) => at(id, { state: 'draining' }))
    const it = bench({}, 'a', 'b', ...draining)
    fail(it, 'a')
    fail(it, 'b')
    expect(it.balancer.ids).toEqual(['b'])
  })
})

describe('panic', () => {
  it('with fewer than half of the ready healthy, ejection is ignored, until they are enough again', () => {
    const it = bench({}, ...ids(4))
    fail(it, 'e0')
    fail(it, 'e1')
    expect(it.balancer.ids).toEqual(['e2', 'e3'])
    it.source.list('e0', 'e1', 'e2')
    expect(it.balancer.ids).toEqual(['e0', 'e1', 'e2'])
    expect(it.view('e0').ejected).toBe(true)
    expect(it.events.at(-1)).toEqual({
      type: 'panic',
      step: 'on',
      service: 'stock',
      source: 'told',
      healthy: 1,
      endpoints: 3,
    })
    expect(it.discovery.inspect('stock')?.panic).toBe(true)
    // What goes well in panic is as good as a probe; what does not changes nothing.
    for (const kind of ['overload', 'failure', 'cancelled'] as const) it.call('e0', kind)
    expect(it.view('e0').ejected).toBe(true)
    expect(ejections(it.events)).toHaveLength(2)
    it.call('e0')
    expect(it.balancer.ids).toEqual(['e0', 'e2'])
    expect(it.events.filter((each) => each.type === 'panic').map((each) => 'step' in each && each.step)).toEqual([
      'on',
      'off',
    ])
  })

  it('by the option also where more than half may be ejected; 0 turns it off', () => {
    const on = bench({ ejection: { maxShare: 1, panicBelow: 0.3 } }, ...ids(4))
    fail(on, 'e0')
    fail(on, 'e1')
    expect(on.balancer.ids).toEqual(['e2', 'e3'])
    fail(on, 'e2')
    expect(on.balancer.ids).toEqual(ids(4))
    const off = bench({ ejection: { panicBelow: 0 } }, 'a', 'b')
    fail(off, 'a')
    off.source.list('a')
    expect(off.balancer.ids).toEqual([])
    // Nobody to choose from; but a call is better tried than refused.
    expect(off.lease().endpoint.id).toBe('a')
  })
})

describe('RollingCounts', () => {
  it('counts what a list of all outcomes of the last window would, give or take one bucket', () => {
    const random = seededRandom(7)
    const counts = new RollingCounts(30_000)
    const all: { readonly ok: boolean; readonly now: number }[] = []
    let now = random() * 1e9
    for (let n = 0; n < 20_000; n++) {
      now += random() < 0.01 ? random() * 90_000 : random() * 300
      const ok = random() < 0.7
      counts.count(ok, now)
      all.push({ ok, now })
      const sums = counts.sums(now)
      for (const kind of [true, false]) {
        const within = (ms: number): number => {
          let count = 0
          for (let i = all.length - 1; i >= 0 && (all[i] as { now: number }).now > now - ms; i--)
            if (all[i]?.ok === kind) count++
          return count
        }
        const sum = kind ? sums.ok : sums.failed
        if (sum < within(27_000) || sum > within(30_000))
          expect.fail(`${sum} at ${now}, ${within(27_000)} to ${within(30_000)} expected`)
      }
    }
    counts.clear()
    expect(counts.sums(now)).toEqual({ ok: 0, failed: 0 })
  })
})
