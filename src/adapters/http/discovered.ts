// A request to a name that discovery knows: which service it is, one lease for it, and what is told of how it went.
import type { Clock } from '../../core/clock.ts'
import type { Lease, Outcome, Resolver } from '../../core/contracts/balancer.ts'
import { keyed } from '../../core/keyed.ts'
import { invalidOption } from '../../core/options.ts'
import { isFairleadError } from '../../errors/base.ts'
import { createError } from '../../errors/classes.ts'
import { classify, statusToError } from '../../errors/classify.ts'
import { CODES } from '../../errors/codes.ts'
import type { ResolverSource } from './options.ts'
import { TRIED } from './tried.ts'
import type { DispatchController, DispatchHandler, IncomingHeaders } from './undici.ts'

/** Which service a host name stands for. Undefined: none, the request goes where its URL says. */
export type ServiceOf = (hostname: string) => string | undefined

/** The part of the options of a dispatch that is looked at. */
export interface Dispatched {
  readonly origin?: string | URL | undefined
  readonly method?: string | undefined
  readonly [more: string | symbol]: unknown
}

/** A name and who serves it. */
export interface Site {
  readonly url: URL
  readonly service: string
  readonly resolver: Resolver
}

// Names come from URLs, and those may come from outside.
const MOST_SITES = 1_000

/** Finds the site of a request. */
export class Sites {
  readonly #serviceOf: ServiceOf
  readonly #resolvers: { get(service: string): Resolver }

  constructor(
    discovery: ResolverSource,
    serviceOf: ServiceOf | undefined,
    made: (service: string, resolver: Resolver) => void,
  ) {
    if (typeof discovery?.resolver !== 'function')
      throw invalidOption('discovery', discovery, 'give what createDiscovery() returns')
    if (serviceOf !== undefined && typeof serviceOf !== 'function')
      throw invalidOption('serviceOf', serviceOf, 'give a function of the host name')
    this.#serviceOf = serviceOf ?? ((hostname) => hostname)
    this.#resolvers = keyed<Resolver>(MOST_SITES, (service) => {
      const resolver = discovery.resolver(service)
      made(service, resolver)
      return resolver
    })
  }

  of(origin: Dispatched['origin']): Site | undefined {
    const url = new URL(String(origin))
    const service = this.#serviceOf(url.hostname)
    return service === undefined ? undefined : { url, service, resolver: this.#resolvers.get(service) }
  }
}

/**
 * Of one request over all its attempts: the endpoints that it was sent to. Retries of undici come again with the same handler; `resilience()` has a
 * handler for each attempt, and says on the options which ones belong together.
 */
export class Attempts {
  readonly #byHandler = new WeakMap<DispatchHandler, Set<string>>()

  of(request: Dispatched, handler: DispatchHandler): Set<string> {
    const given = request[TRIED]
    if (given instanceof Set) return given
    let tried = this.#byHandler.get(handler)
    if (tried === undefined) this.#byHandler.set(handler, (tried = new Set()))
    return tried
  }
}

/**
 * Takes a lease and goes on with it: at once where the endpoints are known, else when they are. `onResponseError` tells where there is none.
 */
export function withLease(
  site: Site,
  tried: ReadonlySet<string>,
  handler: DispatchHandler,
  go: (lease: Lease) => boolean,
): boolean {
  let lease: Lease | Promise<Lease>
  try {
    lease = site.resolver.acquire({ avoid: tried })
  } catch (error) {
    // Not inside dispatch: those who called it do not expect to be told before it has returned.
    queueMicrotask(() => handler.onResponseError(undefined, error as Error))
    return true
  }
  if ('report' in lease) return go(lease)
  lease.then(go).catch((error: Error) => handler.onResponseError(undefined, error))
  return true
}

/** Hands everything on, and reports how it went, once. What it took is the time until the head of the answer. */
export class Reporting implements DispatchHandler {
  readonly onResponseStarted?: () => void
  readonly onRequestUpgrade?: DispatchHandler['onRequestUpgrade'] & {}
  readonly #inner: DispatchHandler
  readonly #lease: Lease
  readonly #clock: Clock
  readonly #began: number
  #headMs = -1
  #outcome: Outcome | undefined
  #sent = false
  #reported = false

