import { describe, expect, it } from 'vitest'
import type { Endpoint, Source, SourceUpdate } from '../../src/core/contracts/source.ts'
import { createEvents } from '../../src/core/events.ts'
import { fallbackSources, prioritySources, unionSources } from '../../src/discovery/compose.ts'
import { createIntake } from '../../src/discovery/intake.ts'
import { readIntakeOptions } from '../../src/discovery/intake-options.ts'
import { staticSource } from '../../src/discovery/static-source.ts'
import { fakeClock } from '../../src/testing/fake-clock.ts'

interface Registry extends Source {
  say(update: SourceUpdate): void
  snapshot(...endpoints: Endpoint[]): void
  readonly open: number
  readonly watched: number
  readonly asked: number
}

function registry(name: string, remote = false, first?: SourceUpdate): Registry {
  const sinks = new Set<(update: SourceUpdate) => void>()
  const counts = { watched: 0, asked: 0 }
  return {
    name,
    remote,
    watch(_service, sink) {
      counts.watched++
      sinks.add(sink)
      if (first !== undefined) sink(first)
      return {
        refresh: () => void counts.asked++,
        async close() {
          sinks.delete(sink)
        },
      }
    },
    say(update) {
      for (const sink of [...sinks]) sink(update)
    },
    snapshot(...endpoints) {
      this.say({ type: 'snapshot', endpoints })
    },
    get open() {
      return sinks.size
    },
    get watched() {
      return counts.watched
    },
    get asked() {
      return counts.asked
    },
  }
}

const at = (id: string, host: string, extra: Partial<Endpoint> = {}): Endpoint => ({
  id,
  addresses: [{ host, port: 80 }],
  ...extra,
})
const down = (text = 'down'): SourceUpdate => ({ type: 'error', error: new Error(text) })

function watched(source: Source): {
  readonly heard: SourceUpdate[]
  last(): SourceUpdate | undefined
  ids(): string[]
  close(): Promise<void>
  refresh(): void
} {
  const heard: SourceUpdate[] = []
  const watch = source.watch('stock', (update) => void heard.push(update))
  const last = (): SourceUpdate | undefined => heard.at(-1)
  return {
    heard,
    last,
    ids() {
      const update = last()
      return update?.type === 'snapshot' ? update.endpoints.map(({ id }) => id) : []
    },
    close: () => watch.close(),
    refresh: () => watch.refresh(),
  }
}

