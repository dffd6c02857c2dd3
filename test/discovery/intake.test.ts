import { describe, expect, it } from 'vitest'
import type { Endpoint, Source, SourceUpdate } from '../../src/core/contracts/source.ts'
import type { DiscoveryEvent } from '../../src/core/discovery-events.ts'
import { createEvents } from '../../src/core/events.ts'
import { createIntake, type Intake } from '../../src/discovery/intake.ts'
import { type IntakeOptions, readIntakeOptions } from '../../src/discovery/intake-options.ts'
import { type FakeClock, fakeClock } from '../../src/testing/fake-clock.ts'

interface Lab {
  readonly intake: Intake
  readonly clock: FakeClock
  readonly events: DiscoveryEvent[]
  /** Ids of each call of onEndpoints. */
  readonly told: string[][]
  readonly sets: (readonly Endpoint[])[]
  say(update: SourceUpdate): void
  snapshot(...ids: (string | Endpoint)[]): void
  asked: number
  closed: number
}

const endpointOf = (id: string, extra: Partial<Endpoint> = {}): Endpoint => ({
  id,
  addresses: [{ host: '10.0.0.1', port: 80 }],
  ...extra,
})
const ids = (count: number, prefix = 'e'): string[] => Array.from({ length: count }, (_, at) => `${prefix}${at}`)
const down = { type: 'error', error: new Error('registry is down') } as const

function lab(options: IntakeOptions = {}, source: Partial<Source> = {}): Lab {
  const clock = fakeClock()
  const events: DiscoveryEvent[] = []
  const told: string[][] = []
  const sets: (readonly Endpoint[])[] = []
  let sink: (update: SourceUpdate) => void = () => {}
  const counts = { asked: 0, closed: 0 }
  const intake = createIntake({
    source: {
      name: 'registry',
      watch(_service, heard) {
        sink = heard
        return {
          refresh: () => void counts.asked++,
          close: async () => void counts.closed++,
        }
      },
      ...source,
    },
    service: 'stock',
    clock,
    rules: readIntakeOptions(options),
    events: createEvents((event) => void events.push(event as DiscoveryEvent)),
    onEndpoints: (endpoints) => {
      sets.push(endpoints)
      told.push(endpoints.map(({ id }) => id))
    },
  })
  return {
    intake,
    clock,
    events,
    told,
    sets,
    say: (update) => sink(update),
    snapshot: (...given) =>
      sink({ type: 'snapshot', endpoints: given.map((each) => (typeof each === 'string' ? endpointOf(each) : each)) }),
    get asked() {
      return counts.asked
    },
    get closed() {
      return counts.closed
    },
  }
}

const types = ({ events }: Lab): string[] =>
  events.map((event) => ('step' in event ? `${event.type} ${event.step}` : event.type))

describe('the first word', () => {
  it('is taken at once, also when it is nobody', () => {
    const a = lab()
    expect(a.intake.known).toBe(false)
    a.snapshot('a')
    expect(a.intake.known).toBe(true)
    expect(a.told).toEqual([['a']])
    for (const word of [{ type: 'absent' }, { type: 'snapshot', endpoints: [] }] as const) {
      const b = lab()
      b.say(word)
      expect(b.intake.known).toBe(true)
      expect(b.told).toEqual([[]])
    }
  })

  it('may come inside watch', () => {
    const { intake, told } = lab(
      {},
      {
        watch(_service, sink) {
          sink({ type: 'snapshot', endpoints: [endpointOf('a')] })
          return { refresh() {}, async close() {} }
        },
      },
    )
    expect(told).toEqual([['a']])
    expect(intake.known).toBe(true)
  })

  it('may be an error: nothing is known then', () => {
    const a = lab()
    a.say(down)
    expect(a.intake.known).toBe(false)
    expect(a.intake.lastError).toBe(down.error)
    expect(a.intake.ageMs()).toBeUndefined()
    expect(a.told).toEqual([])
    expect(a.events).toEqual([{ type: 'source-failed', service: 'stock', source: 'registry', error: down.error }])
  })
})

