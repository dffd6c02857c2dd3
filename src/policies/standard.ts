// The standard order, which nobody has to think about. First = outermost:
// telemetry > deadline > fallback > cache | coalesce > retry > hedge > rate-limit > circuit-breaker > attempt-timeout > bulkhead > quorum > pick > transport.
// Adaptive limits stand beside the bulkhead, chaos after the pick, once they exist.
import type { Clock } from '../core/clock.ts'
import { DESCRIBE, type Describable, type LayerDescription } from '../core/describe.ts'
import type { Events } from '../core/events.ts'
import { compose, type Handler, type Layer } from '../core/handler.ts'
import { durationOption, invalidOption, knownOptions } from '../core/options.ts'
import { attemptTimeoutLayer } from './attempt-timeout.ts'
import { type Bulkhead, bulkhead } from './bulkhead.ts'
import { type CacheOptions, cache } from './cache.ts'
import { type CircuitBreaker, type CircuitBreakerOptions, circuitBreaker } from './circuit-breaker.ts'
import { type CoalesceOptions, coalesce } from './coalesce.ts'
import { deadline } from './deadline.ts'
import { type Fallback, fallback } from './fallback.ts'
import { type HedgeOptions, hedge } from './hedge.ts'
import { type QuorumOptions, quorum } from './quorum.ts'
import { type RateLimit, type RateLimitOptions, rateLimit } from './rate-limit.ts'
import { type RetryOptions, retry } from './retry.ts'
import { type RetryBudget, retryBudget } from './retry-budget.ts'
import { SEAMS, type Seams, type World, world } from './seams.ts'
import { telemetryLayer } from './telemetry.ts'

/** Policies that all operations of a service share. Flat, all optional; `false` switches one off. */
export interface StandardOptions extends Seams {
  /** For the whole call, milliseconds. Default 5,000. `false`: only an inherited deadline counts. */
  readonly deadlineMs?: number | false | undefined
  /** For one attempt, milliseconds. Default 2,000. `false`: the deadline alone bounds it. */
  readonly attemptTimeoutMs?: number | false | undefined
  /** Cap on outstanding calls, without a queue. Default 100. Give a `bulkhead()` to share one. */
  readonly maxOutstanding?: number | false | Bulkhead | undefined
  /** Default: opens at 50 % of at least 20 calls in 10 s. Give a `circuitBreaker()` to share or steer one. */
  readonly circuitBreaker?: CircuitBreakerOptions | CircuitBreaker | false | undefined
  /** Default: none. Give a `rateLimit()` to share one. */
  readonly rateLimit?: RateLimitOptions | RateLimit | false | undefined
  /** 3 attempts in all, full jitter, within a budget. */
  readonly retry?: RetryOptions | false | undefined
  /** Default: none. Of calls that may be made twice, the slow ones go to another endpoint as well, within the budget of retry. */
  readonly hedge?: HedgeOptions | false | undefined
  /** Default: none. Several endpoints are asked at once, and so many have to agree. */
  readonly quorum?: QuorumOptions | false | undefined
}

/** Policies that belong to one operation: they know its answers. */
export interface OperationPolicies {
  readonly fallback?: readonly Fallback<unknown>[] | undefined
  readonly cache?: CacheOptions | undefined
  readonly coalesce?: CoalesceOptions | undefined
  /** It takes or gives a stream: those cannot be compared, and one that is sent cannot be sent several times over, so no quorum. */
  readonly streams?: boolean | undefined
}

/** Names of the standard options, seams included. */
export const STANDARD_OPTIONS: readonly string[] = [
  'deadlineMs',
  'attemptTimeoutMs',
  'maxOutstanding',
  'circuitBreaker',
  'rateLimit',
  'retry',
  'hedge',
  'quorum',
  ...SEAMS,
]

/** The shared part of the pipelines of one service. */
export interface Standard {
  /** Infinity where there is none. */
  readonly deadlineMs: number
  readonly clock: Clock
  readonly events: Events
  readonly circuitBreaker: CircuitBreaker | undefined
  readonly bulkhead: Bulkhead | undefined
  /** The pipeline of one operation around its handler. */
  pipeline<Req, Res>(own: OperationPolicies, handler: Handler<Req, Res>): Handler<Req, Res>
  /** What the pipeline last made of these policies consists of, outermost first. */
  layers(own: OperationPolicies): readonly LayerDescription[]
}