describe('unionSources', () => {
  it('gives everybody, Kubernetes and legacy side by side', () => {
    const [kubernetes, legacy] = [registry('kubernetes'), registry('legacy')]
    const source = unionSources(kubernetes, legacy)
    expect(source.name).toBe('union(kubernetes, legacy)')
    const watch = watched(source)
    kubernetes.snapshot(at('pod-1', 'a'))
    expect(watch.ids()).toEqual(['pod-1'])
    legacy.snapshot(at('vm-1', 'b'))
    expect(watch.ids()).toEqual(['pod-1', 'vm-1'])
    kubernetes.snapshot()
    expect(watch.ids()).toEqual(['vm-1'])
  })

  it('takes two that answer at once together', () => {
    const watch = watched(unionSources(staticSource({ stock: ['a:1'] }), staticSource({ stock: ['b:1'] })))
    expect(watch.heard).toHaveLength(1)
    expect(watch.ids()).toEqual(['a:1', 'b:1'])
  })

  it('does not say that nobody is there before all were heard', () => {
    const [a, b] = [registry('a'), registry('b')]
    const watch = watched(unionSources(a, b))
    a.snapshot()
    expect(watch.heard).toEqual([])
    b.say(down())
    expect(watch.last()).toMatchObject({ type: 'error', error: { message: 'down' } })
    b.snapshot()
    expect(watch.last()).toEqual({ type: 'snapshot', endpoints: [] })
  })

  it('is absent only where all say so', () => {
    const [a, b] = [registry('a'), registry('b')]
    const watch = watched(unionSources(a, b))
    a.say({ type: 'absent' })
    b.snapshot()
    expect(watch.last()).toEqual({ type: 'snapshot', endpoints: [] })
    b.say({ type: 'absent' })
    expect(watch.last()).toEqual({ type: 'absent' })
  })

  it('keeps what one said while it fails, and says so; all have to fail for an error', () => {
    const [a, b] = [registry('a'), registry('b')]
    const watch = watched(unionSources(a, b))
    a.snapshot(at('a', 'a'))
    b.snapshot(at('b', 'b'))
    a.say(down('no route'))
    expect(watch.ids()).toEqual(['a', 'b'])
    expect(watch.last()).toMatchObject({ note: 'a fails: no route' })
    b.say({ type: 'error', error: new Error('gone'), retryInMs: 5 })
    expect(watch.last()).toMatchObject({
      type: 'error',
      error: { message: 'a fails: no route; b fails: gone' },
      retryInMs: 5,
    })
    b.snapshot(at('b', 'b'), at('c', 'c'))
    expect(watch.ids()).toEqual(['a', 'b', 'c'])
  })

  it('tells an error at once when nobody has answered yet', () => {
    const [a, b] = [registry('a'), registry('b')]
    const watch = watched(unionSources(a, b))
    a.say(down())
    expect(watch.last()).toMatchObject({ type: 'error' })
  })

  it('takes one address announced twice as one, as the first has it, whatever the ids and the order of words', () => {
    const [a, b] = [registry('a'), registry('b')]
    const watch = watched(unionSources(a, b))
    b.snapshot(at('legacy-7', '10.0.0.1', { weight: 5 }))
    expect(watch.ids()).toEqual(['legacy-7'])
    a.snapshot(at('pod-1', '10.0.0.1', { weight: 1 }))
    expect(watch.last()).toEqual({ type: 'snapshot', endpoints: [at('legacy-7', '10.0.0.1', { weight: 1 })] })
    b.snapshot()
    expect(watch.ids()).toEqual(['legacy-7'])
  })

  it('keeps apart what has one id and two addresses, and the ids stay', () => {
    const [a, b] = [registry('a'), registry('b')]
    const watch = watched(unionSources(a, b))
    b.snapshot(at('web-1', 'b'))
    expect(watch.ids()).toEqual(['web-1'])
    a.snapshot(at('web-1', 'a'))
    expect(watch.last()).toMatchObject({ endpoints: [at('a/web-1', 'a'), at('web-1', 'b')] })
    b.snapshot()
    a.snapshot(at('web-1', 'a'), at('web-2', 'c'))
    expect(watch.ids()).toEqual(['a/web-1', 'web-2'])
  })

  it('never gives an id twice, also to sources of one name', () => {
    const sources = ['x', 'x', 'x', 'x'].map((name) => registry(name))
    const watch = watched(unionSources(...sources))
    for (const [index, each] of sources.entries())
      each.snapshot(at('web', `host${index}`), at('x/web', `other${index}`))
    expect(new Set(watch.ids()).size).toBe(8)
  })

  it('leaves two of one registry at one address alone: the old instance and the new one', () => {
    const a = registry('a')
    const watch = watched(unionSources(a))
    a.snapshot(at('pod-old', '10.0.0.1', { state: 'draining' }), at('pod-new', '10.0.0.1'))
    expect(watch.ids()).toEqual(['pod-old', 'pod-new'])
  })

  it('passes on the shortest ttl and the notes', () => {
    const [a, b] = [registry('a'), registry('b')]
    const watch = watched(unionSources(a, b))
    a.say({ type: 'snapshot', endpoints: [at('a', 'a')], ttlMs: 500 })
    b.say({ type: 'snapshot', endpoints: [], ttlMs: 100, note: 'a virtual IP' })
    expect(watch.last()).toMatchObject({ ttlMs: 100, note: 'b: a virtual IP' })
  })

  it('survives sources that throw and tell nonsense', () => {
    const broken: Source = {
      name: 'broken',
      watch() {
        throw new Error('cannot be asked')
      },
    }
    const odd = registry('odd')
    const watch = watched(unionSources(broken, odd))
    odd.say({ type: 'snapshot', endpoints: [null, 7, {}, at('a', 'a')] } as never)
    expect(watch.ids()).toEqual(['a'])
    odd.say(null as never)
    expect(watch.last()).toMatchObject({ type: 'error' })
  })

  it('looks at the first 50,000 of a million, and says so', () => {
    const many = registry('many')
    const watch = watched(unionSources(many))
    const one = at('same', 'same')
    many.snapshot(...Array.from({ length: 10 }, () => one))
    many.say({
      type: 'snapshot',
      endpoints: Array.from({ length: 1_000_000 }, (_, n) => (n < 50_000 ? one : at('late', 'late'))),
    })
    expect(watch.ids()).toEqual(['same'])
    expect(watch.last()).toMatchObject({ note: 'many: only the first 50000 endpoints are looked at' })
  })

  it('asks and closes all, and is silent then', async () => {
    const all = [registry('a'), registry('b')]
    const watch = watched(unionSources(...all))
    watch.refresh()
    expect(all.map(({ asked }) => asked)).toEqual([1, 1])
    const [a] = all
    a?.snapshot(at('a', 'a'))
    await watch.close()
    expect(all.map(({ open }) => open)).toEqual([0, 0])
    const { length } = watch.heard
    a?.snapshot()
    expect(watch.heard).toHaveLength(length)
  })

  it('is checked', () => {
    for (const compose of [unionSources, fallbackSources, prioritySources]) {
      expect(() => compose()).toThrow(expect.objectContaining({ code: 'INVALID_OPTIONS' }))
      expect(() => compose({} as never)).toThrow(expect.objectContaining({ code: 'INVALID_OPTIONS' }))
    }
  })
})

