// What an inbox needs of a store, and what it is told.
import type { InboxOpening, InboxStore, Transactional } from '../../core/contracts/store.ts'
import type { Message } from '../../core/message.ts'

/** What an inbox needs of a store: transactions, and the part of it that remembers. `postgresStore(...)` and the others are one. */
export interface InboxPlace<Tx> extends Transactional<Tx> {
  readonly inbox: InboxStore<Tx>
  /** The claim of one message together with what its handler is going to read. Undefined, or absent: `inbox.claiming`. */
  opening?(consumer: string, message: Message): InboxOpening | undefined
}

/** Options of a consumer that concern its inbox. */
export interface InboxOptions<Tx> {
  /**
   * Each message is handled in a transaction of this store, together with the entry that it was; so its effects in that database happen once,
   * however often it is delivered. Handlers get the transaction as `context.tx`. Effects elsewhere may happen more than once: give
   * `context.ids` along as idempotency keys.
   */
  readonly inbox: InboxPlace<Tx>
  /**
   * Names the consumer in its inbox: what one name has applied is not applied again under that name. Every process of the consumer has the same, and it
   * must never change: under a new name all messages are new. Consumers of one database with the same group on different channels are given different names
   * if one message can come by both. Default: the group, else the name of the channel; a topic without a group needs one.
   */
  readonly name?: string | undefined
  /**
   * For how long dead letters may still be redriven, milliseconds; 0: they never are. The entries of the inbox have to be kept for at least so long and all
   * the retries before it, or a late copy would be applied again: more than the store keeps is refused. Default 7 days, 0 with `deadLetter: 'drop'`.
   */
  readonly redriveWithinMs?: number | undefined
  /**
   * About how often entries older than the store keeps them are deleted, in batches, milliseconds; half to one and a half of it, drawn at random. `false`: never, because
   * something else does. Default 10 minutes.
   */
  readonly purgeEveryMs?: number | false | undefined
}
