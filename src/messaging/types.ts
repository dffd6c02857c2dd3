// The types of channels, and what is inferred from them for publishers and for handlers.
import type { ChannelAddress, Message } from '../core/message.ts'
import type { AnySchema, InputOf, OutputOf } from '../core/schema.ts'
import type { Codec } from './codec.ts'

/** One type of message, where it has more than a schema. */
export interface VersionedType<S extends AnySchema = AnySchema> {
  /** Of the newest version. */
  readonly schema: S
  /** Of the data, counted from 1. Default 1. Travels as `typeversion`; a message without one is of version 1. */
  readonly version?: number | undefined
  /** From version n to n + 1, for every n below `version`: what an old message has to become before it is validated. */
  readonly upcasters?: Readonly<Record<number, (data: any) => unknown>> | undefined
  /** It is a request: the schema of what answers it. See `createRequester` and `createResponder`. */
  readonly reply?: AnySchema | undefined
  /** Failures that are answers to a request: name and schema of the data. */
  readonly failures?: Readonly<Record<string, AnySchema>> | undefined
}

/** A type of message as it is written down: its schema, or schema, version and upcasters, and for a request what answers it. */
export type MessageTypeDefinition = AnySchema | VersionedType

/** The types of a channel by name. */
export type MessageTypes = Readonly<Record<string, MessageTypeDefinition>>

type SchemaOf<D> = D extends AnySchema ? D : D extends { readonly schema: infer S } ? S : never

/** What a publisher gives as data of a type. */
export type DataIn<D> = InputOf<SchemaOf<D>>
/** What a handler gets as data of a type. */
export type DataOut<D> = OutputOf<SchemaOf<D>>

/** Types of a channel that are requests. */
export type RequestType<Types extends MessageTypes> = {
  readonly [K in keyof Types & string]: Types[K] extends { readonly reply: AnySchema } ? K : never
}[keyof Types & string]

/** What a responder gives as the reply to a request. */
export type ReplyIn<D> = D extends { readonly reply: infer S } ? InputOf<S> : never
/** What a requester gets as the reply. */
export type ReplyOut<D> = D extends { readonly reply: infer S } ? OutputOf<S> : never

type Failures<D> = D extends { readonly failures: infer F } ? F : Readonly<Record<never, never>>

/** Names of the failures that a request declares. */
export type RequestFailure<D> = Extract<keyof Failures<D>, string>
/** What a responder gives as data of a failure. */
export type RequestFailureIn<D, F extends RequestFailure<D>> = InputOf<Failures<D>[F]>
/** What a requester gets as data of a failure. */
export type RequestFailureOut<D, F extends RequestFailure<D>> = OutputOf<Failures<D>[F]>

/** A type of message, checked. */
export interface MessageType {
  readonly schema: AnySchema
  readonly version: number
  readonly upcasters: Readonly<Record<number, (data: any) => unknown>>
  /** Of a request. */
  readonly reply?: AnySchema | undefined
  readonly failures?: Readonly<Record<string, AnySchema>> | undefined
}

/** A queue or a topic, and the types of messages on it. Shared by those who publish and those who consume. */
export interface Channel<Types extends MessageTypes = MessageTypes> extends ChannelAddress {
  /** By name. */
  readonly types: Readonly<Record<keyof Types & string, MessageType>>
  readonly codec: Codec
  /** Bodies of more bytes are compressed; Infinity for none. */
  readonly compressAboveBytes: number
  /** Attributes that each message carries besides: fairlead's own, on replies. */
  readonly attributes?: Readonly<Record<string, string>> | undefined
  /** Only for the compiler: the types as they were written down. */
  readonly definitions?: Types | undefined
}

/** What may be said of a message besides type and data. */
export interface PublishFields {
  /** Default: a new UUID (version 7). A message that is published again keeps its id. */
  readonly id?: string | undefined
  readonly subject?: string | undefined
  /** Messages of one key keep their order. */
  readonly key?: string | undefined
  /** A whole number from -32,768 to 32,767; higher is sooner. Default 0. */
  readonly priority?: number | undefined
  /** Milliseconds since 1970: not to be handled before. */
  readonly notBefore?: number | undefined
  /** Milliseconds since 1970: not to be handled after. */
  readonly expiresAt?: number | undefined
  readonly correlationId?: string | undefined
  readonly causationId?: string | undefined
  readonly replyTo?: ChannelAddress | undefined
  /** Names are letters, digits and dashes; they travel in lower case. */
  readonly headers?: Readonly<Record<string, string>> | undefined
}

/** A message as it is published. */
export type Publishable<Types extends MessageTypes> = {
  readonly [K in keyof Types & string]: PublishFields & { readonly type: K; readonly data: DataIn<Types[K]> }
}[keyof Types & string]

/** A message of one type, as a handler gets it. */
export type MessageOf<Types extends MessageTypes, K extends keyof Types> = Message<DataOut<Types[K]>> & {
  readonly type: K
}

/**
 * A message of one type of a channel, as a handler gets it, where only the channel has a name.
 * @example const placed = ({ data }: ChannelMessage<typeof Orders, 'order.placed'>) => data.orderId
 */
export type ChannelMessage<C extends Channel<any>, K extends keyof TypesOf<C>> = MessageOf<TypesOf<C>, K>

/** The types of a channel, as they were written down: `ReplyOut<TypesOf<typeof Pricing>['price.quote']>`. */
export type TypesOf<C extends Channel<any>> = C extends Channel<infer Types> ? Types : never

/** A message of any type of the channel. `type` tells them apart. */
export type AnyMessageOf<Types extends MessageTypes> = { readonly [K in keyof Types]: MessageOf<Types, K> }[keyof Types]
