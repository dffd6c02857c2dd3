// What users get from createRequester and createResponder.
import type { Describable } from '../../core/describe.ts'
import type { Closable } from '../../core/lifecycle.ts'
import type { ChannelAddress, Message } from '../../core/message.ts'
import type { AnySchema } from '../../core/schema.ts'
import type { FairleadError } from '../../errors/base.ts'
import type { DeadOutcome, RetryOutcome } from '../consumer/outcomes.ts'
import type { Consumer, ConsumerCommonOptions, HandlerContext } from '../consumer/types.ts'
import type { InboxOptions } from '../inbox/types.ts'
import type { Outbox } from '../outbox/types.ts'
import type {
  Channel,
  DataIn,
  MessageOf,
  MessageTypes,
  ReplyIn,
  ReplyOut,
  RequestFailure,
  RequestFailureIn,
  RequestType,
} from '../types.ts'
import type { ExchangeOptions, ExchangeStats } from './exchange.ts'

/** Options of a requester. */
export interface RequesterOptions extends ExchangeOptions {
  /** Who asks: a URI reference, such as `/shop/checkout`. With its id it names a request for good. */
  readonly source: string
  /** For a whole request, milliseconds. Default 5,000. An inherited deadline that is sooner wins. */
  readonly timeoutMs?: number | undefined
  /** Makes the ids of requests that are given none. Default: UUID version 7. */
  readonly newId?: (() => string) | undefined
}

/** What may be said of one request. */
export interface RequestOptions {
  /** Default: that of the requester. An inherited deadline that is sooner wins. It travels: after it nobody works on the request any more. */
  readonly timeoutMs?: number | undefined
  /** The caller's own way to give up: the request is forgotten, and its reply is late when it comes. Its reason becomes the cause of a `CANCELLED`. */
  readonly signal?: AbortSignal | undefined
  /** Whether it may be asked twice: decides `retryable` where it is not known what was done. Default false. */
  readonly idempotent?: boolean | undefined
  /** Default: a new one. A responder with an inbox answers an id once: asked again under the same one it stays silent. */
  readonly id?: string | undefined
  /** Requests of one key are worked on in order. */
  readonly key?: string | undefined
  readonly subject?: string | undefined
  /** A whole number from -32,768 to 32,767; higher is sooner. Default 0. */
  readonly priority?: number | undefined
  /** What replies are told by: no two requests that wait may have the same. Default: the id. */
  readonly correlationId?: string | undefined
  /** Headers of the message. Trace context is inherited, or given here. */
  readonly headers?: Readonly<Record<string, string>> | undefined
}

/** The result of a request that never throws. */
export type RequestResult<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: FairleadError }

/** A reply with all that it says of itself: `source` is who answered. */
export type ReplyMessage<D> = Message<ReplyOut<D>>

/** What may be said of a request to many. */
export interface GatherOptions<D> extends RequestOptions {
  /** How many replies are enough; or a rule of what has come so far, asked after each. Failures are no replies: the rule sees them. */
  readonly enough: number | ((replies: readonly ReplyMessage<D>[], failures: readonly FairleadError[]) => boolean)
}

/** What many answered, in the order in which it came. */
export interface Gathered<D> {
  readonly replies: readonly ReplyMessage<D>[]
  /** Declared failures, errors of responders, replies that nobody can read. */
  readonly failures: readonly FairleadError[]
  /** Whether it was enough. */
  readonly complete: boolean
  /** Why no more came, where it was not enough: `DEADLINE_EXCEEDED` mostly. */
  readonly ended?: FairleadError | undefined
}

/**
 * Asks over messages, and waits in memory: a request whose process ends is forgotten, and so is its reply. What has to survive that is asked by a stored requester.
 */
export interface Requester extends Closable, Describable {
  /**
   * Asks, and waits for the reply.
   * @throws FairleadError as a rejection: `DECLARED_FAILURE` for a failure that the channel declares (see `isRequestFailure`), the error of a responder as it tells it,
   * `REPLY_INVALID` and `REPLY_UNDECODABLE` (effect `done`), and what `Exchange.exchange` names: `DEADLINE_EXCEEDED`, `UNROUTABLE`, `OUTSTANDING_LIMIT`, `CONNECTION_LOST`, ...
   * `INVALID_INPUT`, `PAYLOAD_TOO_LARGE`, `CAPABILITY_MISSING` and `INVALID_OPTIONS` come before anything is sent.
   */
  request<Types extends MessageTypes, K extends RequestType<Types>>(
    channel: Channel<Types>,
    type: K,
    data: DataIn<Types[K]>,
    options?: RequestOptions,
  ): Promise<ReplyOut<Types[K]>>
  /** As `request`, and never rejects. */
  result<Types extends MessageTypes, K extends RequestType<Types>>(
    channel: Channel<Types>,
    type: K,
    data: DataIn<Types[K]>,
    options?: RequestOptions,
  ): Promise<RequestResult<ReplyOut<Types[K]>>>
  /**
   * Asks many (on a topic each group answers), and waits until it is enough, or for as long as there is time. What came is never lost: from the sending on it resolves, whatever ends it,
   * but for the caller's own `signal`. A reply that is delivered twice counts once.
   * @throws FairleadError as a rejection, where nothing was sent; `CANCELLED`; what the rule throws
   */
  gather<Types extends MessageTypes, K extends RequestType<Types>>(
    channel: Channel<Types>,
    type: K,
    data: DataIn<Types[K]>,
    options: GatherOptions<Types[K]>,
  ): Promise<Gathered<Types[K]>>
  stats(): ExchangeStats
  /** What waits fails with `SHUTDOWN`; the place of replies is given up; the transport stays open. Twice is the same as once. */
  close(): Promise<void>
}

