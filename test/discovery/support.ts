// What the tests of the resolver have in common: a source that says what a test says, and a balancer that shows what it is told.
import type {
  Balancer,
  EndpointView,
  Lease,
  Outcome,
  PickContext,
  Resolver,
} from '../../src/core/contracts/balancer.ts'
import type { Endpoint, Source, SourceUpdate } from '../../src/core/contracts/source.ts'
import type { PipelineEvent } from '../../src/core/events.ts'
import { createDiscovery, type Discovery, type DiscoveryOptions } from '../../src/discovery/discovery.ts'
import { type FakeClock, fakeClock } from '../../src/testing/fake-clock.ts'
import { seededRandom } from '../../src/testing/seeded-random.ts'

/** An endpoint of that id. */
export function at(id: string, more: Partial<Endpoint> = {}): Endpoint {
  return { id, addresses: [{ host: '10.0.0.1', port: 80 }], ...more }
}

/** A source that says what the test says. */
export interface ToldSource extends Source {
  tell(update: SourceUpdate): void
  /** As a snapshot; a word is an endpoint of that id. */
  list(...endpoints: readonly (Endpoint | string)[]): void
  readonly watching: number
  refreshes: number
}

export function toldSource(): ToldSource {
  const sinks = new Set<(update: SourceUpdate) => void>()
  const self: ToldSource = {
    name: 'told',
    refreshes: 0,
    watch(_service, sink) {
      sinks.add(sink)
      return { refresh: () => void self.refreshes++, close: async () => void sinks.delete(sink) }
    },
    tell(update) {
      for (const sink of sinks) sink(update)
    },
    list(...endpoints) {
      self.tell({
        type: 'snapshot',
        endpoints: endpoints.map((each) => (typeof each === 'string' ? at(each) : each)),
      })
    },
    get watching() {
      return sinks.size
    },
  }
  return self
}

/** A balancer that takes the first untried one, and shows what it was told. */
export interface Seeing {
  readonly factory: () => Balancer
  views: readonly EndpointView[]
  updates: number
  readonly ids: readonly string[]
}

export function seeing(): Seeing {
  const self = {
    views: [] as readonly EndpointView[],
    updates: 0,
    get ids() {
      return self.views.map((each) => each.endpoint.id)
    },
    factory: (): Balancer => ({
      update: (view) => {
        self.views = view
        self.updates++
      },
      pick: ({ avoid }: PickContext) => self.views.find((each) => !avoid?.has(each.endpoint.id)),
    }),
  }
  return self
}

/** A resolver with all that a test wants to hold. Neither debounced nor guarded against a mass loss: those are the intake's tests. */
export interface Bench {
  readonly clock: FakeClock
  readonly source: ToldSource
  readonly balancer: Seeing
  readonly discovery: Discovery
  readonly resolver: Resolver
  readonly events: PipelineEvent[]
  /** Takes a lease of this endpoint if it can be had, and reports. */
  call(id: string, kind?: Outcome['kind'], more?: Partial<Outcome>): void
  lease(context?: PickContext): Lease
  view(id: string): EndpointView
}

export function bench(options: Partial<DiscoveryOptions> = {}, ...endpoints: readonly (Endpoint | string)[]): Bench {
  const clock = fakeClock({ now: 1_000 })
  const source = toldSource()
  const balancer = seeing()
  const events: PipelineEvent[] = []
  const discovery = createDiscovery({
    source,
    balancer: balancer.factory,
    clock,
    random: seededRandom(1),
    debounceMs: 0,
    massLoss: false,
    onEvent: (event) => void events.push(event),
    ...options,
  })
  const resolver = discovery.resolver('stock')
  resolver.untried(new Set())
  if (endpoints.length > 0) source.list(...endpoints)
  // Kept: one that leaves the view is still looked at.
  const known = new Map<string, EndpointView>()
  const look = (): void => {
    for (const each of balancer.views) known.set(each.endpoint.id, each)
  }
  const lease = (context?: PickContext): Lease => {
    look()
    return resolver.acquire(context) as Lease
  }
  return {
    clock,
    source,
    balancer,
    discovery,
    resolver,
    events,
    lease,
    call(id, kind = 'success', more = {}) {
      const others = [...known.keys(), ...balancer.ids].filter((each) => each !== id)
      const taken = lease({ avoid: new Set(others) })
      if (taken.endpoint.id !== id) {
        taken.report({ kind: 'cancelled', latencyMs: 0 })
        throw new Error(`wanted ${id}, was given ${taken.endpoint.id}`)
      }
      taken.report({ kind, latencyMs: 5, ...more })
    },
    view(id) {
      look()
      const found = known.get(id)
      if (found === undefined) throw new Error(`${id} was never in a view`)
      return found
    },
  }
}

export const ok = { kind: 'success', latencyMs: 5 } as const
export const bad = { kind: 'failure', latencyMs: 5 } as const