  constructor(inner: DispatchHandler, lease: Lease, clock: Clock) {
    this.#inner = inner
    this.#lease = lease
    this.#clock = clock
    this.#began = clock.now()
    if (inner.onResponseStarted !== undefined) this.onResponseStarted = () => inner.onResponseStarted?.()
    if (inner.onRequestUpgrade !== undefined)
      this.onRequestUpgrade = (controller, status, headers, socket) => {
        this.#report({ kind: 'success', latencyMs: this.#elapsed() })
        inner.onRequestUpgrade?.(controller, status, headers, socket)
      }
  }

  onRequestStart(controller: DispatchController, context: unknown): void {
    this.#sent = true
    this.#inner.onRequestStart(controller, context)
  }

  onResponseStart(controller: DispatchController, status: number, headers: IncomingHeaders, message?: string): void {
    if (status >= 200) {
      this.#headMs = this.#elapsed()
      this.#outcome = ofStatus(status, headers, this.#headMs)
    }
    this.#inner.onResponseStart(controller, status, headers, message)
  }

  onResponseData(controller: DispatchController, chunk: Buffer): void {
    this.#inner.onResponseData(controller, chunk)
  }

  onResponseEnd(controller: DispatchController, trailers: IncomingHeaders): void {
    this.#report(this.#outcome ?? { kind: 'success', latencyMs: this.#elapsed() })
    this.#inner.onResponseEnd(controller, trailers)
  }

  onResponseError(controller: DispatchController | undefined, error: Error): void {
    const elapsedMs = this.#elapsed()
    // What its status said stands: a retry further out ends what it does not want to read.
    if (this.#outcome !== undefined && this.#outcome.kind !== 'success') this.#report(this.#outcome)
    // The caller's own abort says nothing of the endpoint but that it took at least so long.
    else if (controller?.aborted === true || error?.name === 'AbortError')
      this.#report({ kind: 'cancelled', latencyMs: elapsedMs })
    else this.#report(ofError(error, this.#sent, elapsedMs))
    this.#inner.onResponseError(controller, error)
  }

  /** It never got as far as a handler hook. */
  failed(error: unknown): void {
    this.#report(ofError(error, false, this.#elapsed()))
  }

  #elapsed(): number {
    return this.#clock.now() - this.#began
  }

  #report(outcome: Outcome): void {
    if (this.#reported) return
    this.#reported = true
    this.#lease.report(outcome)
  }
}

function ofStatus(status: number, headers: IncomingHeaders, latencyMs: number): Outcome {
  if (status < 429) return { kind: 'success', latencyMs }
  const error = statusToError(status, { headers })
  if (error.overload)
    return error.retryAfterMs === undefined
      ? { kind: 'overload', latencyMs }
      : { kind: 'overload', latencyMs, retryAfterMs: error.retryAfterMs }
  return { kind: CODES[error.code].breaker === 'failure' ? 'failure' : 'success', latencyMs }
}

function ofError(thrown: unknown, sent: boolean, latencyMs: number): Outcome {
  const error = isFairleadError(thrown) ? thrown : classify(thrown, {})
  if (CODES[error.code].breaker !== 'failure' && error.code !== 'CALL_FAILED') return { kind: 'cancelled', latencyMs }
  return { kind: sent && error.effect !== 'none' ? 'failure' : 'not-sent', latencyMs }
}

/** Handlers of undici 6 and older have other hooks, and no dispatcher of ours can serve them. */
export function checkHandler(handler: unknown, what: string): void {
  if (typeof (handler as DispatchHandler | undefined)?.onRequestStart !== 'function')
    throw createError({
      code: 'INVALID_OPTIONS',
      message: `${what} works with undici 7 or later; in place of the fetch of Node itself use discoveryFetch()`,
    })
}