describe('later words', () => {
  it('become one within the debounce, and the last counts', async () => {
    const a = lab()
    a.snapshot('a', 'b')
    a.snapshot('a', 'b', 'c')
    await a.clock.advance(30)
    a.snapshot('b', 'c', 'd')
    await a.clock.advance(19)
    expect(a.told).toHaveLength(1)
    await a.clock.advance(1)
    expect(a.told).toEqual([
      ['a', 'b'],
      ['b', 'c', 'd'],
    ])
    expect(a.events.at(-1)).toMatchObject({
      type: 'endpoints-changed',
      added: ['c', 'd'],
      removed: ['a'],
      endpoints: 3,
    })
  })

  it('cannot be put off for ever by more of them', async () => {
    const a = lab({ debounceMs: 50 })
    a.snapshot('a')
    for (let n = 0; n < 10; n++) {
      a.snapshot('a', `b${n}`)
      await a.clock.advance(20)
    }
    expect(a.told.length).toBeGreaterThanOrEqual(4)
  })

  it('are taken at once where nobody is known', () => {
    const a = lab()
    a.say({ type: 'absent' })
    a.snapshot('a')
    expect(a.told).toEqual([[], ['a']])
  })

  it('are not passed on when nothing has changed, in whatever order', async () => {
    const a = lab({ debounceMs: 0 })
    a.snapshot('a', 'b')
    a.snapshot('b', 'a')
    expect(a.told).toEqual([['a', 'b']])
  })

  it('keep the object of an endpoint in which nothing has changed', () => {
    const a = lab({ debounceMs: 0 })
    a.snapshot(endpointOf('a', { metadata: { v: '1' }, ports: { x: 1 } }), endpointOf('b'))
    a.snapshot(endpointOf('a', { metadata: { v: '1' }, ports: { x: 1 } }), endpointOf('b', { weight: 2 }))
    expect(a.sets[1]?.[0]).toBe(a.sets[0]?.[0])
    expect(a.sets[1]?.[1]).toEqual(endpointOf('b', { weight: 2 }))
  })

  it.each([
    ['addresses', { addresses: [{ host: '10.0.0.1', port: 81 }] }],
    ['hostname', { hostname: 'x' }],
    ['secure', { secure: true }],
    ['weight', { weight: 3 }],
    ['priority', { priority: 1 }],
    ['zone', { zone: 'z' }],
    ['state', { state: 'draining' }],
    ['ports', { ports: { p: 1 } }],
    ['metadata', { metadata: { p: '1' } }],
  ] as const)('are passed on when %s has changed', (_what, extra) => {
    const a = lab({ debounceMs: 0 })
    a.snapshot('a')
    a.snapshot(endpointOf('a', extra))
    expect(a.sets).toEqual([[endpointOf('a')], [endpointOf('a', extra)]])
  })

  it('tell a note when it changes', () => {
    const a = lab({ debounceMs: 0 })
    for (const note of ['one address', 'one address', 'two'])
      a.say({ type: 'snapshot', endpoints: [endpointOf('a')], note })
    expect(a.events.map((event) => event.type === 'endpoints-changed' && event.note)).toEqual(['one address', 'two'])
  })
})

