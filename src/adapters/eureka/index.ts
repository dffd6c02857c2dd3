// The subpath `fairlead/eureka`: Netflix Eureka as a source of endpoints, and announcing oneself to it.
export type { RegistryTls } from '../registry/client.ts'
export type { EurekaServersOptions } from './options.ts'
export { type EurekaRegistrarOptions, eurekaRegistrar } from './registrar.ts'
export { type EurekaSourceOptions, eurekaSource } from './source.ts'