describe('fallbackSources', () => {
  it('asks the next only when the first has nobody, and lets it go when it has', async () => {
    const [a, b] = [registry('a'), registry('b')]
    const watch = watched(fallbackSources(a, b))
    expect(b.watched).toBe(0)
    a.snapshot(at('a', 'a'))
    expect(b.watched).toBe(0)
    a.snapshot()
    expect(b.open).toBe(1)
    expect(watch.ids()).toEqual(['a'])
    b.snapshot(at('b', 'b'))
    expect(watch.ids()).toEqual(['b'])
    a.snapshot(at('a', 'a'))
    expect(watch.ids()).toEqual(['a'])
    expect(b.open).toBe(0)
    await watch.close()
    expect(a.open).toBe(0)
  })

  it.each([
    ['knows no such service', { type: 'absent' }],
    ['fails', down()],
    ['has only those that are down', { type: 'snapshot', endpoints: [at('a', 'a', { state: 'down' })] }],
  ] as const)('goes on when the first %s', (_what, word) => {
    const watch = watched(
      fallbackSources(registry('a', false, word as SourceUpdate), staticSource({ stock: ['b:80'] })),
    )
    expect(watch.ids()).toEqual(['b:80'])
  })

  it('does not go on when one fails that has answered: its word stands', () => {
    const [a, b] = [registry('a'), registry('b')]
    const watch = watched(fallbackSources(a, b))
    a.snapshot(at('a', 'a'))
    a.say(down())
    expect(b.watched).toBe(0)
    expect(watch.last()).toMatchObject({ type: 'snapshot', note: 'a fails: down' })
  })

  it('says that nobody is there, or absent, or fails, when all have spoken', () => {
    const [a, b] = [registry('a'), registry('b')]
    const watch = watched(fallbackSources(a, b))
    a.say(down('first'))
    expect(watch.heard).toEqual([])
    b.say({ type: 'absent' })
    expect(watch.last()).toMatchObject({ type: 'error', error: { message: 'first' } })
    a.say({ type: 'absent' })
    expect(watch.last()).toEqual({ type: 'absent' })
    b.snapshot(at('b', 'b'))
    expect(watch.ids()).toEqual(['b'])
    b.snapshot()
    expect(watch.last()).toMatchObject({ type: 'snapshot', endpoints: [] })
    a.say(down())
    expect(watch.last()).toMatchObject({ type: 'snapshot', endpoints: [] })
    b.say(down())
    expect(watch.last()).toMatchObject({ type: 'error' })
  })

  it('closes what was begun while it was told', async () => {
    const sync = registry('a', false, { type: 'absent' })
    const next = registry('b', false, { type: 'snapshot', endpoints: [at('b', 'b')] })
    const watch = watched(fallbackSources(sync, next))
    sync.snapshot(at('a', 'a'))
    expect(next.open).toBe(0)
    await watch.close()
    expect(sync.open).toBe(0)
    sync.snapshot()
    expect(next.open).toBe(0)
  })
})

