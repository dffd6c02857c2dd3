// Client-side discovery: one watch and one set of figures a service, however many proxies ask.
import { type Clock, type Random, systemClock, systemRandom } from '../core/clock.ts'
import type { Balancer, Resolver } from '../core/contracts/balancer.ts'
import type { Source } from '../core/contracts/source.ts'
import { keyed } from '../core/keyed.ts'
import { type Closable, closable } from '../core/lifecycle.ts'
import { countOption, durationOption, invalidOption, knownOptions } from '../core/options.ts'
import { random } from './balancers/random.ts'
import { roundRobin } from './balancers/round-robin.ts'
import { closedError, ServiceResolver } from './resolver.ts'

/** Makes the balancer of one service. It is given time and chance and must use no other. */
export type BalancerFactory = (seams: { readonly clock: Clock; readonly random: Random }) => Balancer

/** Options of `createDiscovery`. */
export interface DiscoveryOptions {
  /** Who says which endpoints there are. */
  readonly source: Source
  /** How one of them is picked. Default 'round-robin'. */
  readonly balancer?: 'round-robin' | 'random' | BalancerFactory | undefined
  /** How long a call waits for the first word of the source at most, milliseconds; its deadline may end it sooner. Default 5000. */
  readonly startupMs?: number | undefined
  /** How many services are watched at once; the one that was asked for least lately is let go. Default 1000. */
  readonly maxServices?: number | undefined
  /** Time. Default: the system's. */
  readonly clock?: Clock | undefined
  /** Chance. Default: the system's. */
  readonly random?: Random | undefined
}

/** Knows whom to call. */
export interface Discovery extends Closable {
  /**
   * The resolver of a service; it is made, and the source asked, when first needed.
   * Figures are shared by all resolvers of a service; closing one of them leaves the others alone.
   */
  resolver(service: string): Resolver
}

const OPTIONS = ['source', 'balancer', 'startupMs', 'maxServices', 'clock', 'random']

/**
 * Client-side discovery over a source.
 * @throws FairleadError INVALID_OPTIONS
 * @example const discovery = createDiscovery({ source: staticSource({ inventory: ['10.0.0.1:80', '10.0.0.2:80'] }) })
 */
export function createDiscovery(options: DiscoveryOptions): Discovery {
  knownOptions('createDiscovery', options, OPTIONS)
  const { source } = options
  if (typeof source?.watch !== 'function')
    throw invalidOption('source', source, 'give a source, such as staticSource({ ... })')
  const seams = { clock: options.clock ?? systemClock, random: options.random ?? systemRandom }
  const makeBalancer = balancerFactory(options.balancer)
  const startupMs = durationOption('startupMs', options.startupMs, 5_000)
  let closed = false

  // Names of services may come from outside: a million of them must not become a million watches.
  const services = keyed<ServiceResolver>(
    countOption('maxServices', options.maxServices, 1_000),
    (service) => new ServiceResolver(service, { source, balancer: makeBalancer(seams), clock: seams.clock, startupMs }),
    // Any may go: who still holds a resolver of it finds it made anew. This is asked right before it is let go.
    (forgotten) => {
      forgotten.end().catch(() => {})
      return true
    },
  )
  const find = (service: string): ServiceResolver => {
    if (closed) throw closedError(service)
    return services.get(service)
  }

  return {
    resolver(service) {
      if (closed) throw closedError(service)
      return new ResolverHandle(service, find)
    },
    ...closable(async () => {
      closed = true
      await Promise.allSettled([...services.values()].map((each) => each.end()))
    }),
  }
}

// What proxies hold. The shared state behind it may be let go when too many services are asked for; it is then made anew.
class ResolverHandle implements Resolver {
  readonly service: string
  private shared: ServiceResolver | undefined
  private closed: boolean
  private readonly find: (service: string) => ServiceResolver

  constructor(service: string, find: (service: string) => ServiceResolver) {
    this.service = service
    this.shared = undefined
    this.closed = false
    this.find = find
  }

  acquire(context?: Parameters<Resolver['acquire']>[0]): ReturnType<Resolver['acquire']> {
    return this.current().acquire(context)
  }

  untried(avoid: ReadonlySet<string>): number {
    return this.current().untried(avoid)
  }

  refresh(): void {
    this.current().refresh()
  }

  async close(): Promise<void> {
    this.closed = true
    this.shared = undefined
  }

  private current(): ServiceResolver {
    const { shared } = this
    if (shared !== undefined && !shared.ended) return shared
    if (this.closed) throw closedError(this.service)
    return (this.shared = this.find(this.service))
  }
}

function balancerFactory(given: DiscoveryOptions['balancer']): BalancerFactory {
  if (given === undefined || given === 'round-robin') return roundRobin
  if (given === 'random') return random
  if (typeof given === 'function') return given
  throw invalidOption('balancer', given, "give 'round-robin', 'random' or a function that makes a balancer")
}