describe('errors', () => {
  it('never empty what is known; its age grows', async () => {
    const a = lab()
    a.snapshot('a', 'b')
    await a.clock.advance(10_000)
    for (let hour = 0; hour < 24; hour++) {
      a.say(down)
      await a.clock.advance(3_600_000)
    }
    expect(a.told).toEqual([['a', 'b']])
    expect(a.intake.known).toBe(true)
    expect(a.intake.ageMs()).toBe(24 * 3_600_000 + 10_000)
    expect(a.intake.failingMs()).toBe(24 * 3_600_000)
    a.snapshot('a', 'b')
    expect(a.intake.lastError).toBeUndefined()
    expect(a.intake.failingMs()).toBeUndefined()
    expect(a.intake.ageMs()).toBe(0)
  })

  it('are told once, and the recovery once', async () => {
    const a = lab({ debounceMs: 0 })
    a.snapshot('a')
    await a.clock.advance(1_000)
    a.say(down)
    await a.clock.advance(1_000)
    a.say(down)
    a.snapshot('a')
    a.snapshot('a')
    expect(a.events.slice(1)).toEqual([
      { type: 'source-failed', service: 'stock', source: 'registry', error: down.error, ageMs: 1_000 },
      { type: 'source-recovered', service: 'stock', source: 'registry', ageMs: 2_000 },
    ])
  })

  it('drop what is known after maxStaleMs of failing, however old it was before', async () => {
    const a = lab({ maxStaleMs: 5_000 })
    a.snapshot('a')
    await a.clock.advance(60_000)
    a.say(down)
    await a.clock.advance(4_999)
    a.say(down)
    expect(a.told).toEqual([['a']])
    await a.clock.advance(1)
    expect(a.told).toEqual([['a'], []])
    expect(a.intake.known).toBe(true)
    expect(a.intake.lastError).toBe(down.error)
    expect(a.events.at(-1)).toMatchObject({
      type: 'endpoints-changed',
      removed: ['a'],
      note: expect.stringContaining('maxStaleMs'),
    })
    a.snapshot('a')
    expect(a.told.at(-1)).toEqual(['a'])
  })

  it('do not drop it when the source answers in time', async () => {
    const a = lab({ maxStaleMs: 5_000 })
    a.snapshot('a')
    a.say(down)
    await a.clock.advance(4_999)
    a.snapshot('a')
    await a.clock.advance(60_000)
    expect(a.told).toEqual([['a']])
  })
})

