// A request to a name that discovery knows: which service it is, one lease for it, and what is told of how it went.
import type { Clock } from '../../core/clock.ts'
import type { Lease, Outcome, Resolver } from '../../core/contracts/balancer.ts'
import { keyed } from '../../core/keyed.ts'
import { invalidOption } from '../../core/options.ts'
import { onSignal } from '../../core/signals.ts'
import { stickyKeyOf } from '../../core/sticky-key.ts'
import { isFairleadError } from '../../errors/base.ts'
import { createError } from '../../errors/classes.ts'
import { classify, statusToError } from '../../errors/classify.ts'
import { CODES } from '../../errors/codes.ts'
import type { ResolverSource } from './options.ts'
import { TRIED } from './tried.ts'
import type { DispatchController, DispatchHandler, IncomingHeaders } from './undici.ts'
import { brokeByItself } from './upload.ts'

/** Which service a host name stands for. Undefined: none, the request goes where its URL says. */
export type ServiceOf = (hostname: string) => string | undefined

/**
 * Which requests belong together, by what undici is asked to send: `origin`, `path`, `method`, and `headers` in the form in which they were given.
 * Undefined or null: it may go anywhere. What is no string counts as its text.
 * @example ({ path }) => path?.split('/')[2]
 */
export type StickyKeyOf = (request: Dispatched) => string | undefined

/** The part of the options of a dispatch that is looked at. */
export interface Dispatched {
  readonly origin?: string | URL | undefined
  readonly path?: string | undefined
  readonly method?: string | undefined
  readonly [more: string | symbol]: unknown
}

/** What an origin says, read once. */
export interface Name {
  readonly hostname: string
  readonly secure: boolean
  /** The origins of this host name without a port. */
  readonly plain: string
  readonly tls: string
}

/** A name and who serves it. */
export interface Site {
  readonly name: Name
  readonly service: string
  readonly resolver: Resolver
  readonly stickyKey: StickyKeyOf | undefined
}

// Names come from URLs, and those may come from outside.
const MOST_SITES = 1_000

/** Finds the site of a request. */
export class Sites {
  readonly #serviceOf: ServiceOf
  readonly #stickyKey: StickyKeyOf | undefined
  readonly #resolvers: { get(service: string): Resolver }
  readonly #names = keyed<Name>(MOST_SITES, nameOf)

  constructor(
    discovery: ResolverSource,
    {
      serviceOf,
      stickyKey,
    }: { readonly serviceOf?: ServiceOf | undefined; readonly stickyKey?: StickyKeyOf | undefined },
    made: (service: string, resolver: Resolver) => void,
  ) {
    if (typeof discovery?.resolver !== 'function')
      throw invalidOption('discovery', discovery, 'give what createDiscovery() returns')
    if (serviceOf !== undefined && typeof serviceOf !== 'function')
      throw invalidOption('serviceOf', serviceOf, 'give a function of the host name')
    if (stickyKey !== undefined && typeof stickyKey !== 'function')
      throw invalidOption('stickyKey', stickyKey, 'give a function of the request that returns a key')
    this.#stickyKey = stickyKey
    this.#serviceOf = serviceOf ?? ((hostname) => hostname)
    this.#resolvers = keyed<Resolver>(MOST_SITES, (service) => {
      const resolver = discovery.resolver(service)
      made(service, resolver)
      return resolver
    })
  }

  of(origin: Dispatched['origin']): Site | undefined {
    const name = this.#names.get(String(origin))
    const service = this.#serviceOf(name.hostname)
    if (service === undefined) return undefined
    return { name, service, resolver: this.#resolvers.get(service), stickyKey: this.#stickyKey }
  }
}

function nameOf(origin: string): Name {
  const { protocol, hostname } = new URL(origin)
  return { hostname, secure: protocol === 'https:', plain: `http://${hostname}`, tls: `https://${hostname}` }
}

/**
 * Of one request over all its attempts: the endpoints that it was sent to. Retries of undici come again with the same handler; `resilience()` has a
 * handler for each attempt, and says on the options which ones belong together.
 */
export class Attempts {
  readonly #byHandler = new WeakMap<DispatchHandler, Set<string>>()

  of(request: Dispatched, handler: DispatchHandler): Set<string> {
    const given = this.given(request)
    if (given !== undefined) return given
    let tried = this.#byHandler.get(handler)
    if (tried === undefined) this.#byHandler.set(handler, (tried = new Set()))
    return tried
  }

  /** What is said on the options. */
  given(request: Dispatched): Set<string> | undefined {
    const given = request[TRIED]
    return given instanceof Set ? given : undefined
  }
}

/**
 * Takes a lease and goes on with it: at once where the endpoints are known, else when they are. `onResponseError` tells where there is none,
 * and of the caller's abort while it waits.
 */
