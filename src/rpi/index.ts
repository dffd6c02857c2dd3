// fairlead/rpi: contracts, proxies, server adapters, and the wrapper for whatever you call already.
export type { OperationDescriptor, RpiReply, RpiTransport } from '../core/contracts/rpi.ts'
export type { HttpMethod } from '../core/http-wire.ts'
export type { Callable, CallResult, Detailed } from './callable.ts'
export { defineContract, isFailure } from './contract.ts'
export {
  close,
  createProxy,
  type Proxied,
  type ProxyMethod,
  type ProxyOperationOptions,
  type ProxyOptions,
} from './proxy.ts'
export { type Resilient, type ResilientOptions, type RetryChoice, resilient, type Wrapped } from './resilient.ts'
export type { FetchHandler } from './server/fetch.ts'
export type { HandlerContext, TransactionHandlerContext } from './server/handler-context.ts'
export type { IdempotencyPlace, KeyedRequest } from './server/idempotent.ts'
export type { Listening, ListenOptions, ListenRegister } from './server/listen.ts'
export type { NodeListener } from './server/node.ts'
export {
  createServerAdapter,
  type Handlers,
  type IdempotencyOptions,
  type ServerAdapter,
  type ServerAdapterOptions,
  type TransactionHandlers,
} from './server-adapter.ts'
export type {
  AnySchema,
  CallerInput,
  CallerOutput,
  Contract,
  FailureData,
  FailureDefinition,
  FailureInput,
  FailureName,
  HandlerInput,
  HandlerOutput,
  Operation,
  OperationDefinition,
  OperationDefinitions,
  Streaming,
  SuccessStatus,
} from './types.ts'