/**
 * Builds the shared layers once.
 * @param name for the events of the circuit breaker: the service
 * @throws FairleadError `INVALID_OPTIONS`, naming the option and the fix
 */
export function standard(name: string, options: StandardOptions, pick?: Layer | undefined): Standard {
  knownOptions('standard', options, STANDARD_OPTIONS)
  const seen = world(options)
  const seams = seamsOf(options)
  const deadlineMs = options.deadlineMs === false ? Infinity : durationOption('deadlineMs', options.deadlineMs, 5_000)
  const attemptTimeoutMs =
    options.attemptTimeoutMs === false
      ? Infinity
      : durationOption('attemptTimeoutMs', options.attemptTimeoutMs, ATTEMPT_TIMEOUT_MS)
  const slots = bulkheadOf(options.maxOutstanding, seams)
  const breaker = breakerOf(name, options.circuitBreaker, attemptTimeoutMs, seams)
  const layers: Layer[] = seams === NO_SEAMS ? [TELEMETRY, DEADLINE] : [telemetryLayer(seen), deadline(seams)]
  const budget = sharedBudget(options, seams)
  if (options.retry !== undefined && options.retry !== false)
    layers.push(retry({ ...seams, ...optionsObject('retry', options.retry, 'give its options, or false'), ...budget }))
  if (options.hedge !== undefined && options.hedge !== false)
    layers.push(hedge({ ...seams, ...optionsObject('hedge', options.hedge, 'give its options, or false'), ...budget }))
  const rate = rateOf(options.rateLimit, seams)
  if (rate !== undefined) layers.push(rate)
  if (breaker !== undefined) layers.push(breaker)
  layers.push(
    seams === NO_SEAMS && attemptTimeoutMs === ATTEMPT_TIMEOUT_MS
      ? ATTEMPT_TIMEOUT
      : attemptTimeoutLayer(attemptTimeoutMs, seen),
  )
  if (slots !== undefined) layers.push(slots)
  const voting =
    options.quorum === undefined || options.quorum === false
      ? undefined
      : quorum(optionsObject('quorum', options.quorum, 'give its options, or false'))
  if (voting !== undefined) layers.push(voting)
  if (pick !== undefined) layers.push(pick)
  return new Pipelines(deadlineMs, seen, breaker, slots, layers.slice(), seams, voting)
}

// Layers without state: one of each is enough for all who were given no clock of their own.
const ATTEMPT_TIMEOUT_MS = 2_000
const TELEMETRY: Layer = telemetryLayer(world())
const DEADLINE: Layer = deadline()
const ATTEMPT_TIMEOUT: Layer = attemptTimeoutLayer(ATTEMPT_TIMEOUT_MS, world())

// How many of the layers stand outside those of an operation.
const OUTER = 2

class Pipelines implements Standard {
  readonly deadlineMs: number
  readonly circuitBreaker: CircuitBreaker | undefined
  readonly bulkhead: Bulkhead | undefined
  private readonly world: World
  private readonly shared: readonly Layer[]
  private readonly seams: Seams
  private readonly voting: Layer | undefined
  // A description shows the layers that run: those of one operation have state of their own.
  private running: WeakMap<OperationPolicies, readonly Layer[]> | undefined

  constructor(
    deadlineMs: number,
    seen: World,
    circuitBreaker: CircuitBreaker | undefined,
    slots: Bulkhead | undefined,
    shared: readonly Layer[],
    seams: Seams,
    voting: Layer | undefined,
  ) {
    this.deadlineMs = deadlineMs
    this.circuitBreaker = circuitBreaker
    this.bulkhead = slots
    this.world = seen
    this.shared = shared
    this.seams = seams
    this.voting = voting
    this.running = undefined
  }

  get clock(): Clock {
    return this.world.clock
  }

  get events(): Events {
    return this.world.events
  }