export function withLease(
  site: Site,
  request: Dispatched,
  tried: ReadonlySet<string> | undefined,
  handler: Pick<DispatchHandler, 'onResponseError'>,
  go: (lease: Lease) => boolean,
): boolean {
  let lease: Lease | Promise<Lease>
  try {
    const key = site.stickyKey === undefined ? undefined : stickyKeyOf(site.stickyKey(request))
    lease = site.resolver.acquire({ key, avoid: tried })
  } catch (error) {
    // Not inside dispatch: those who called it do not expect to be told before it has returned.
    queueMicrotask(() => handler.onResponseError(undefined, error as Error))
    return true
  }
  if ('report' in lease) return go(lease)
  // undici hears of the caller's abort when it is sent the request: until then only we can.
  let left = false
  const stopListening = onAbort(request['signal'], (reason) => {
    left = true
    handler.onResponseError(undefined, reason)
  })
  lease
    .then((late) => {
      stopListening()
      if (left) late.report({ kind: 'cancelled', latencyMs: 0 })
      else go(late)
    })
    .catch((error: Error) => {
      stopListening()
      if (!left) handler.onResponseError(undefined, error)
    })
  return true
}

// undici takes signals of the web and emitters of `abort`.
function onAbort(signal: unknown, hearer: (reason: Error) => void): () => void {
  if (signal === null || typeof signal !== 'object') return () => {}
  const { aborted } = signal as { readonly aborted?: boolean }
  const hear = (): void => hearer(((signal as AbortSignal).reason as Error | undefined) ?? leftByCaller())
  if (aborted === true) {
    queueMicrotask(hear)
    return () => {}
  }
  if ('addEventListener' in signal) return onSignal(signal as AbortSignal, hear)
  const emitter = signal as {
    once?(name: 'abort', hear: () => void): void
    off?(name: 'abort', hear: () => void): void
  }
  emitter.once?.('abort', hear)
  return () => emitter.off?.('abort', hear)
}

function leftByCaller(): Error {
  return createError({ code: 'CANCELLED', message: 'the caller gave up', stack: false })
}

/** Counts one request at its lease: reports how it went, once. What it took is the time until the head of the answer. */
export class Tally {
  /** Whether an endpoint can have noticed the request. */
  protected sent = false
  readonly #lease: Lease
  readonly #clock: Clock
  readonly #began: number
  readonly #body: unknown
  #outcome: Outcome | undefined
  #reported = false

  constructor(lease: Lease, clock: Clock, body: unknown) {
    this.#lease = lease
    this.#clock = clock
    this.#body = body
    this.#began = clock.now()
  }

  /** It never got as far as a handler hook. */
  failed(error: unknown): void {
    this.#report(ofError(error, false, this.#elapsed()))
  }

  /** The head of the answer is there. */
  protected head(status: number, headers: IncomingHeaders): void {
    const headMs = this.#elapsed()
    this.#outcome = ofStatus(status, headers, headMs)
    // What is left is to read the body, however long that takes: its endpoint must not look hung for it.
    this.#lease.answered?.(headMs)
  }

  /** All of it is there, or it became something else than HTTP. */
  protected ended(): void {
    this.#report(this.#outcome ?? { kind: 'success', latencyMs: this.#elapsed() })
  }

  /** It broke off. */
  protected broke(error: Error, aborted: boolean): void {
    // What its status said stands: a retry further out ends what it does not want to read.
    if (this.#outcome !== undefined && this.#outcome.kind !== 'success') this.#report(this.#outcome)
    // The caller's own abort says nothing of the endpoint but that it took at least so long.
    else if (aborted || error?.name === 'AbortError' || brokeByItself(this.#body, error))
      this.#report({ kind: 'cancelled', latencyMs: this.#elapsed() })
    else this.#report(ofError(error, this.sent, this.#elapsed()))
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

/** Hands everything on, and reports how it went. */
export class Reporting extends Tally implements DispatchHandler {
  readonly onResponseStarted?: () => void
  readonly onRequestUpgrade?: DispatchHandler['onRequestUpgrade'] & {}
  readonly #inner: DispatchHandler

  constructor(inner: DispatchHandler, lease: Lease, clock: Clock, body: unknown) {
    super(lease, clock, body)
    this.#inner = inner
    if (inner.onResponseStarted !== undefined) this.onResponseStarted = () => inner.onResponseStarted?.()
    if (inner.onRequestUpgrade !== undefined)
      this.onRequestUpgrade = (controller, status, headers, socket) => {
        this.ended()
        inner.onRequestUpgrade?.(controller, status, headers, socket)
      }
  }

  onRequestStart(controller: DispatchController, context: unknown): void {
    this.sent = true
    this.#inner.onRequestStart(controller, context)
  }

  onResponseStart(controller: DispatchController, status: number, headers: IncomingHeaders, message?: string): void {
    if (status >= 200) this.head(status, headers)
    this.#inner.onResponseStart(controller, status, headers, message)
  }

  onResponseData(controller: DispatchController, chunk: Buffer): void {
    this.#inner.onResponseData(controller, chunk)
  }

  onResponseEnd(controller: DispatchController, trailers: IncomingHeaders): void {
    this.ended()
    this.#inner.onResponseEnd(controller, trailers)
  }

  onResponseError(controller: DispatchController | undefined, error: Error): void {
    this.broke(error, controller?.aborted === true)
    this.#inner.onResponseError(controller, error)
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
