// The front door: re-exports, no logic. What is not here is behind a subpath.
export { httpTransport } from './adapters/http/index.ts'
export { describe } from './core/describe.ts'
export { createDiscovery } from './discovery/index.ts'
export { classify, FairleadError, isFairleadError } from './errors/index.ts'
export { queue, topic } from './messaging/channel.ts'
export { createConsumer } from './messaging/consumer/create-consumer.ts'
export { call, lastGood, value } from './policies/fallback.ts'
export { createProxy, createServerAdapter, defineContract, isFailure, resilient } from './rpi/index.ts'
