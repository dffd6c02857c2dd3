// What users get from createOutbox and createRelay.
import type { DeadRow, OutboxStats, OutboxStore, Transactional } from '../../core/contracts/store.ts'
import type { MessageTransport } from '../../core/contracts/transport.ts'
import type { Describable } from '../../core/describe.ts'
import type { Closable } from '../../core/lifecycle.ts'
import type { ChannelAddress } from '../../core/message.ts'
import type { RelayState } from '../../core/message-events.ts'
import type { FairleadError } from '../../errors/base.ts'
import type { Seams } from '../../policies/seams.ts'
import type { Channel, MessageTypes, Publishable } from '../types.ts'

/** What an outbox needs of a store. */
export interface OutboxPlace<Tx> extends Transactional<Tx> {
  readonly name: string
  readonly owner?: string | undefined
  readonly outbox: OutboxStore<Tx>
}

/** Options of an outbox. */
export interface OutboxOptions extends Seams {
  /** Who publishes: a URI reference, such as `/shop/orders`. Default: `/` and the owner of the store, else `/outbox`. */
  readonly source?: string | undefined
  /** Messages of more bytes, attributes and headers included, are refused before anything is written. Default 1,000,000. Give at most what the transport of the relay carries. */
  readonly maxPayloadBytes?: number | undefined
  /** Tell relays of other processes after commits, where the database can: at most once in so many milliseconds. Default false. */
  readonly announceEveryMs?: number | false | undefined
  /** Makes the ids of messages that are given none. Default: UUID version 7. */
  readonly newId?: (() => string) | undefined
}

/** The message is part of the transaction. */
export interface OutboxReceipt {
  readonly id: string
}

/** Messages that are published by committing. */
export interface Outbox<Tx> extends Describable {
  readonly source: string
  readonly maxPayloadBytes: number
  /** For relays, tools and tests. */
  readonly place: OutboxPlace<Tx>
  /**
   * Publishes as part of the transaction, in the order of the calls. All messages of a call are in, or none.
   *
   * Inside `store.transaction` everything published is written in one statement just before the commit, which waits for what is still being validated; if such a message is
   * refused only then, the transaction is undone, because its work went on without knowing.
   *
   * In a transaction of your own it is written at once, and several calls in different orders of keys can then deadlock (`TRANSACTION_CONFLICT`, effect `none`: run the
   * transaction again): give one call an array instead. Relays look a little later then, as nobody tells them of your commit.
   *
   * It belongs to the whole transaction, not to a savepoint: what is published inside a savepoint of `store.transaction` that is rolled back is published all the same. Publish
   * once the savepoint is released, or throw out of the transaction.
   * @throws FairleadError as a rejection: `TRANSACTION_REQUIRED` for a pool, or for a transaction that is over; `INVALID_INPUT` with `details.issues`, `PAYLOAD_TOO_LARGE`
   * (both with `details.index` where there are several); `INVALID_OPTIONS`; what the database says
   */
  publish<Types extends MessageTypes>(
    tx: NoInfer<Tx>,
    channel: Channel<Types>,
    message: Publishable<NoInfer<Types>>,
  ): Promise<OutboxReceipt>
  /** Several, in order. */
  publish<Types extends MessageTypes>(
    tx: NoInfer<Tx>,
    channel: Channel<Types>,
    messages: readonly Publishable<NoInfer<Types>>[],
  ): Promise<readonly OutboxReceipt[]>
  stats(): Promise<OutboxStats>
  /** Dead rows, oldest first. Default limit 100. */
  dead(options?: { readonly limit?: number | undefined }): AsyncIterable<DeadRow>
  /** Gives rows up for good, dead and pending ones; their keys go on. */
  skip(ids: readonly string[]): Promise<number>
  /** Puts dead rows back at their place in the order, and wakes the relays. */
  redrive(ids: readonly string[] | 'all'): Promise<number>
  /**
   * Deletes archived rows (with `dead`, dead ones instead), a thousand at a time. Default: all that are older than 7 days.
   * A dead row that is deleted is lost, and blocks its key no more.
   */
  purge(options?: {
    readonly olderThanMs?: number | undefined
    readonly limit?: number | undefined
    readonly dead?: boolean | undefined
  }): Promise<number>
  /** Told after commits with messages in this process, and after `skip` and `redrive`. Returns the way to stop. */
  onAppended(listener: () => void): () => void
}