describe('mass loss', () => {
  it.each([
    ['one', 1, 0],
    ['two', 2, 0],
    ['three, with one left', 3, 1],
    ['ten, with four left', 10, 4],
    ['a thousand', 1_000, 499],
  ])('of %s is held for the grace time, then believed', async (_what, count, left) => {
    const a = lab({ debounceMs: 0 })
    a.snapshot(...ids(count))
    a.snapshot(...ids(left))
    await a.clock.advance(29_999)
    expect(a.intake.known).toBe(true)
    expect(a.told).toEqual([ids(count)])
    await a.clock.advance(1)
    expect(a.told.at(-1)).toEqual(ids(left))
    expect(types(a)).toEqual(['endpoints-changed', 'mass-loss held', 'mass-loss believed', 'endpoints-changed'])
    expect(a.events[1]).toMatchObject({ known: count, left, graceMs: 30_000 })
    expect(a.clock.pending).toBe(0)
  })

  it.each([
    ['one of two', 2, 1],
    ['half of ten', 10, 5],
    ['one of three', 3, 2],
  ])('is not %s', (_what, count, left) => {
    const a = lab({ debounceMs: 0 })
    a.snapshot(...ids(count))
    a.snapshot(...ids(left))
    expect(a.told.at(-1)).toEqual(ids(left))
    expect(types(a)).toEqual(['endpoints-changed', 'endpoints-changed'])
  })

  it('is not others in their place', () => {
    const a = lab({ debounceMs: 0 })
    a.snapshot(...ids(4))
    a.snapshot(...ids(4, 'new'))
    expect(a.told.at(-1)).toEqual(ids(4, 'new'))
  })

  it('treats absent as nobody', async () => {
    const a = lab({ debounceMs: 0 })
    a.snapshot('a', 'b')
    a.say({ type: 'absent' })
    expect(a.told).toEqual([['a', 'b']])
    await a.clock.advance(30_000)
    expect(a.told).toEqual([['a', 'b'], []])
  })

  it('merges in those who are new meanwhile, and takes their changes', () => {
    const a = lab({ debounceMs: 0 })
    a.snapshot(...ids(10))
    a.snapshot('new')
    expect(a.told.at(-1)).toEqual(['new', ...ids(10)])
    a.snapshot(endpointOf('e3', { weight: 5 }))
    expect(a.told.at(-1)).toHaveLength(10)
    expect(a.sets.at(-1)?.find(({ id }) => id === 'e3')?.weight).toBe(5)
  })

  it('is over as soon as they are back', async () => {
    const a = lab({ debounceMs: 0 })
    a.snapshot(...ids(4))
    a.snapshot()
    await a.clock.advance(10_000)
    a.snapshot('e0')
    expect(a.told.at(-1)).toHaveLength(4)
    a.snapshot('e0', 'e1', 'e2')
    expect(a.told.at(-1)).toEqual(['e0', 'e1', 'e2'])
    await a.clock.advance(60_000)
    expect(a.told.at(-1)).toEqual(['e0', 'e1', 'e2'])
    expect(types(a)).toEqual(['endpoints-changed', 'mass-loss held', 'mass-loss returned', 'endpoints-changed'])
    expect(a.clock.pending).toBe(0)
  })

  it('counts anew after the one before', async () => {
    const a = lab({ debounceMs: 0 })
    for (let round = 0; round < 3; round++) {
      a.snapshot(...ids(4))
      a.snapshot()
      await a.clock.advance(29_000)
      expect(a.told.at(-1)).toHaveLength(4)
    }
  })

  it('compares with those before the loss: bit by bit is no way around', async () => {
    const a = lab({ debounceMs: 0 })
    a.snapshot(...ids(10))
    a.snapshot(...ids(4))
    await a.clock.advance(20_000)
    a.snapshot(...ids(2))
    a.snapshot()
    expect(a.told).toEqual([ids(10)])
    await a.clock.advance(10_000)
    expect(a.told.at(-1)).toEqual([])
  })

  it('is not what the registry says of them by name: down, or changed so that a filter refuses them', () => {
    const a = lab({ debounceMs: 0, metadata: { version: '1' } })
    const v = (id: string, version: string, extra: Partial<Endpoint> = {}): Endpoint =>
      endpointOf(id, { metadata: { version }, ...extra })
    a.snapshot(v('a', '1'), v('b', '1'), v('c', '1'))
    a.snapshot(v('a', '2'), v('b', '2'), v('c', '2'))
    expect(a.told).toEqual([['a', 'b', 'c'], []])
    a.snapshot(v('a', '1'), v('b', '1'))
    a.snapshot(v('a', '1', { state: 'down' }), v('b', '1', { state: 'down' }))
    expect(a.sets.at(-1)?.map(({ state }) => state)).toEqual(['down', 'down'])
    expect(types(a)).not.toContain('mass-loss held')
  })

  it('is seen in what a filter lets through, however many others are left', () => {
    const a = lab({ debounceMs: 0, onlyZone: 'a' })
    const of = (id: string, zone: string): Endpoint => endpointOf(id, { zone })
    const others = ids(20).map((id) => of(id, 'b'))
    a.snapshot(of('x', 'a'), of('y', 'a'), of('z', 'a'), ...others)
    a.snapshot(...others)
    expect(a.told).toEqual([['x', 'y', 'z']])
  })

  it('is not believed of a registry that fails again: it has to say so once more', async () => {
    const a = lab({ debounceMs: 0 })
    a.snapshot(...ids(4))
    a.snapshot()
    a.say(down)
    await a.clock.advance(3_600_000)
    expect(a.told).toEqual([ids(4)])
    a.snapshot()
    // It has just come back: what it had is given as long to return as at first.
    await a.clock.advance(29_999)
    expect(a.told).toEqual([ids(4)])
    await a.clock.advance(1)
    expect(a.told.at(-1)).toEqual([])
    expect(types(a).slice(-2)).toEqual(['mass-loss believed', 'endpoints-changed'])
  })

  it('of a registry that restarts empty again and again is held until it stays', async () => {
    const a = lab({ debounceMs: 0 })
    a.snapshot(...ids(4))
    for (let restart = 0; restart < 5; restart++) {
      a.snapshot()
      await a.clock.advance(20_000)
      a.say(down)
      await a.clock.advance(20_000)
    }
    a.snapshot(...ids(4))
    expect(types(a).at(-1)).toBe('mass-loss returned')
    for (const each of a.told) expect(each).toEqual(ids(4))
  })

  it('can be turned off, and tuned', async () => {
    const off = lab({ debounceMs: 0, massLoss: false })
    off.snapshot(...ids(4))
    off.snapshot()
    expect(off.told.at(-1)).toEqual([])
    const tuned = lab({ debounceMs: 0, massLoss: { graceMs: 100, share: 0.9 } })
    tuned.snapshot(...ids(10))
    tuned.snapshot(...ids(8))
    expect(tuned.told).toEqual([ids(10)])
    await tuned.clock.advance(100)
    expect(tuned.told.at(-1)).toEqual(ids(8))
  })
})

