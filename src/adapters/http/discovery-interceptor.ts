// Services for host names as an interceptor of undici, over an agent of the user's own.
import { type Clock, systemClock } from '../../core/clock.ts'
import { knownOptions } from '../../core/options.ts'
import {
  Attempts,
  checkHandler,
  type Dispatched,
  Reporting,
  type ServiceOf,
  Sites,
  type StickyKeyOf,
  withLease,
} from './discovered.ts'
import type { ResolverSource } from './options.ts'
import type { HttpInterceptor } from './resilience.ts'
import type { DispatchHandler } from './undici.ts'

/** Options of `discoveryInterceptor`. */
export interface DiscoveryInterceptorOptions {
  /** Which service a host name stands for; undefined for one that is none. Default: each host name is the name of a service. */
  readonly serviceOf?: ServiceOf | undefined
  /** Which requests belong together: those with the same key go to the same endpoint, where the balancer is one that sticks. Default: each may go anywhere. */
  readonly stickyKey?: StickyKeyOf | undefined
  /** Time. Default: the system's. */
  readonly clock?: Clock | undefined
}

/**
 * Sends requests whose host is a service to one of its endpoints, by address, with the name of the URL (or the endpoint's `hostname`) as Host and SNI. The connections are the agent's, so that
 * they stay when an endpoint is gone, and an HTTP/2 session has the address as `:authority`: where that matters use `discoveryDispatcher`. Of the interceptors that are composed it has to
 * come first, that is innermost: retries around it pick anew.
 * @throws FairleadError INVALID_OPTIONS
 * @example const agent = new Agent().compose(discoveryInterceptor(discovery), interceptors.retry())
 */
export function discoveryInterceptor(
  discovery: ResolverSource,
  options: DiscoveryInterceptorOptions = {},
): HttpInterceptor {
  knownOptions('discoveryInterceptor', options, ['serviceOf', 'stickyKey', 'clock'])
  const { clock = systemClock } = options
  const attempts = new Attempts()
  const sites = new Sites(discovery, options, () => {})
  return (dispatch) => (request: Dispatched, handler: DispatchHandler) => {
    checkHandler(handler, 'discoveryInterceptor()')
    const site = sites.of(request.origin)
    if (site === undefined) return dispatch(request, handler)
    const tried = attempts.of(request, handler)
    return withLease(site, request, tried, handler, (lease) => {
      const { endpoint } = lease
      tried.add(endpoint.id)
      const reporting = new Reporting(handler, lease, clock, request['body'])
      const { host, port } = endpoint.addresses[0] as { readonly host: string; readonly port: number }
      const name = endpoint.hostname ?? site.name.hostname
      const secure = site.name.secure || endpoint.secure === true
      try {
        return dispatch(
          {
            ...request,
            origin: `${secure ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${port}`,
            servername: name,
            headers: withHost(request['headers'], `${name}:${port}`),
          },
          reporting,
        )
      } catch (error) {
        reporting.failed(error)
        throw error
      }
    })
  }
}

// undici takes headers as an object, as names and values in turn, and as pairs. A Host that the caller gave stays.
function withHost(headers: unknown, host: string): unknown {
  if (headers === undefined || headers === null) return { host }
  if (Array.isArray(headers) && !Array.isArray(headers[0])) {
    const has = headers.some((each, at) => at % 2 === 0 && String(each).toLowerCase() === 'host')
    return has ? headers : [...headers, 'host', host]
  }
  const pairs =
    typeof (headers as Iterable<unknown>)[Symbol.iterator] === 'function'
      ? [...(headers as Iterable<readonly [string, unknown]>)]
      : Object.entries(headers as object)
  const has = pairs.some(([name]) => String(name).toLowerCase() === 'host')
  const flat = pairs.flat()
  return has ? flat : [...flat, 'host', host]
}
