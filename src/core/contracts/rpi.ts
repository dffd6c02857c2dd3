// What a proxy asks of a transport.
import type { CallContext } from '../context.ts'
import type { Layer } from '../handler.ts'
import type { Resolver } from './balancer.ts'

export interface RpiTransport {
  readonly name: string
  /** Unary and streaming: a streaming operation takes and gives async iterables. */
  invoke(operation: OperationDescriptor, input: unknown, context: CallContext): Promise<RpiReply>
  /** For transports with discovery: the layer that picks an endpoint for each attempt, and the resolver that it asks. One each a service, made once. */
  pick?(service: string): Layer | undefined
  resolver?(service: string): Resolver | undefined
  close(): Promise<void>
}

export interface RpiReply {
  readonly output: unknown
  readonly headers?: Readonly<Record<string, string>>
  readonly trailers?: Readonly<Record<string, string>>
  /** Name of a declared failure; `output` then carries its data. It is an answer, not a fault. */
  readonly failure?: string
}

export interface OperationDescriptor {
  readonly service: string
  readonly name: string
  readonly idempotent: boolean
  readonly streaming: 'none' | 'client' | 'server' | 'both'
  readonly failures: readonly string[]
  /** The contract's word that an answer of 503 proves that nothing was processed: its effect is then `none`. */
  readonly unavailableMeansNotProcessed?: boolean
  /** One entry per transport that needs more than the name: `{ http: { method, path }, grpc: { ... } }`. */
  readonly bindings: Readonly<Record<string, unknown>>
}
