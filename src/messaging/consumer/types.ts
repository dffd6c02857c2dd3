// What a user gives to a consumer and gets from it.
import type { CallContext } from '../../core/context.ts'
import type { Backlog, MessageTransport, ReceiveFrom } from '../../core/contracts/transport.ts'
import type { Deadline } from '../../core/deadline.ts'
import type { Describable } from '../../core/describe.ts'
import type { Layer } from '../../core/handler.ts'
import type { Closable } from '../../core/lifecycle.ts'
import type { ChannelAddress } from '../../core/message.ts'
import type { ConsumerState } from '../../core/message-events.ts'
import type { FairleadError } from '../../errors/base.ts'
import type { Seams } from '../../policies/seams.ts'
import type { InboxOptions } from '../inbox/types.ts'
import type { AnyMessageOf, Channel, MessageOf, MessageTypes } from '../types.ts'
import type { Trigger } from './trigger.ts'

/** What a handler is told besides the message. */
export interface HandlerContext {
  readonly channel: ChannelAddress
  readonly group: string | undefined
  /** Ids of the messages of this call: one, or those of the batch. Good idempotency keys for calls to others. */
  readonly ids: readonly string[]
  /** Attempts at this delivery, 1-based. */
  readonly attempt: number
  /** How often it was handed out before, as far as that is known; of a batch, the highest. */
  readonly redeliveries: number
  /** `handlerTimeoutMs`, or sooner where the message expires sooner. Calls made through fairlead inherit it. */
  readonly deadline: Deadline
  /** Aborted when the deadline comes, when the right to settle is lost, and at the end of a close. Made when first read. */
  readonly signal: AbortSignal
  /** The reason of the abort, or undefined while the handler may go on. */
  readonly aborted: { readonly reason: unknown } | undefined
  /** The cheap way to be told of an abort. Called at once if it has happened. Returns the way to stop listening. */
  onAbort(listener: (reason: unknown) => void): () => void
  /** Trace context and baggage of the message; calls made through fairlead inherit them. Of a batch: none. */
  readonly headers: Readonly<Record<string, string>>
  /** What the layers around the handler see. */
  readonly call: CallContext
}

/** What a handler is told besides the message, where the consumer has an inbox. */
export interface TransactionContext<Tx> extends HandlerContext {
  /**
   * The transaction that holds the entry of the message. Committed when the handler is done; undone when it throws, or answers with `retry()` or `dead()`, or was aborted before
   * (`signal`: a handler that takes longer than `handlerTimeoutMs` has done nothing, even if it ends well). One that does not heed its end
   * keeps a connection, and its message busy, until it does, where the driver hands out connections; elsewhere it finds the transaction over.
   * It is over then. A handler may be called again with the same message and another transaction, also because the database undid the first one.
   */
  readonly tx: Tx
}

/**
 * A handler of each type that the consumer takes. What one returns counts only if `retry()` or `dead()` made it; what one throws is judged
 * by its `retryable`. They may be called again with the same message: make them idempotent.
 */
export type MessageHandlers<Types extends MessageTypes, Context extends HandlerContext = HandlerContext> = {
  readonly [K in keyof Types & string]?: (message: MessageOf<Types, K>, context: Context) => unknown
}

/**
 * A handler of whole batches, oldest message first. Answers for all of them (as a handler of one does), or with an array of outcomes, one for
 * each message in order, where undefined means done. With an inbox it is given only those that were not handled before, and a transaction is all or
 * nothing: where some are not done, it is undone, and the others are handled again without them, in another one.
 */
export type BatchHandler<Types extends MessageTypes, Context extends HandlerContext = HandlerContext> = (
  messages: readonly AnyMessageOf<Types>[],
  context: Context,
) => unknown

/** What follows on a failed attempt. */
export interface RetryPlan {
  /** Further attempts at once. Default 2. Not made after a timeout, or where the failure names a time to wait. */
  readonly immediate?: number | undefined
  /** After those: one delivery more after each of these, milliseconds; then the message is dead. Default 10,000, 30,000, 60,000. */
  readonly delayedMs?: readonly number[] | undefined
  /** Share by which a delay may be longer, drawn at random. Default 0.2. */
  readonly jitter?: number | undefined
}

/** When a consumer takes failures for an outage, and what it does then. */
export interface ThrottlePlan {
  /** So many different messages failing one after another. Default 10. */
  readonly failures?: number | undefined
  /** To the first probe, milliseconds; doubling while probes fail. Default 1,000. */
  readonly probeMs?: number | undefined
  /** Longest wait between probes. Default 30,000. */
  readonly maxProbeMs?: number | undefined
}

/** What a message waits behind while one of its key is tried again. */
export type OnFailure = 'block-key' | 'park-key' | 'overtake'

/** A place for dead letters, where the transport has none or another one is wanted. */
export interface DeadLetterPlace {
  readonly transport: MessageTransport
  readonly channel: ChannelAddress
}

