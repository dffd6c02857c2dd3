// The subpath `fairlead/http`: HTTP as a transport of RPI, as a fetch, and as an interceptor of undici.
export type { Dispatched, ServiceOf, StickyKeyOf } from './discovered.ts'
export {
  type DiscoveryDispatcher,
  type DiscoveryDispatcherOptions,
  discoveryDispatcher,
  discoveryFetch,
} from './discovery-dispatcher.ts'
export { type DiscoveryInterceptorOptions, discoveryInterceptor } from './discovery-interceptor.ts'
export type { HttpHeaders, HttpOptions, HttpTarget, HttpTls, HttpTransportOptions, ResolverSource } from './options.ts'
export type { OriginPolicies } from './origins.ts'
export { type HttpInterceptor, type ResilienceOptions, resilience } from './resilience.ts'
export { type ResilientFetch, type ResilientFetchOptions, resilientFetch } from './resilient-fetch.ts'
export { type HttpTransport, httpTransport } from './transport.ts'
export type { HttpDispatcher, OwnDispatcher } from './undici.ts'
