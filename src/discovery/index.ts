// The subpath `fairlead/discovery`.
export type { Balancer, EndpointView, Lease, Outcome, PickContext, Resolver } from '../core/contracts/balancer.ts'
export type { Endpoint, Registrar, Registration, Source, SourceUpdate, SourceWatch } from '../core/contracts/source.ts'
export { type Allow, refusedAddress } from './allow.ts'
export { type Announcement, type AnnounceOptions, announce } from './announce.ts'
export { type Asked, type AskingOptions, keepAsking } from './asking.ts'
export { type ConsistentHashOptions, consistentHash } from './balancers/consistent-hash.ts'
export type { BalancerFactory, BalancerSeams } from './balancers/factory.ts'
export { type LeastRequestOptions, leastRequest } from './balancers/least-request.ts'
export type { BalancerName } from './balancers/names.ts'
export { p2c } from './balancers/p2c.ts'
export { p2cEwma } from './balancers/p2c-ewma.ts'
export { random } from './balancers/random.ts'
export { roundRobin } from './balancers/round-robin.ts'
export { type StickyOptions, sticky } from './balancers/sticky.ts'
export { weighted } from './balancers/weighted.ts'
export { type ZoneAwareOptions, zoneAware } from './balancers/zone-aware.ts'
export { fallbackSources, prioritySources, unionSources } from './compose.ts'
export { createDiscovery, type Discovery, type DiscoveryOptions } from './discovery.ts'
export type { EjectionOptions } from './ejection.ts'
export type { EndpointFigures, ServiceFigures } from './inspect.ts'
export type { IntakeOptions, MassLossOptions } from './intake-options.ts'
export {
  type KeepOptions,
  keepRegistered,
  type RegisteredState,
  type RegistrationProtocol,
} from './keep-registered.ts'
export {
  type DiscoveryLookupOptions,
  discoveryLookup,
  type LookupAddress,
  type LookupCallback,
  type LookupFunction,
  type LookupRequest,
} from './lookup.ts'
export { type StaticServices, type StaticSource, staticSource } from './static-source.ts'