  pipeline<Req, Res>(own: OperationPolicies, handler: Handler<Req, Res>): Handler<Req, Res> {
    const layers = this.all(own)
    if (layers !== this.shared) {
      this.running ??= new WeakMap()
      this.running.set(own, layers)
    }
    return compose(layers, handler)
  }

  layers(own: OperationPolicies): readonly LayerDescription[] {
    return (this.running?.get(own) ?? this.all(own)).map(describeLayer)
  }

  private all(own: OperationPolicies): readonly Layer[] {
    const shared =
      own.streams === true && this.voting !== undefined
        ? this.shared.filter((layer) => layer !== this.voting)
        : this.shared
    const inner = ownLayers(own, this.seams)
    return inner.length === 0 ? shared : [...shared.slice(0, OUTER), ...inner, ...shared.slice(OUTER)]
  }
}

function describeLayer(layer: Layer): LayerDescription {
  return (
    (layer as Layer & Partial<Describable<LayerDescription>>)[DESCRIBE]?.() ?? {
      layer: layer.name || 'layer',
      options: {},
    }
  )
}

const NO_SEAMS: Seams = Object.freeze({})

function seamsOf({ clock, random, onEvent }: Seams): Seams {
  if (clock === undefined && random === undefined && onEvent === undefined) return NO_SEAMS
  return { clock, random, onEvent }
}

function ownLayers(
  { fallback: chain, cache: kept, coalesce: shared }: OperationPolicies,
  seams: Seams,
): readonly Layer[] {
  const layers: Layer[] = []
  if (chain !== undefined && !Array.isArray(chain))
    throw invalidOption('fallback', chain, 'give a list: [lastGood(), value(...)]')
  if (chain !== undefined && chain.length > 0) layers.push(fallback(chain, seams))
  if (kept !== undefined) layers.push(cache({ ...seams, ...kept }))
  if (shared !== undefined) layers.push(coalesce({ ...seams, ...shared }))
  return layers
}

// Retries and hedges are extra load of the same kind: where both are on, one budget bounds their sum.
function sharedBudget({ retry: again, hedge: also }: StandardOptions, seams: Seams): { budget?: RetryBudget } {
  if (!isOptions(again) || !isOptions(also)) return {}
  const given = again.budget ?? also.budget
  if (given === false) return {}
  if (given !== undefined && 'withdraw' in given) return { budget: given }
  return { budget: retryBudget({ clock: seams.clock, ...given }) }
}

function isOptions<T extends object>(given: T | false | undefined): given is T {
  return typeof given === 'object' && given !== null
}

function bulkheadOf(given: StandardOptions['maxOutstanding'], seams: Seams): Bulkhead | undefined {
  if (given === false) return undefined
  return typeof given === 'function' ? given : bulkhead({ ...seams, maxOutstanding: given })
}

function breakerOf(
  name: string,
  given: StandardOptions['circuitBreaker'],
  attemptTimeoutMs: number,
  seams: Seams,
): CircuitBreaker | undefined {
  if (given === false) return undefined
  if (typeof given === 'function') return given
  const own =
    given === undefined ? {} : optionsObject('circuitBreaker', given, 'give its options, a circuitBreaker(), or false')
  return circuitBreaker({
    ...seams,
    name,
    probeTimeoutMs: attemptTimeoutMs === Infinity ? undefined : attemptTimeoutMs,
    ...own,
  })
}

function rateOf(given: StandardOptions['rateLimit'], seams: Seams): RateLimit | undefined {
  if (given === undefined || given === false) return undefined
  if (typeof given === 'function') return given
  const own = optionsObject('rateLimit', given, 'give its options, a rateLimit(), or false')
  if (own.shared !== undefined)
    throw invalidOption(
      'rateLimit.shared',
      own.shared,
      'make it with rateLimit(), give that, and close it at the end: it has a connection of its own',
    )
  return rateLimit({ ...seams, ...own })
}

// Spread, a number or `true` would be taken for "the defaults".
function optionsObject<T extends object>(option: string, given: T, fix: string): T {
  if (typeof given !== 'object' || given === null) throw invalidOption(option, given, fix)
  return given
}
