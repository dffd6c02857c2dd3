// What users give to a stored requester and get from it.
import type { StateStore } from '../../core/contracts/store.ts'
import type { MessageTransport } from '../../core/contracts/transport.ts'
import type { Describable } from '../../core/describe.ts'
import type { Closable } from '../../core/lifecycle.ts'
import type { Message } from '../../core/message.ts'
import type { AnySchema, InputOf, OutputOf } from '../../core/schema.ts'
import type { FairleadError } from '../../errors/base.ts'
import type { ConsumerHealth } from '../consumer/types.ts'
import type { InboxPlace } from '../inbox/types.ts'
import type { InnerConsumerOptions } from '../inner-consumer.ts'
import type { Outbox } from '../outbox/types.ts'
import type {
  Channel,
  DataIn,
  MessageTypes,
  ReplyOut,
  RequestFailure,
  RequestFailureOut,
  RequestType,
} from '../types.ts'

/** What a stored requester needs of a store: transactions, the inbox, and the part that keeps states. */
export interface StoredRequestPlace<Tx> extends InboxPlace<Tx> {
  readonly states: StateStore<Tx>
}

/** A request as its handlers see it. */
export interface StoredRequest {
  readonly id: string
  readonly type: string
  readonly key: string | undefined
  /** Milliseconds since 1970. */
  readonly requestedAt: number
  /** Milliseconds since 1970. */
  readonly deadlineAt: number
  /** So many replies end it. */
  readonly expect: number
}

/** What a handler is told besides the reply. */
export interface StoredContext<Tx, State> {
  /**
   * The transaction that ends the request, or counts the reply. What is published and requested in it goes with it. A handler may be called again with another one, because the
   * database undid the first.
   */
  readonly tx: Tx
  readonly request: StoredRequest
  /** What was given along with the request, or kept by an earlier reply. */
  readonly state: State
  /** Replies so far, failures among them; this one included. */
  readonly replies: number
  /** The request is over with this one. */
  readonly last: boolean
  /** The message that carries the reply, without its data: `message.source` says who answered. Of a timeout: its own. */
  readonly message: Message<undefined>
  /** Ids of the message: good idempotency keys for calls to others. */
  readonly ids: readonly string[]
  /** Aborted when the handler takes too long, when the right to settle is lost, and at the end of a close. Made when first read. */
  readonly signal: AbortSignal
  /** Of several replies: it is enough, whatever is still to come. */
  enough(): void
  /** Of several replies: what later handlers find as `state`. It has to be JSON. */
  keep(state: State): void
}

/** What is done when a request ends. All of it happens in one transaction with the end itself: once, as far as the database goes. */
export interface StoredHandlers<D, Tx, State> {
  /** A reply. */
  readonly reply: (reply: ReplyOut<D>, context: StoredContext<Tx, State>) => unknown
  /** A failure that the channel declares. Needed where it declares one. */
  readonly failure?:
    | ((name: RequestFailure<D>, data: FailureData<D>, context: StoredContext<Tx, State>) => unknown)
    | undefined
  /**
   * The responder answered with an error that the channel does not declare, or with something that cannot be read; `error.effect` says what it did. Default: `timeout` is called with it, at once.
   */
  readonly error?: ((error: FairleadError, context: StoredContext<Tx, State>) => unknown) | undefined
  /**
   * No answer: the time was over (`error.code` is `DEADLINE_EXCEEDED`) before there were enough replies. What the responder did, or is still doing, is not known: ask, before something is undone.
   * A request that expired before it could be published ends here too.
   */
  readonly timeout: (context: StoredContext<Tx, State> & { readonly error: FairleadError }) => unknown
}

type FailureData<D> = { readonly [N in RequestFailure<D>]: RequestFailureOut<D, N> }[RequestFailure<D>]

