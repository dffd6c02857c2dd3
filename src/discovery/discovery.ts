// Client-side discovery: one watch and one set of figures a service, however many proxies ask.
import { type Clock, type Random, systemClock, systemRandom } from '../core/clock.ts'
import type { Balancer, Resolver } from '../core/contracts/balancer.ts'
import type { Source } from '../core/contracts/source.ts'
import { type Describable, described, type LayerDescription } from '../core/describe.ts'
import { createEvents, type EventListener } from '../core/events.ts'
import { type Closable, closable } from '../core/lifecycle.ts'
import { countOption, durationOption, invalidOption, knownOptions } from '../core/options.ts'
import type { BalancerFactory } from './balancers/factory.ts'
import { BALANCER_NAMES, type BalancerName, balancerNamed } from './balancers/names.ts'
import { type EjectionOptions, ejectionRules } from './ejection.ts'
import type { ServiceFigures } from './inspect.ts'
import { INTAKE_OPTIONS, type IntakeOptions, readIntakeOptions } from './intake-options.ts'
import { closedError, ServiceResolver } from './resolver.ts'
import { ResolverHandle } from './resolver-handle.ts'
import { readServiceName } from './service-name.ts'
import { Services } from './services.ts'

/** Options of `createDiscovery`. Durations are milliseconds. */
export interface DiscoveryOptions extends IntakeOptions {
  /** Who says which endpoints there are. Several become one by `unionSources`, `fallbackSources` or `prioritySources`. */
  readonly source: Source
  /** How one of them is picked: a name, or what makes a balancer. Default 'p2c-ewma': of two the one that will answer sooner. */
  readonly balancer?: BalancerName | BalancerFactory | undefined
  /** When an endpoint that fails is left out for a while. Default: on, see `EjectionOptions`. false turns it off. */
  readonly ejection?: EjectionOptions | false | undefined
  /** How long the share of a new endpoint grows, from a tenth to the whole. Default: off, it gets its whole share at once. */
  readonly slowStartMs?: number | undefined
  /** How long an endpoint that is gone may finish its calls before `onRemoved` tells of it. Default 30000. */
  readonly drainMs?: number | undefined
  /**
   * 'lazy', the default: the first call of a service starts its watch. 'wait': those of `services` are watched from the beginning,
   * and `ready()` settles once each is known.
   */
  readonly startup?: 'lazy' | 'wait' | undefined
  /** The services that `startup: 'wait'` is about; refused without it. */
  readonly services?: readonly string[] | undefined
  /**
   * How long calls wait for the first word of the source at most, counted from the beginning of the watch; the deadline of a call may end it
   * sooner. After that they fail at once until there is a word. Default 5000.
   */
  readonly startupMs?: number | undefined
  /**
   * How many services are watched at once. With one more, one is let go: rather one without endpoints, else the one called the longest ago;
   * calls that wait for its first word fail with NO_ENDPOINT. Default 1000.
   */
  readonly maxServices?: number | undefined
  /** Hears what happens. Events are also on the diagnostics channel `fairlead:event`. */
  readonly onEvent?: EventListener | undefined
  /** Time. Default: the system's. */
  readonly clock?: Clock | undefined
  /** Chance. Default: the system's. */
  readonly random?: Random | undefined
  /** Ids. It has no use for it: it is taken so that what others take can be spread. */
  readonly newId?: (() => string) | undefined
}

/** Knows whom to call. */
export interface Discovery extends Closable, Describable<LayerDescription> {
  /**
   * The resolver of a service; it is made, and the source asked, when first needed.
   * Figures are shared by all resolvers of a service; closing one of them leaves the others alone.
   * @param service 1 to 255 characters, none of them a control character
   * @throws FairleadError INVALID_OPTIONS for another name; SHUTDOWN once closed
   */
  resolver(service: string): Resolver
  /**
   * With `startup: 'wait'`: settles once the source has said who serves each of `services`, if only that nobody does.
   * Otherwise at once.
   * @throws FairleadError NO_ENDPOINT (rejects with it) where there was no word within `startupMs`; its cause is the source's error
   */
  ready(): Promise<void>
  /** The figures of a service, as they are now. Undefined for one that is not watched. */
  inspect(service: string): ServiceFigures | undefined
}

const OPTIONS: readonly string[] = [
  'source',
  'balancer',
  'ejection',
  'slowStartMs',
  'drainMs',
  'startup',
  'services',
  'startupMs',
  'maxServices',
  'onEvent',
  'clock',
  'random',
  'newId',
  ...INTAKE_OPTIONS,
]

/**
 * Client-side discovery over a source.
 * @throws FairleadError INVALID_OPTIONS
 * @example const discovery = createDiscovery({ source: staticSource({ inventory: ['10.0.0.1:80', '10.0.0.2:80'] }) })
 */