describe('filters', () => {
  const all = [
    endpointOf('a', { zone: 'x', metadata: { version: '2', lane: 'blue' } }),
    endpointOf('b', { zone: 'y', metadata: { version: '2' } }),
    endpointOf('c', { zone: 'x', metadata: { version: '1', lane: 'blue' } }),
    endpointOf('d'),
  ]
  it.each<[string, IntakeOptions, string[]]>([
    ['metadata', { metadata: { version: '2' } }, ['a', 'b']],
    ['several metadata', { metadata: { version: '2', lane: 'blue' } }, ['a']],
    ['what every object has', { metadata: { constructor: 'x' } }, []],
    ['zone', { onlyZone: 'x' }, ['a', 'c']],
    ['a function', { filter: ({ id }) => id > 'b' }, ['c', 'd']],
    ['all of them', { onlyZone: 'x', metadata: { version: '2' }, filter: ({ id }) => id !== 'z' }, ['a']],
    ['a function that throws for some', { filter: (each) => each.zone!.length > 0 }, ['a', 'b', 'c']],
    ['a function that answers late', { filter: (() => Promise.resolve(true)) as never }, []],
  ])('by %s', (_what, options, expected) => {
    const a = lab(options)
    a.snapshot(...all)
    expect(a.told).toEqual([expected])
  })

  it.each([
    { filter: 'x' },
    { metadata: 'x' },
    { metadata: { version: 2 } },
    { onlyZone: '' },
    { port: 80 },
    { maxEndpoints: 0 },
    { debounceMs: -1 },
    { massLoss: { grace: 1 } },
    { massLoss: true },
    { massLoss: { share: 2 } },
    { maxStaleMs: 0 },
    { allow: 'all' },
  ])('are checked: %j', (options) => {
    expect(() => readIntakeOptions(options as never)).toThrow(expect.objectContaining({ code: 'INVALID_OPTIONS' }))
  })
})

describe('a remote source', () => {
  it('cannot point at this machine; what was left out is told when it changes', () => {
    const a = lab({ debounceMs: 0 }, { remote: true })
    const evil = endpointOf('evil', { addresses: [{ host: '169.254.169.254', port: 80 }] })
    a.snapshot('a', evil)
    a.snapshot('a', 'b', evil)
    a.snapshot('a', 'b')
    a.snapshot('a', 'b', evil)
    expect(a.told).toEqual([['a'], ['a', 'b']])
    expect(a.events.filter(({ type }) => type === 'endpoints-refused')).toEqual([
      {
        type: 'endpoints-refused',
        service: 'stock',
        source: 'registry',
        count: 1,
        reasons: ['a metadata service, not allowed from a remote registry: "evil"'],
      },
      expect.objectContaining({ type: 'endpoints-refused' }),
    ])
  })
})

