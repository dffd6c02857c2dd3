// A dispatcher of undici whose host names are services: one pool an endpoint, a pick for each request.
import { systemClock } from '../../core/clock.ts'
import type { Lease } from '../../core/contracts/balancer.ts'
import type { Endpoint } from '../../core/contracts/source.ts'
import { knownOptions } from '../../core/options.ts'
import { createError } from '../../errors/classes.ts'
import {
  Attempts,
  checkHandler,
  type Dispatched,
  type Name,
  Reporting,
  type ServiceOf,
  type Site,
  Sites,
  type StickyKeyOf,
  type Tally,
  withLease,
} from './discovered.ts'
import { isOldHandler, OldReporting, takesOldHandlers } from './old-handlers.ts'
import { type HttpOptions, httpSettings, type ResolverSource } from './options.ts'
import { createPools, type Pools } from './pools.ts'
import { type DispatchHandler, type HttpDispatcher, type OwnDispatcher, undici } from './undici.ts'

/** Options of `discoveryDispatcher`. */
export interface DiscoveryDispatcherOptions
  extends Pick<HttpOptions, 'allowH2' | 'connectTimeoutMs' | 'ca' | 'tls' | 'clock'> {
  /** Which service a host name stands for; undefined for one that is none. Default: each host name is the name of a service. */
  readonly serviceOf?: ServiceOf | undefined
  /** Which requests belong together: those with the same key go to the same endpoint, where the balancer is one that sticks. Default: each may go anywhere. */
  readonly stickyKey?: StickyKeyOf | undefined
  /** Where requests go whose host is no service. Default: an Agent of undici with the same TLS. */
  readonly fallback?: HttpDispatcher | undefined
}

/** A dispatcher of undici that is closed at the end. Its own methods have the types of `Dispatcher` where undici asks for one, and none here: no type of undici is in ours. */
export interface DiscoveryDispatcher extends HttpDispatcher {
  /** Waits for what is being sent, then closes all connections. It is final, as `destroy` is: requests that come later fail with SHUTDOWN. */
  close(callback?: any): Promise<void>
  /** Breaks off what is being sent. */
  destroy(error?: any, callback?: any): Promise<void>
  /** As of every dispatcher of undici. A retry or `resilience()` that is composed around it picks anew for each attempt. */
  compose(...interceptors: readonly any[]): any
  readonly request: any
  readonly stream: any
  readonly pipeline: any
  readonly connect: any
  readonly upgrade: any
  readonly on: any
  readonly once: any
  readonly off: any
  readonly addListener: any
  readonly removeListener: any
  readonly removeAllListeners: any
  readonly prependListener: any
  readonly prependOnceListener: any
  readonly emit: any
  readonly eventNames: any
  readonly listeners: any
  readonly rawListeners: any
  readonly listenerCount: any
  readonly setMaxListeners: any
  readonly getMaxListeners: any
}

const OPTIONS = ['allowH2', 'connectTimeoutMs', 'ca', 'tls', 'clock', 'serviceOf', 'stickyKey', 'fallback']

/**
 * Sends `http://inventory/items` to an endpoint of the service `inventory`. Each endpoint has a pool of its own, which is closed when the endpoint is gone and
 * its last answer was read. The name of the URL stays in Host, `:authority`, SNI and the check of the certificate, unless the endpoint says a `hostname` of
 * its own; the port is that of the endpoint. `https:` URLs are sent over TLS, `http:` ones where the endpoint says `secure`.
 *
 * Statuses are answers; for the choice of endpoints 5xx count as failures, and 429 and 503 as overload. With retries of undici or `resilience()` around it each
 * attempt goes to another endpoint. Loads undici.
 * @throws FairleadError INVALID_OPTIONS
 * @example const { body } = await request('http://inventory/items/A-1', { dispatcher: discoveryDispatcher(discovery) })
 */
