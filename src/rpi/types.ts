// The types of contracts, and what is inferred from them for callers and for handlers.
import type { OperationDescriptor } from '../core/contracts/rpi.ts'
import type { HttpMethod } from '../core/http-wire.ts'
import type { AnySchema, InputOf, OutputOf } from '../core/schema.ts'

export type { AnySchema } from '../core/schema.ts'

/** Which side sends many items. `server`: the answer is a stream; `client`: the input is one. */
export type Streaming = 'none' | 'client' | 'server' | 'both'

/** A declared failure: the schema of its data, and the HTTP status it travels with where 422 will not do. */
export type FailureDefinition = AnySchema | { readonly schema: AnySchema; readonly status?: number | undefined }

/** What success can be told by. */
export type SuccessStatus = 200 | 201 | 202 | 204

/** One operation as it is written down. */
export interface OperationDefinition {
  /**
   * Where it is found on HTTP: `'POST /reservations/:id?expand'`. Fields named in the path travel there, those after `?` in the query;
   * the rest travels in the query for GET, HEAD and DELETE, and in a JSON body otherwise. Default: `POST /{service}/{operation}`.
   */
  readonly http?: `${HttpMethod} /${string}` | undefined
  /** Whether running it twice does no more than running it once. Only then it may be retried blindly. Default: true for GET and HEAD, else false. */
  readonly idempotent?: boolean | undefined
  /** Schema of the input; of each item where the client streams. None: it takes no input. */
  readonly input?: AnySchema | undefined
  /** Schema of the output; of each item where the server streams. It has to accept what it gives. None: it answers nothing. */
  readonly output?: AnySchema | undefined
  /**
   * The HTTP status of success: 201 where something was made, 202 where it was taken and is not done yet. Default: 200, and 204 where there is nothing to answer. Callers take any from 200 to 299 for success,
   * so it may change.
   */
  readonly success?: SuccessStatus | undefined
  /** Failures that are answers: name and schema of the data. */
  readonly failures?: Readonly<Record<string, FailureDefinition>> | undefined
  /** Default `none`. */
  readonly streaming?: Streaming | undefined
  /** The service's word that its 503 proves that nothing was processed. Default false. */
  readonly unavailableMeansNotProcessed?: boolean | undefined
  /** What other transports need. */
  readonly bindings?: Readonly<Record<string, unknown>> | undefined
}

/** The operations of a contract by name. */
export type OperationDefinitions = Readonly<Record<string, OperationDefinition>>

/** One operation of a contract: what transports see, and (not enumerable) the definition with its schemas. */
export interface Operation<D extends OperationDefinition = OperationDefinition> extends OperationDescriptor {
  readonly definition: D
}

/** What a service offers: shared by its callers and by itself. Plain data but for the schemas. */
export interface Contract<Ops extends OperationDefinitions = OperationDefinitions> {
  readonly service: string
  readonly operations: { readonly [K in keyof Ops]: Operation<Ops[K]> }
}

type SchemaIn<S> = S extends AnySchema ? InputOf<S> : undefined
type SchemaOut<S> = S extends AnySchema ? OutputOf<S> : undefined
type Field<D, F extends PropertyKey> = D extends { readonly [K in F]?: infer V } ? V : undefined
type Nothing<S> = [S] extends [AnySchema] ? false : true

type ClientStreams<D> = Field<D, 'streaming'> extends 'client' | 'both' ? true : false
type ServerStreams<D> = Field<D, 'streaming'> extends 'server' | 'both' ? true : false

/** What a caller gives. */
export type CallerInput<D> =
  ClientStreams<D> extends true
    ? AsyncIterable<SchemaIn<Field<D, 'input'>>> | Iterable<SchemaIn<Field<D, 'input'>>>
    : Nothing<Field<D, 'input'>> extends true
      ? undefined
      : SchemaIn<Field<D, 'input'>>

/** What a caller gets. */
export type CallerOutput<D> =
  ServerStreams<D> extends true
    ? AsyncIterable<SchemaOut<Field<D, 'output'>>>
    : Nothing<Field<D, 'output'>> extends true
      ? void
      : SchemaOut<Field<D, 'output'>>

/** What a handler is given. */
export type HandlerInput<D> =
  ClientStreams<D> extends true
    ? AsyncIterable<SchemaOut<Field<D, 'input'>>>
    : Nothing<Field<D, 'input'>> extends true
      ? undefined
      : SchemaOut<Field<D, 'input'>>

/** What a handler returns. */
export type HandlerOutput<D> =
  ServerStreams<D> extends true
    ? AsyncIterable<SchemaIn<Field<D, 'output'>>> | Iterable<SchemaIn<Field<D, 'output'>>>
    : Nothing<Field<D, 'output'>> extends true
      ? void | undefined
      : SchemaIn<Field<D, 'output'>>

type Failures<D> = NonNullable<Field<D, 'failures'>>
type FailureSchema<F> = F extends AnySchema ? F : F extends { readonly schema: infer S } ? S : never

/** Names of the failures that an operation declares. */
export type FailureName<D> = Extract<keyof Failures<D>, string>
/** Data of a declared failure, as a caller gets it. */
export type FailureData<D, F extends FailureName<D>> = SchemaOut<FailureSchema<Failures<D>[F]>>
/** Data of a declared failure, as a handler gives it. */
export type FailureInput<D, F extends FailureName<D>> = SchemaIn<FailureSchema<Failures<D>[F]>>