describe('a source that is wrong', () => {
  it.each([
    null,
    undefined,
    7,
    'x',
    {},
    { type: 'snapshot' },
    { type: 'snapshot', endpoints: {} },
    { type: 'snapshot', endpoints: null },
    { type: 'gone' },
  ])('and tells %j has failed, and empties nothing', (garbage) => {
    const a = lab({ debounceMs: 0 })
    a.snapshot('a')
    a.say(garbage as never)
    expect(a.told).toEqual([['a']])
    expect(a.intake.lastError).toBeInstanceOf(TypeError)
  })

  it.each([
    { metadata: null },
    { metadata: 7, ports: 'x' },
    { addresses: [null] },
    { addresses: [{ host: '10.0.0.1', port: '80' }] },
    { addresses: 'none' },
    { weight: '1' },
  ])('and tells %j of one that was known before is read with care', (garbage) => {
    const a = lab({ debounceMs: 0, massLoss: false })
    a.snapshot(endpointOf('a', { metadata: { v: '1' }, ports: { p: 1 } }), 'b')
    a.say({ type: 'snapshot', endpoints: [{ ...endpointOf('a'), ...garbage } as never, endpointOf('b')] })
    expect(a.told.at(-1)).toContain('b')
    for (const { addresses, metadata, ports, weight } of a.sets.at(-1) ?? []) {
      expect(addresses).toEqual([{ host: '10.0.0.1', port: 80 }])
      expect([metadata, ports]).toEqual([undefined, undefined])
      expect([undefined, 1]).toContain(weight)
    }
  })

  it('and tells an error without one has failed', () => {
    const a = lab()
    a.say({ type: 'error', error: undefined })
    expect(a.intake.lastError).toBeInstanceOf(Error)
  })

  it('and throws in watch or refresh has failed', () => {
    const thrown = new Error('cannot be asked')
    const watch = (): never => {
      throw thrown
    }
    expect(lab({}, { watch }).intake.lastError).toBe(thrown)
    const a = lab({}, { watch: () => ({ refresh: watch, close: async () => {} }) })
    a.intake.refresh()
    expect(a.intake.lastError).toBe(thrown)
  })

  it('and rejects in close does not hinder the end', async () => {
    const a = lab({}, { watch: () => ({ refresh() {}, close: () => Promise.reject(new Error('no')) }) })
    await expect(a.intake.close()).resolves.toBeUndefined()
  })
})

describe('close', () => {
  it('leaves no timer, asks nobody and hears nobody', async () => {
    const a = lab({ maxStaleMs: 1_000 })
    a.snapshot(...ids(4))
    a.snapshot()
    await a.clock.advance(50)
    a.snapshot('late')
    a.say(down)
    expect(a.clock.pending).toBe(3)
    await a.intake.close()
    await a.intake.close()
    expect(a.clock.pending).toBe(0)
    a.snapshot('later')
    a.say(down)
    a.intake.refresh()
    await a.clock.advance(60_000)
    expect(a.told).toEqual([ids(4)])
    expect(a.asked).toBe(0)
    expect(a.closed).toBe(1)
  })

  it('inside the first word closes the watch that is being made', async () => {
    let closed = 0
    const events = createEvents()
    const seen: { intake?: Intake } = {}
    const clock = fakeClock()
    seen.intake = createIntake({
      source: {
        name: 'sync',
        watch(_service, sink) {
          queueMicrotask(() => sink({ type: 'snapshot', endpoints: [endpointOf('a')] }))
          return { refresh() {}, close: async () => void closed++ }
        },
      },
      service: 's',
      clock,
      rules: readIntakeOptions({}),
      events,
      onEndpoints: () => void seen.intake?.close(),
    })
    await clock.advance(0)
    expect(closed).toBe(1)
  })

  it('asks the source again', () => {
    const a = lab()
    a.intake.refresh()
    expect(a.asked).toBe(1)
  })
})