describe('prioritySources', () => {
  it('puts all of the first before all of the next, whatever numbers they use', () => {
    const [a, b] = [registry('a'), registry('b')]
    const watch = watched(prioritySources(a, b))
    a.snapshot(
      at('a1', 'a1', { priority: 70_000 }),
      at('a0', 'a0', { priority: 10 }),
      at('a2', 'a2', { priority: 70_000 }),
    )
    b.snapshot(at('b0', 'b0'), at('b1', 'b1', { priority: 1 }))
    expect(watch.last()).toMatchObject({
      endpoints: [
        { id: 'a1', priority: 1 },
        { id: 'a0', priority: 0 },
        { id: 'a2', priority: 1 },
        { id: 'b0', priority: 2 },
        { id: 'b1', priority: 3 },
      ],
    })
  })

  it('nests', () => {
    const [a, b, c] = [registry('a'), registry('b'), registry('c')]
    const source = prioritySources(prioritySources(a, b), c)
    expect(source.name).toBe('priority(priority(a, b), c)')
    const watch = watched(source)
    a.snapshot(at('a', 'a', { priority: 5 }))
    b.snapshot(at('b', 'b'))
    c.snapshot(at('c', 'c'))
    expect(watch.last()).toMatchObject({
      endpoints: [
        { id: 'a', priority: 0 },
        { id: 'b', priority: 1 },
        { id: 'c', priority: 2 },
      ],
    })
  })

  it('takes an address that two have at the rank of the first', () => {
    const [a, b] = [registry('a'), registry('b')]
    const watch = watched(prioritySources(a, b))
    b.snapshot(at('x', 'same'))
    a.snapshot(at('y', 'same'))
    expect(watch.last()).toMatchObject({ endpoints: [{ id: 'x', priority: 0 }] })
  })
})

describe('the allow rule over composed sources', () => {
  const inForce = (source: Source): readonly Endpoint[] => {
    let last: readonly Endpoint[] = []
    createIntake({
      source,
      service: 'stock',
      clock: fakeClock(),
      rules: readIntakeOptions({}),
      events: createEvents(),
      onEndpoints: (endpoints) => {
        last = endpoints
      },
    })
    return last
  }
  const local = staticSource({ stock: ['127.0.0.1:80'] })
  const remote = (host: string): Source => registry('remote', true, { type: 'snapshot', endpoints: [at('evil', host)] })

  it.each([
    ['union', unionSources],
    ['priority', prioritySources],
  ])('holds for each part by itself: %s', (_name, compose) => {
    const source = compose(remote('127.0.0.2'), local)
    expect(source.remote).toBe(true)
    expect(inForce(source).map(({ id }) => id)).toEqual(['127.0.0.1:80'])
    expect(inForce(unionSources(remote('127.0.0.3'), compose(remote('127.0.0.2'), local))).map(({ id }) => id)).toEqual(
      ['127.0.0.1:80'],
    )
  })

  it('holds in a fallback', () => {
    expect(inForce(fallbackSources(registry('a', true, { type: 'absent' }), local))).toHaveLength(1)
    expect(inForce(fallbackSources(remote('127.0.0.1'), local))).toHaveLength(0)
  })

  it('is not applied where no part is remote', () => {
    expect(unionSources(local).remote).toBe(false)
    expect(inForce(unionSources(local))).toHaveLength(1)
  })

  it('spares an address that a local source has as well', () => {
    expect(inForce(unionSources(remote('127.0.0.1'), local))).toHaveLength(1)
  })

  it('leaves no mark on what the resolver gets, and none can come as text', () => {
    const [endpoint] = inForce(unionSources(remote('10.0.0.1'), local)).filter(({ id }) => id !== 'evil')
    expect(Reflect.ownKeys(endpoint as object)).toEqual(['id', 'addresses'])
    const forged = JSON.parse(
      '{"id":"x","addresses":[{"host":"127.0.0.1","port":80}],"fairlead.vouched":true,"Symbol(fairlead.vouched)":true}',
    )
    expect(inForce(registry('r', true, { type: 'snapshot', endpoints: [forged] }))).toEqual([])
  })
})

describe('a mass loss of one of two', () => {
  it('is held where the share says so: it is judged by the sum', async () => {
    const clock = fakeClock()
    const [one, other] = [registry('one'), registry('other')]
    const rules = readIntakeOptions({ debounceMs: 0, massLoss: { share: 0.6 } })
    const told: number[] = []
    const intake = createIntake({
      source: unionSources(one, other),
      service: 'stock',
      clock,
      rules,
      events: createEvents(undefined),
      onEndpoints: (endpoints) => void told.push(endpoints.length),
    })
    one.snapshot(...Array.from({ length: 10 }, (_, n) => at(`a${n}`, `10.1.0.${n}`)))
    other.snapshot(...Array.from({ length: 10 }, (_, n) => at(`b${n}`, `10.2.0.${n}`)))
    other.snapshot()
    expect(told).toEqual([10, 20])
    await clock.advance(30_000)
    expect(told).toEqual([10, 20, 10])
    await intake.close()
  })
})