export function createDiscovery(options: DiscoveryOptions): Discovery {
  knownOptions('createDiscovery', options, OPTIONS)
  const { source, onEvent } = options
  if (typeof source?.watch !== 'function')
    throw invalidOption('source', source, 'give a source, such as staticSource({ ... })')
  if (onEvent !== undefined && typeof onEvent !== 'function')
    throw invalidOption('onEvent', onEvent, 'give a function of the event')
  const clock = options.clock ?? systemClock
  const random = options.random ?? systemRandom
  const maxServices = countOption('maxServices', options.maxServices, 1_000)
  const awaited = awaitedServices(options, maxServices)
  const makeBalancer = balancerFactory(options.balancer)
  const parts = {
    source,
    rules: readIntakeOptions(options),
    clock,
    random,
    events: createEvents(onEvent),
    ejection: ejectionRules(options.ejection),
    startupMs: durationOption('startupMs', options.startupMs, 5_000),
    slowStartMs: options.slowStartMs === undefined ? undefined : durationOption('slowStartMs', options.slowStartMs, 1),
    drainMs: durationOption('drainMs', options.drainMs, 30_000),
    uses: { count: 0 },
  }
  let closed = false

  const services = new Services(
    maxServices,
    (service) => new ServiceResolver(service, { ...parts, balancer: checkBalancer(makeBalancer({ clock, random })) }),
  )
  const find = (service: string): ServiceResolver => {
    if (closed) throw closedError(service)
    return services.get(service)
  }
  for (const service of awaited) find(service)

  const discovery: Omit<Discovery, keyof Describable> = {
    resolver(service) {
      readServiceName('service', service)
      if (closed) throw closedError(service)
      return new ResolverHandle(service, find, (name) => services.peek(name))
    },
    async ready() {
      await Promise.all(awaited.map((service) => find(service).first()))
    },
    inspect(service) {
      const found = services.peek(service)
      return found === undefined || found.ended ? undefined : found.figures()
    },
    ...closable(async () => {
      closed = true
      await services.end()
    }),
  }
  const { debounceMs, maxStaleMs, graceMs, lossShare, maxEndpoints, port } = parts.rules
  return described(
    discovery,
    'discovery',
    {
      source: source.name,
      balancer: typeof options.balancer === 'function' ? 'own' : (options.balancer ?? DEFAULT_BALANCER),
      startup: options.startup ?? 'lazy',
      startupMs: parts.startupMs,
      ejection: parts.ejection ?? false,
      slowStartMs: parts.slowStartMs,
      drainMs: parts.drainMs,
      debounceMs,
      maxStaleMs,
      massLoss: lossShare === 0 ? false : { graceMs, share: lossShare },
      maxEndpoints,
      port,
      maxServices,
    },
    () => ({ services: [...services.values()].filter((each) => !each.ended).map((each) => each.service) }),
  )
}

const DEFAULT_BALANCER: BalancerName = 'p2c-ewma'

function balancerFactory(given: DiscoveryOptions['balancer'] = DEFAULT_BALANCER): BalancerFactory {
  const factory = typeof given === 'string' ? balancerNamed(given) : given
  if (typeof factory === 'function') return factory
  throw invalidOption(
    'balancer',
    given,
    `give one of ${BALANCER_NAMES.join(', ')}, or a function that makes a balancer`,
  )
}

function checkBalancer(made: Balancer): Balancer {
  if (typeof made?.update === 'function' && typeof made.pick === 'function') return made
  throw invalidOption('balancer', made, 'let the function return a balancer: update(view) and pick(context)')
}

function awaitedServices({ startup, services }: DiscoveryOptions, maxServices: number): readonly string[] {
  if (startup !== undefined && startup !== 'lazy' && startup !== 'wait')
    throw invalidOption('startup', startup, "give 'lazy' or 'wait'")
  if (
    services !== undefined &&
    !(Array.isArray(services) && services.every((each) => typeof each === 'string' && each !== ''))
  )
    throw invalidOption('services', services, "give a list of names, such as ['inventory']")
  if (startup !== 'wait') {
    if (services !== undefined)
      throw invalidOption('services', services, "say startup: 'wait' as well, or leave it out: it has no meaning alone")
    return []
  }
  if (services === undefined || services.length === 0)
    throw invalidOption('services', services, "name the services that startup: 'wait' is to wait for")
  const distinct = [...new Set(services)]
  for (const service of distinct) readServiceName('services', service)
  if (distinct.length > maxServices)
    throw invalidOption('services', services, `give at most maxServices (${maxServices}) names`)
  return distinct
}