/** Options of a relay. */
export interface RelayOptions extends Seams {
  /** Of any store: a relay does not look at transactions. */
  readonly outbox: Outbox<any>
  readonly transport: MessageTransport
  /** Channels that it will publish to: `start` refuses a transport that lacks their mode, and asks it whether they are there. Default: none, and each message finds out. */
  readonly channels?: readonly ChannelAddress[] | undefined
  /** Names it among the relays of the outbox. Default: a new UUID with each start. */
  readonly name?: string | undefined
  /** Rows read and settled at once, at most: it begins with few, and takes less where rows are large or a read fails. Default 500. */
  readonly batch?: number | undefined
  /** Sends under way at once; messages of one key are never in two. A channel that is away is tried besides them. Default 4. */
  readonly concurrency?: number | undefined
  /** How long its partitions stay its own without a word, milliseconds. Default 10,000, least 100; renewed after a third. */
  readonly leaseMs?: number | undefined
  /**
   * For one send, milliseconds. No send begins that could not end before the lease does, so it is at most 0.6 of `leaseMs`. Default: half of it, at most 5,000.
   * A send that does not end with it is left alone, and its messages are sent again.
   */
  readonly sendTimeoutMs?: number | undefined
  /** Between looks at an idle outbox, milliseconds: from the first after something was there to the longest. Default 20 to 1,000, least 1. */
  readonly poll?: { readonly minMs?: number | undefined; readonly maxMs?: number | undefined } | undefined
  /** Listen for announcements of other processes (`announceEveryMs`), where the database can. Default false. */
  readonly listen?: boolean | undefined
  /** Attempts of one message before it is dead; only failures of its own count, while others of its channel get through: not those of a broker, or a receiver, that is away. Default 20. */
  readonly maxAttempts?: number | undefined
  /**
   * Wait before a message, or a channel or transport that is away, is tried again: from, doubling to, milliseconds, with jitter. Default 100 to 30,000 for a message,
   * to 5,000 for what is away.
   */
  readonly backoff?: { readonly minMs?: number | undefined; readonly maxMs?: number | undefined } | undefined
  /**
   * Whether later messages of its key wait behind a dead one, until it is skipped or redriven. Default `block-key`.
   * Nothing ever waits behind a message that expired before it could be published: it is dead with the reason `TOO_LATE`.
   */
  readonly onDead?: 'block-key' | 'continue' | undefined
  /** Archived rows older than this are deleted, a bounded batch each minute and more while there are more; `false`: never. Default 7 days. */
  readonly purgeAfterMs?: number | false | undefined
}

/** How a relay is. */
export interface RelayHealth {
  readonly state: RelayState
  /** Since when, milliseconds since 1970. */
  readonly since: number
  readonly partitions: number
  /** Messages sent and not yet settled. */
  readonly inFlight: number
  readonly published: number
  readonly lastError?: FairleadError | undefined
}

/**
 * Takes messages from an outbox to a transport: each at least once, with its id; those of a key in their order, whatever fails.
 *
 * What becomes of a failure: transient, or with an effect that is unknown: sent again with the same id. Permanent and surely without effect: dead; but what speaks against the
 * channel or this client and not against the message (`UNROUTABLE`, `CHANNEL_NOT_FOUND`, `FORBIDDEN`) is tried `maxAttempts` times first. Where nothing of a channel gets
 * through, nothing is counted and the channel backs off, while others go on; where nothing gets through at all, the relay as a whole does. A few messages are tried then,
 * each in its turn.
 */
export interface Relay extends Closable, Describable {
  /**
   * Resolves once it has leased what it can. Twice is the same as once; after it failed it can be tried again.
   * @throws FairleadError what the store or transport says; `CAPABILITY_MISSING`; `SHUTDOWN` after `close`
   */
  start(): Promise<void>
  /** Look now. */
  wake(): void
  health(): RelayHealth
  /**
   * Lets sends end, settles them, gives its partitions back: another relay has them at once. Outbox, store and transport stay open. Never rejects, and ends within `withinMs`
   * (default 10,000): sends that are still under way then are aborted, and their messages are published again by the next relay.
   */
  close(options?: { readonly withinMs?: number | undefined }): Promise<void>
}