/** What a handler of requests is told besides the message. */
export interface RequestContext<D = unknown> extends HandlerContext {
  /** Answers with a failure that the channel declares. Ends the handler: it throws. With an inbox what it wrote is undone. */
  fail<F extends RequestFailure<D>>(failure: F, data: RequestFailureIn<D, F>): never
}

/** What a handler of requests is told besides, where the responder has an inbox. */
export interface TransactionRequestContext<Tx, D = unknown> extends RequestContext<D> {
  /** The transaction that holds the entry of the request, its effects and its reply. */
  readonly tx: Tx
}

type Replying<D> = ReplyIn<D> | RetryOutcome | DeadOutcome

type Handled<D> = D extends { readonly reply: AnySchema } ? Replying<D> | PromiseLike<Replying<D>> : unknown

/** A handler of each type that the responder takes: what one returns is the reply. Types that are no requests are handled as a consumer does. */
export type RequestHandlers<Types extends MessageTypes> = {
  readonly [K in keyof Types & string]?: (
    message: MessageOf<Types, K>,
    context: RequestContext<Types[K]>,
  ) => Handled<Types[K]>
}

/** As `RequestHandlers`, with the transaction of the inbox. */
export type TransactionRequestHandlers<Types extends MessageTypes, Tx> = {
  readonly [K in keyof Types & string]?: (
    message: MessageOf<Types, K>,
    context: TransactionRequestContext<Tx, Types[K]>,
  ) => Handled<Types[K]>
}

/** What responders with and without an inbox have in common. */
export interface ResponderCommonOptions<Types extends MessageTypes>
  extends Omit<ConsumerCommonOptions<Types>, 'trigger' | 'expired'> {
  /** Further attempts at a request whose handler failed in a way that may pass, as long as its asker waits. Default: 2 at once, then after 250, 1,000 and 4,000 ms. */
  readonly retries?: ConsumerCommonOptions<Types>['retries']
  /** Tells askers the messages of errors too; never a stack. Default false: they get code, kind and effect. */
  readonly exposeErrors?: boolean | undefined
  /** Hears of errors that were answered with, unless the asker is at fault. */
  readonly onError?:
    | ((error: unknown, where: { readonly channel: string; readonly type: string; readonly id: string }) => void)
    | undefined
}

/** Options of a responder. */
export interface ResponderOptions<Types extends MessageTypes> extends ResponderCommonOptions<Types> {
  /** Who answers: a URI reference, such as `/pricing`. */
  readonly source: string
  readonly handlers: RequestHandlers<NoInfer<Types>>
  readonly inbox?: undefined
  readonly outbox?: undefined
}

/** Options of a responder with an inbox. */
export interface InboxResponderOptions<Types extends MessageTypes, Tx>
  extends ResponderCommonOptions<Types>,
    InboxOptions<Tx> {
  /** Of the same store: replies are part of the transaction of their request, and are sent by the relay of this outbox. Who answers is its `source`. */
  readonly outbox: Outbox<NoInfer<Tx>>
  readonly handlers: TransactionRequestHandlers<NoInfer<Types>, NoInfer<Tx>>
  readonly source?: undefined
}

/** Figures of a responder since it was made: what was answered, and what of it went nowhere. */
export interface ResponderStats {
  readonly replies: number
  /** Declared ones. */
  readonly failures: number
  /** Error replies. */
  readonly errors: number
  /** Handled requests that asked for no reply. */
  readonly silent: number
  /** Whoever asked had gone: its address was there no more. */
  readonly gone: number
  /** Whoever asked waited no longer. */
  readonly late: number
  /** Answers that could not be sent, and never will be. */
  readonly failed: number
}

/** Answers requests. A consumer in all else. */
export interface Responder extends Consumer {
  stats(): ResponderStats
}

/** Where an answer goes, and what it belongs to. */
export interface Asked {
  readonly id: string
  readonly source: string
  readonly type: string
  readonly correlation: string
  readonly replyTo: ChannelAddress
  readonly expiresAt: number | undefined
  /** Trace context. */
  readonly headers: Readonly<Record<string, string>>
}