export function discoveryDispatcher(
  discovery: ResolverSource,
  options: DiscoveryDispatcherOptions = {},
): DiscoveryDispatcher {
  knownOptions('discoveryDispatcher', options, OPTIONS)
  const { serviceOf, stickyKey, fallback: given, ...http } = options
  const settings = httpSettings({ ...http, discovery })
  const clock = options.clock ?? systemClock
  const pools: Pools = createPools(settings)
  const named = new NamedEndpoints()
  const attempts = new Attempts()
  const sites = new Sites(discovery, { serviceOf, stickyKey }, (service, resolver) => {
    resolver.onRemoved?.((endpoint) => {
      for (const id of named.forget(service, endpoint)) pools.release(id, service)
    })
  })
  const { Agent, Dispatcher } = undici()
  let own: OwnDispatcher | undefined
  let closed = false
  const elsewhere = (): HttpDispatcher =>
    given ?? (own ??= new Agent({ allowH2: settings.allowH2, connect: { ...settings.tls } }))

  const send = (request: Dispatched, lease: Lease, { service, name }: Site, reporting: Tally): boolean => {
    try {
      const { dispatcher, origin } = pools.route(named.of(service, lease.endpoint, name), service)
      return dispatcher.dispatch({ ...request, origin }, reporting)
    } catch (error) {
      reporting.failed(error)
      throw error
    }
  }
  class Present extends Dispatcher implements HttpDispatcher {
    dispatch(request: Dispatched, handler: DispatchHandler): boolean {
      checkHandler(handler, 'discoveryDispatcher()')
      const site = sites.of(request.origin)
      if (site === undefined) return elsewhere().dispatch(request, handler)
      const tried = attempts.of(request, handler)
      return withLease(site, request, tried, handler, (lease) => {
        tried.add(lease.endpoint.id)
        return send(request, lease, site, new Reporting(handler, lease, clock, request['body']))
      })
    }
  }
  // What is composed is given handlers of the present form, whichever form a caller has: undici 7 itself still has both.
  const { dispatch } = (new Present() as unknown as DiscoveryDispatcher).compose(same) as { dispatch: Dispatch }
  const old = takesOldHandlers()

  class Discovering extends Dispatcher implements HttpDispatcher {
    dispatch(request: Dispatched, handler: object): boolean {
      if (closed) return refuse(handler)
      if (!old || !isOldHandler(handler)) return dispatch(request, handler)
      const site = sites.of(request.origin)
      if (site === undefined) return dispatch(request, handler)
      // Who retries has handlers of the present form, or says so.
      const tried = attempts.given(request)
      const told = { onResponseError: (_: unknown, error: Error) => handler.onError?.(error) }
      return withLease(site, request, tried, told, (lease) => {
        tried?.add(lease.endpoint.id)
        return send(request, lease, site, new OldReporting(handler, lease, clock, request['body']))
      })
    }

    async close(callback?: unknown): Promise<void> {
      closed = true
      // Undici's own does not take this after a destroy.
      await Promise.all([pools.close(), own?.close().catch(() => {})])
      if (typeof callback === 'function') callback()
    }

    async destroy(given?: unknown, callback?: unknown): Promise<void> {
      closed = true
      const error = given instanceof Error ? given : undefined
      await Promise.all([pools.destroy(error), own?.destroy(error)])
      const told = typeof given === 'function' ? given : callback
      if (typeof told === 'function') told()
    }
  }
  return new Discovering() as unknown as DiscoveryDispatcher
}

/**
 * `fetch` with services for host names: that of undici, with a `discoveryDispatcher`. Also on versions of Node whose own fetch takes no dispatcher of a newer undici.
 * @example const get = discoveryFetch(discoveryDispatcher(discovery)); await get('http://inventory/items/A-1')
 */
export function discoveryFetch(dispatcher: HttpDispatcher): typeof fetch {
  const { fetch: send } = undici()
  return ((input: unknown, init?: object) => send(input, { ...init, dispatcher })) as typeof fetch
}

// Not inside dispatch: those who called it do not expect to be told before it has returned.
function refuse(handler: object): boolean {
  const error = createError({ code: 'SHUTDOWN', message: 'the discoveryDispatcher is closed', stack: false })
  queueMicrotask(() => {
    if (isOldHandler(handler)) handler.onError?.(error)
    else (handler as DispatchHandler).onResponseError(undefined, error)
  })
  return true
}

type Dispatch = (request: object, handler: object) => boolean

const same =
  (dispatch: Dispatch): Dispatch =>
  (request, handler) =>
    dispatch(request, handler)

// As many as there are pools at once. Names come from URLs, and those may come from outside.
const MOST_NAMED = 1_000

interface Named {
  readonly endpoint: Endpoint
  /** The service and the id: two services may have endpoints of the same id. */
  readonly place: string
  readonly key: string
  readonly names: Map<string, Named>
}

// One endpoint may be called by several names, and each has its own Host and certificate: so its own pool.
class NamedEndpoints {
  readonly #byEndpoint = new WeakMap<Endpoint, Map<string, Named>>()
  readonly #live = new Map<string, Named>()
  readonly #ids = new Map<string, Set<string>>()

  of(service: string, endpoint: Endpoint, { hostname, secure: asked, plain, tls }: Name): Endpoint {
    let names = this.#byEndpoint.get(endpoint)
    if (names === undefined) this.#byEndpoint.set(endpoint, (names = new Map()))
    const secure = asked || endpoint.secure === true
    const key = secure ? tls : plain
    let named = names.get(key)
    if (named === undefined) {
      const place = placeOf(service, endpoint)
      const id = `${key} ${place}`
      const own = { ...endpoint, id, hostname: endpoint.hostname ?? hostname, secure }
      names.set(key, (named = { endpoint: own, place, key, names }))
    }
    // At each route: an endpoint that was gone may be back, as the same object.
    if (this.#live.get(named.endpoint.id) !== named) this.#enter(named)
    return named.endpoint
  }

  /** The ids of its pools. */
  forget(service: string, endpoint: Endpoint): Iterable<string> {
    const place = placeOf(service, endpoint)
    const ids = this.#ids.get(place) ?? []
    this.#ids.delete(place)
    for (const id of ids) this.#live.delete(id)
    return ids
  }

  #enter(named: Named): void {
    const { id } = named.endpoint
    const oldest = this.#live.size < MOST_NAMED ? undefined : this.#live.values().next().value
    if (oldest !== undefined && !this.#live.has(id)) this.#leave(oldest)
    this.#live.set(id, named)
    const ids = this.#ids.get(named.place)
    if (ids === undefined) this.#ids.set(named.place, new Set([id]))
    else ids.add(id)
  }

  // Its pool is closed by whoever looks after those that are not used.
  #leave({ endpoint: { id }, place, key, names }: Named): void {
    this.#live.delete(id)
    names.delete(key)
    const ids = this.#ids.get(place)
    ids?.delete(id)
    if (ids?.size === 0) this.#ids.delete(place)
  }
}

function placeOf(service: string, { id }: Endpoint): string {
  return `${service} ${id}`
}
