// The subpath `fairlead/consul`.
export type { RegistryTls } from '../registry/client.ts'
export type { Consistency } from './blocking-query.ts'
export type { ConsulAgentOptions } from './options.ts'
export { type ConsulRegistrarOptions, consulRegistrar } from './registrar.ts'
export { type ConsulSourceOptions, consulSource } from './source.ts'
