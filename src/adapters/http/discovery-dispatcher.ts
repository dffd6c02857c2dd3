// A dispatcher of undici whose host names are services: one pool an endpoint, a pick for each request.
import { systemClock } from '../../core/clock.ts'
import type { Endpoint } from '../../core/contracts/source.ts'
import { knownOptions } from '../../core/options.ts'
import { Attempts, checkHandler, type Dispatched, Reporting, type ServiceOf, Sites, withLease } from './discovered.ts'
import { type HttpOptions, httpSettings, type ResolverSource } from './options.ts'
import { createPools, type Pools } from './pools.ts'
import { type DispatchHandler, type HttpDispatcher, type OwnDispatcher, undici } from './undici.ts'

/** Options of `discoveryDispatcher`. */
export interface DiscoveryDispatcherOptions
  extends Pick<HttpOptions, 'allowH2' | 'connectTimeoutMs' | 'ca' | 'tls' | 'clock'> {
  /** Which service a host name stands for; undefined for one that is none. Default: each host name is the name of a service. */
  readonly serviceOf?: ServiceOf | undefined
  /** Where requests go whose host is no service. Default: an Agent of undici with the same TLS. */
  readonly fallback?: HttpDispatcher | undefined
}

// biome-ignore format: a list of names
type MethodsOfUndici =
  | 'request' | 'stream' | 'pipeline' | 'connect' | 'upgrade' | 'on' | 'once' | 'off' | 'addListener' | 'removeListener' | 'removeAllListeners' | 'prependListener'
  | 'prependOnceListener' | 'emit' | 'eventNames' | 'listeners' | 'rawListeners' | 'listenerCount' | 'setMaxListeners' | 'getMaxListeners'

/** A dispatcher of undici that is closed at the end. Its own methods have the types of `Dispatcher` where undici asks for one, and none here: no type of undici is in ours. */
export interface DiscoveryDispatcher extends HttpDispatcher, Readonly<Record<MethodsOfUndici, any>> {
  /** Waits for what is being sent, then closes all connections. */
  close(callback?: any): Promise<void>
  /** Breaks off what is being sent. */
  destroy(error?: any, callback?: any): Promise<void>
  /** As of every dispatcher of undici. A retry or `resilience()` that is composed around it picks anew for each attempt. */
  compose(...interceptors: readonly any[]): any
}

const OPTIONS = ['allowH2', 'connectTimeoutMs', 'ca', 'tls', 'clock', 'serviceOf', 'fallback']

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
  const { serviceOf, fallback: given, ...http } = options
  const settings = httpSettings({ ...http, discovery })
  const clock = options.clock ?? systemClock
  const pools: Pools = createPools(settings)
  const named = new NamedEndpoints()
  const attempts = new Attempts()
  const sites = new Sites(discovery, serviceOf, (_, resolver) => {
    resolver.onRemoved?.((endpoint) => {
      for (const id of named.forget(endpoint)) pools.release(id)
    })
  })
  const { Agent, Dispatcher } = undici()
  let own: OwnDispatcher | undefined
  const elsewhere = (): HttpDispatcher =>
    given ?? (own ??= new Agent({ allowH2: settings.allowH2, connect: { ...settings.tls } }))

  class Discovering extends Dispatcher implements HttpDispatcher {
    dispatch(request: Dispatched, handler: DispatchHandler): boolean {
      checkHandler(handler, 'discoveryDispatcher()')
      const site = sites.of(request.origin)
      if (site === undefined) return elsewhere().dispatch(request, handler)
      const tried = attempts.of(request, handler)
      return withLease(site, tried, handler, (lease) => {
        tried.add(lease.endpoint.id)
        const reporting = new Reporting(handler, lease, clock)
        try {
          const { dispatcher, origin } = pools.route(named.of(lease.endpoint, site.url))
          return dispatcher.dispatch({ ...request, origin }, reporting)
        } catch (error) {
          reporting.failed(error)
          throw error
        }
      })
    }

    async close(callback?: unknown): Promise<void> {
      await Promise.all([pools.close(), own?.close()])
      if (typeof callback === 'function') callback()
    }

    async destroy(given?: unknown, callback?: unknown): Promise<void> {
      const error = given instanceof Error ? given : undefined
      await Promise.all([pools.destroy(error), own?.destroy(error)])
      const told = typeof given === 'function' ? given : callback
      if (typeof told === 'function') told()
    }
  }
  // What is composed is given handlers of the present form, whichever form a caller has: undici 7 itself still has both.
  return (new Discovering() as unknown as DiscoveryDispatcher).compose(same) as DiscoveryDispatcher
}

/**
 * `fetch` with services for host names: that of undici, with a `discoveryDispatcher`. Also on versions of Node whose own fetch takes no dispatcher of a newer undici.
 * @example const get = discoveryFetch(discoveryDispatcher(discovery)); await get('http://inventory/items/A-1')
 */
export function discoveryFetch(dispatcher: HttpDispatcher): typeof fetch {
  const { fetch: send } = undici()
  return ((input: unknown, init?: object) => send(input, { ...init, dispatcher })) as typeof fetch
}

type Dispatch = (request: object, handler: object) => boolean

const same =
  (dispatch: Dispatch): Dispatch =>
  (request, handler) =>
    dispatch(request, handler)

// One endpoint may be called by several names, and each has its own Host and certificate: so its own pool.
class NamedEndpoints {
  readonly #byEndpoint = new WeakMap<Endpoint, Map<string, Endpoint>>()
  readonly #ids = new Map<string, Set<string>>()

  of(endpoint: Endpoint, { protocol, hostname }: URL): Endpoint {
    let names = this.#byEndpoint.get(endpoint)
    if (names === undefined) this.#byEndpoint.set(endpoint, (names = new Map()))
    const secure = protocol === 'https:' || endpoint.secure === true
    const key = `${secure ? 'https' : 'http'}://${hostname}`
    let named = names.get(key)
    if (named === undefined) {
      named = { ...endpoint, id: `${key} ${endpoint.id}`, hostname: endpoint.hostname ?? hostname, secure }
      names.set(key, named)
      const ids = this.#ids.get(endpoint.id)
      if (ids === undefined) this.#ids.set(endpoint.id, new Set([named.id]))
      else ids.add(named.id)
    }
    return named
  }

  forget({ id }: Endpoint): Iterable<string> {
    const ids = this.#ids.get(id) ?? []
    this.#ids.delete(id)
    return ids
  }
}
