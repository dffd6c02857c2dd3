// fairlead/memory: brokers without a server, in this process. For tests, and for work that may be lost with the process.
export { type MemoryBroker, memoryBroker } from './broker.ts'
export { type MemoryCheckpointsOptions, memoryCheckpoints } from './checkpoints.ts'
export { memoryCapabilities } from './memory-capabilities.ts'
export * from './rpi.ts'
export type { MemoryBrokerOptions } from './settings.ts'
export { type MemoryTransportOptions, memoryTransport } from './transport.ts'