/** Options of a stored requester. */
export interface StoredRequesterOptions<Types extends MessageTypes, Tx, StateSchema extends AnySchema>
  extends InnerConsumerOptions<Tx> {
  /** Names it in the store, for good: under a new name the requests of before are nobody's. Every process of the requester has the same. */
  readonly name: string
  readonly store: StoredRequestPlace<Tx>
  /** Of the same store. Its relay carries the requests. */
  readonly outbox: Outbox<Tx>
  /** Where replies come in. It has to have queues. It is not closed with the requester. */
  readonly transport: MessageTransport
  readonly channel: Channel<Types>
  /** Name of the queue for replies. It belongs to this requester alone: to others what comes in there means nothing. */
  readonly replies: string
  /** Schema of what is kept with a request. Default: anything that is JSON, and `state` is unknown to the compiler. */
  readonly state?: StateSchema | undefined
  /** By type. They are found by their names when a reply comes, also by another process, of a later version. */
  readonly handlers: {
    readonly [K in RequestType<NoInfer<Types>>]?: StoredHandlers<
      NoInfer<Types>[K],
      NoInfer<Tx>,
      OutputOf<NoInfer<StateSchema>>
    >
  }
  /** For requests that say none of their own, milliseconds. Default 60,000. */
  readonly timeoutMs?: number | undefined
  /**
   * How often the store is asked for requests whose time is over, milliseconds: those of other processes, and of earlier ones. The own ones are looked for when their time comes. `false`: not by this
   * process. Default 5,000.
   */
  readonly scanEveryMs?: number | false | undefined
  /**
   * How long the row of a request that is over is kept, milliseconds; then it is deleted, in batches, about every `purgeEveryMs` (every 10 minutes where that is `false`). All it is good for is to tell
   * replies that come late (`late`) from those to nobody (`unknown`), which are dropped as well, and to keep its id from being used again while the inbox still takes the reply of before for one that
   * was applied. So it is at least as long as the inbox of the store remembers messages (`inbox.retentionMs`: for so long a message may still come), and no longer by default: 14 days, where the store
   * says no other. `false`: for ever.
   */
  readonly keepDoneMs?: number | false | undefined
}

/** What may be said of a request. */
export interface StoredRequestOptions<State> {
  /** Milliseconds; it may be weeks. Default: that of the requester. */
  readonly timeoutMs?: number | undefined
  /** Kept with the request, and given to its handlers. It has to be JSON. */
  readonly state?: State | undefined
  /** Messages of one key keep their order. */
  readonly key?: string | undefined
  readonly subject?: string | undefined
  /** A whole number; higher is sooner. */
  readonly priority?: number | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** So many replies end it; failures count. Default 1. */
  readonly expect?: number | undefined
}

/** A request that waits. */
export interface PendingRequest extends StoredRequest {
  /** `timing-out`: its timeout is on its way. A reply that is handled before it still counts. */
  readonly status: 'open' | 'timing-out'
  readonly replies: number
  readonly state: unknown
}

/** Figures of this process; they only grow. */
export interface StoredRequesterStats {
  readonly requested: number
  /** Replies that were handled. */
  readonly replies: number
  /** Declared failures and errors that were handled. */
  readonly failures: number
  readonly timeouts: number
  /** Dropped: the request was over. A timeout that came after the reply is one. */
  readonly late: number
  /** Dropped: no request of that id was made under this name, or it was over for so long that its row is gone. */
  readonly unknown: number
  /** Rows that this process deleted, of requests that were over: see `keepDoneMs`. */
  readonly purged: number
}

/** Requests whose answers come some day, also to another process. */
export interface StoredRequester<Types extends MessageTypes, Tx, State> extends Closable, Describable {
  readonly name: string
  /**
   * Takes replies, and looks after timeouts. Requests may be made without.
   * @throws FairleadError what the transport says; `SHUTDOWN` after `close`
   */
  start(): Promise<void>
  /**
   * Requests as part of the transaction: request and its row are there with the commit, or neither.
   * @throws FairleadError as a rejection: what `outbox.publish` says; `INVALID_INPUT` for a state that breaks its schema; `INVALID_OPTIONS`; what the database says
   */
  request<K extends RequestType<Types>>(
    tx: NoInfer<Tx>,
    type: K,
    data: DataIn<Types[K]>,
    options?: StoredRequestOptions<State>,
  ): Promise<{ readonly id: string }>
  /**
   * Ends a request without an answer, as part of the transaction. A reply that comes is late then. The responder is not told.
   * @returns false where it was over, or there was none
   * @throws FairleadError as a rejection: `TRANSACTION_CONFLICT` where it ended meanwhile: run the transaction again
   */
  cancel(tx: NoInfer<Tx>, id: string): Promise<boolean>
  /** Those that wait, by their deadline. Default limit 100. */
  pending(limit?: number): Promise<readonly PendingRequest[]>
  stats(): StoredRequesterStats
  health(): ConsumerHealth
  /** Takes nothing more, lets handlers end, then aborts them. What waits goes on waiting: it is in the store. */
  close(options?: { readonly withinMs?: number | undefined }): Promise<void>
}

/** What may be given as state of a schema. */
export type StateIn<S extends AnySchema> = InputOf<S>
