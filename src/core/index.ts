// fairlead/core: the shapes that layers, transports and adapters of one's own are written against.

export type { AnnouncingOptions } from './announcement.ts'
export * from './answer.ts'
export * from './async-context.ts'
export * from './clock.ts'
export {
  type AbortableContext,
  type CallContext,
  type ContextChange,
  type ContextInit,
  createContext,
  effectSoFar,
} from './context.ts'
export * from './contracts/balancer.ts'
export * from './contracts/rpi.ts'
export * from './contracts/source.ts'
export * from './contracts/store.ts'
export * from './contracts/transport.ts'
export * from './deadline.ts'
export {
  DESCRIBE,
  type Describable,
  type Description,
  describe,
  described,
  type LayerDescription,
} from './describe.ts'
export * from './discovery-events.ts'
export * from './envelope.ts'
export * from './events.ts'
export * from './handler.ts'
export type { KeepingOptions } from './keeping.ts'
export * from './keyed.ts'
export * from './lifecycle.ts'
export * from './message.ts'
export * from './message-events.ts'
export * from './packed-envelope.ts'
export * from './process-events.ts'
export * from './replica-events.ts'
export * from './schema.ts'
export { transactional } from './transactional.ts'