/** What consumers of single messages and of batches have in common. */
export interface ConsumerCommonOptions<Types extends MessageTypes> extends Seams {
  readonly transport: MessageTransport
  readonly channel: Channel<Types>
  /** Of a topic. Named: durable, members compete. Absent: a live subscription. */
  readonly group?: string | undefined
  /** Where a new group or a live subscription starts, on transports with replay. Default `latest`. */
  readonly from?: ReceiveFrom['from']
  /**
   * Before it subscribes: make the channel where it is not there yet, only check that channel and group are there, or neither (`false`).
   * A new group is made by the subscription, at `from`. Default `create`.
   */
  readonly prepare?: 'create' | 'check' | false | undefined
  /** Handler calls at once. Default 10; 1 with `batch`. Messages of one key are always handled one after another. */
  readonly concurrency?: number | undefined
  /** Messages held at most: running, waiting, held back; besides, as many again of which the broker is being told. Default twice the concurrency, or what the trigger needs; 100 with `batch`. */
  readonly prefetch?: number | undefined
  /** Milliseconds for one handler call. Default 30,000. One that does not heed its end is left alone after the same time again. */
  readonly handlerTimeoutMs?: number | undefined
  readonly retries?: RetryPlan | undefined
  /**
   * `block-key`: later ones of the key wait here. `park-key`: they wait at the broker. `overtake`: they go on.
   * Default: `block-key` where the transport keeps order per key, else `overtake`.
   */
  readonly onFailure?: OnFailure | undefined
  /** A message that was handed out so often without an end is dead, unhandled: it may be what kills its consumers. Default 20. */
  readonly maxDeliveries?: number | undefined
  /** Of a type that the channel has not. Default `dead`. `ignore`: taken as done. */
  readonly unknownType?: 'dead' | 'ignore' | undefined
  /** Of a type that the channel has, without a handler here. Default: `ignore` on a topic (it is meant for others), `dead` on a queue. */
  readonly unhandledType?: 'dead' | 'ignore' | undefined
  /** Past its `expiresAt`. Default `dead`. */
  readonly expired?: 'dead' | 'drop' | undefined
  /** Default: the transport's own. `drop`: dead messages are gone; there is an event for each. */
  readonly deadLetter?: DeadLetterPlace | 'drop' | undefined
  /** Policies around the handler, first = outermost. Their request is the message, or the batch. */
  readonly layers?: readonly Layer[] | undefined
  readonly trigger?: Trigger | undefined
  /** What is done in an outage; `false`: nothing. */
  readonly throttle?: ThrottlePlan | false | undefined
}

type Handling<Types extends MessageTypes, Context extends HandlerContext> =
  | { readonly handlers: MessageHandlers<NoInfer<Types>, Context>; readonly batch?: undefined }
  | { readonly batch: BatchHandler<NoInfer<Types>, Context>; readonly handlers?: undefined }

/** Options of a consumer. */
export type ConsumerOptions<Types extends MessageTypes> = ConsumerCommonOptions<Types> & {
  readonly [K in keyof InboxOptions<unknown>]?: undefined
} & Handling<Types, HandlerContext>

/** Options of a consumer with an inbox: its handlers get the transaction of the store. */
export type InboxConsumerOptions<Types extends MessageTypes, Tx> = ConsumerCommonOptions<Types> &
  InboxOptions<Tx> &
  Handling<Types, TransactionContext<NoInfer<Tx>>>

/** How a consumer is. */
export interface ConsumerHealth {
  readonly state: ConsumerState
  /** Since when, milliseconds since 1970. */
  readonly since: number
  /** Handler calls under way. */
  readonly inFlight: number
  /** Messages in this consumer: those being handled, those that wait their turn, those held back. */
  readonly held: number
  /** Handler calls that did not heed their end and are still running, as far as is known. */
  readonly abandoned: number
  /** The last failure of a handler, of settling or of the subscription. A success of a handler clears it. */
  readonly lastError?: FairleadError | undefined
}

/** How to close. */
export interface CloseOptions {
  /** Time for the handlers that run, milliseconds. Default 30,000. A tenth of it, at most 1,000, is kept to abort and settle what is left. */
  readonly withinMs?: number | undefined
}

/** Takes messages of one channel from one transport and runs handlers. */
export interface Consumer extends Closable, Describable {
  /**
   * Resolves once the subscription stands. Twice is the same as once.
   * @throws FairleadError what the transport says; `SHUTDOWN` after `close`
   */
  start(): Promise<void>
  /** Begins no handler any more and takes nothing. What has not begun is given back where that can be; what runs goes on. */
  pause(): void
  resume(): void
  /** Takes nothing more, lets the handlers end, then aborts them, and settles. What is unsettled comes again. The transport stays open. */
  close(options?: CloseOptions): Promise<void>
  health(): ConsumerHealth
  /** What waits at the broker; undefined where it cannot say. */
  lag(): Promise<Backlog | undefined>
}
