// The subpath `fairlead/discovery`.
export type { Balancer, EndpointView, Lease, Outcome, PickContext, Resolver } from '../core/contracts/balancer.ts'
export type { Endpoint, Registrar, Registration, Source, SourceUpdate, SourceWatch } from '../core/contracts/source.ts'
export { random } from './balancers/random.ts'
export { roundRobin } from './balancers/round-robin.ts'
export { type BalancerFactory, createDiscovery, type Discovery, type DiscoveryOptions } from './discovery.ts'
export { type StaticServices, type StaticSource, staticSource } from './static-source.ts'
