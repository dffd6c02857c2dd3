// What outbox, inbox, processes and checkpoints ask of a database. One store carries all the parts; each part is asked for by its own name,
// because several of them lease, load and purge.
import type { ChannelAddress, Envelope } from '../message.ts'
import type { Delivery } from './transport.ts'

/** How one transaction is run. */
export interface TransactionOptions {
  /**
   * A statement without parameters that may go out together with the beginning of the transaction, to save a round trip. The work is given its
   * result as `opened`; undefined where there is no such way, and then the statement was not run.
   */
  readonly opening?: string | undefined
  /** Asked once, after the work: a statement without parameters that is sent together with COMMIT. Only where the driver says `closes`. */
  readonly closing?: (() => string | undefined) | undefined
}

/** What goes out with a commit. */
export interface Closing {
  readonly statement: string
  /** The rows that it appends: whoever takes its place has to append them too, and before its own. */
  readonly rows: readonly OutboxRow[]
}

/** Transactions of the user's own kind. */
export interface Transactional<Tx> {
  /**
   * A handle refuses every use once its transaction is over (`TRANSACTION_REQUIRED`): so a transaction may be ended while somebody still works in it. Absent where handles are the
   * driver's own connections, which may be in the middle of another transaction by then.
   */
  readonly handlesEnd?: true | undefined
  /**
   * Runs `work` in a transaction: commits when it resolves, rolls back when it rejects, and rejects with the very same error.
   * What was published and noted inside (`beforeCommit`) is part of the commit.
   * @throws FairleadError `PROGRAMMING_ERROR` inside another transaction of the same store; `TRANSACTION_CONFLICT` where the database undid it
   */
  transaction<T>(
    work: (tx: Tx, opened?: SqlResult | undefined) => Promise<T>,
    options?: TransactionOptions | undefined,
  ): Promise<T>
  /** Whether it is an open transaction of this kind. Where types cannot tell a pool from a transaction, this does. */
  isTransaction(candidate: unknown): candidate is Tx
  /**
   * Runs `hook` inside the transaction, after its work and before its commit; hooks run one after another, in the order in which they were given.
   * What a hook rejects with undoes the transaction. One that is noted as `last` runs when there is no other any more, however they note each other.
   * @returns false for a transaction that this store's `transaction` did not begin: then nobody would run it, and nothing is noted
   * @throws FairleadError `TRANSACTION_REQUIRED` once its hooks have been run: it is over
   */
  beforeCommit(tx: Tx, hook: (tx: Tx) => Promise<void>, place?: 'last' | undefined): boolean
  /**
   * Has a statement sent together with the commit of the transaction, to save a round trip. There is one: `replace` is given the one before and says what takes its
   * place. Absent, or false: there is no such way, or the transaction is not one of `transaction`; nothing was asked then.
   */
  closeWith?(tx: Tx, replace: (before: Closing | undefined) => Closing | undefined): boolean
  /**
   * Told after every commit of `transaction`, and which it was: to wake relays and timers of this process. What a listener throws is swallowed. Returns the way to stop.
   */
  onCommitted(listener: (tx: Tx) => void): () => void
}

export interface SqlResult {
  readonly rows: readonly Record<string, unknown>[]
  readonly affected: number
}

/**
 * How a driver or ORM runs SQL in *its own* transaction type; a preset per driver. Statements are written per dialect (`$1` for PostgreSQL, `?` for
 * MySQL and SQLite); a preset rewrites placeholders where its driver wants others. Parameters are null, text, number, bigint, boolean, bytes (Uint8Array)
 * and, for PostgreSQL only, arrays of text. Bytes come back as Uint8Array; whole numbers beyond 2^53 as bigint or text, never rounded.
 * Whatever is rejected with is a FairleadError whose effect says what the database did; what `work` throws of its own comes out untouched.
 */
export interface SqlDriver<Tx> {
  readonly dialect: 'postgres' | 'mysql' | 'sqlite'
  /** `transaction` heeds `closing`. */
  readonly closes?: true | undefined
  /**
   * `opening` may be ignored: then there is no `opened`.
   * @throws FairleadError `PROGRAMMING_ERROR` inside another transaction of the same driver
   */
  transaction<T>(
    work: (tx: Tx, opened?: SqlResult | undefined) => Promise<T>,
    options?: TransactionOptions | undefined,
  ): Promise<T>
  isTransaction(candidate: unknown): candidate is Tx
  /** @throws FairleadError `TRANSACTION_REQUIRED` where there is no open transaction, and what the database says */
  query(tx: Tx, text: string, params: readonly unknown[]): Promise<SqlResult>
  /** One statement, its own commit. On a single connection (SQLite) it waits its turn. */
  execute(text: string, params: readonly unknown[]): Promise<SqlResult>
  listen?(channel: string, wake: () => void): Promise<() => Promise<void>>
}

/** A store: one schema, one file, one map; every part of it in the same transactions. */
export interface Store<Tx> extends Transactional<Tx> {
  /** `postgres`, `mysql`, `sqlite`, `memory`. */
  readonly name: string
  /** Which service its tables belong to, where somebody said so. */
  readonly owner?: string | undefined
  readonly outbox: OutboxStore<Tx>
  readonly inbox: InboxStore<Tx>
  readonly idempotency: IdempotencyStore<Tx>
  readonly states: StateStore<Tx>
  readonly checkpoints: CheckpointStore
  /**
   * Makes or updates its tables and sets the mark of the owner. Any number of processes may call it at once, and again at each start.
   * @returns names of the steps that were run now
   * @throws FairleadError `INCOMPATIBLE` for tables of a newer version, or of another owner; `FORBIDDEN`
   */
  migrate(): Promise<{ readonly applied: readonly string[] }>
  /** Only looks, and changes nothing. @throws FairleadError `INCOMPATIBLE` naming what is missing, newer, or owned by another */
  check(): Promise<void>
  /** Ends what the store itself holds. Pools and handles stay the caller's. */
  close(): Promise<void>
}

// ---- outbox ----------------------------------------------------------------------------------------------------------

/** What a relay and those who care for an outbox ask of a database. Time is that of the database where there is one. */
export interface OutboxStore<Tx> {
  /**
   * Writes rows in the order given, in the caller's transaction. Afterwards, per channel and key, order by sequence is order of commit: whatever locks that takes
   * are taken before the sequence is drawn, in one order for all, and held until the transaction ends.
   */
  append(tx: Tx, rows: readonly OutboxRow[]): Promise<void>
  /** The same as a statement for `closeWith`; undefined for rows that are better appended before. Absent where there is no such way. */
  closing?(rows: readonly OutboxRow[]): Closing | undefined
  /**
   * Leases a fair share of the partitions (hashes of keys) to this relay for `forMs`, and extends what it holds. What is beyond its share is not extended and comes back as
   * `surplus`: it is the relay's until it is released or runs out, so that what was sent of it can still be settled, and is not sent again by the next one.
   * A new holder of a partition has a higher epoch. To be called again well before `forMs` is over. `until` is on the clock of the caller, never later than what the store goes by.
   */
  lease(relay: string, forMs: number): Promise<readonly PartitionLease[]>
  /** Gives them back at once, for others to take. `relay`: it leaves, whether it holds anything or not, and the shares of the others grow; so does one that holds nothing any more. */
  release(leases: readonly PartitionLease[], relay?: string | undefined): Promise<void>
  /**
   * Rows of the leased partitions that may be published now, by sequence and always from the beginning: those that wait for their time and those of blocked keys left out.
   * Rows that were read and are not settled are read again. There is no reading on behind the last row: what commits late or is freed below it would be overtaken by later
   * rows of its key. To read while a batch is out, a relay asks for other partitions.
   */
  pending(leases: readonly PartitionLease[], limit: number): Promise<readonly PendingRow[]>
  /** Returns how many were settled: rows whose partition has another holder by now stay as they are. */
  settle(leases: readonly PartitionLease[], verdicts: readonly RowVerdict[]): Promise<number>
  stats(): Promise<OutboxStats>
  /** Oldest first. */
  dead(limit: number): AsyncIterable<DeadRow>
  /** Gives rows up for good, dead ones and pending ones, by message id; their keys go on. Returns how many there were. */
  skip(ids: readonly string[]): Promise<number>
  /** Puts dead rows back at their old place in the order; their keys go on. Returns how many there were. */
  redrive(ids: readonly string[] | 'all'): Promise<number>
  /** Deletes what is over (archived rows; with `dead`, dead ones instead), oldest first. Returns how many there were. */
  purge(options: {
    readonly olderThanMs: number
    readonly limit: number
    readonly dead?: boolean | undefined
  }): Promise<number>
  /** Tells relays of other processes that there is something. Absent where the database has no way. */
  announce?(): Promise<void>
  /** Calls `wake` on each announcement, also of other processes. */
  listen?(wake: () => void): Promise<() => Promise<void>>
}

export interface OutboxRow {
  readonly channel: ChannelAddress
  readonly envelope: Envelope
}

export interface PendingRow extends OutboxRow {
  readonly sequence: bigint
  readonly partition: number
  /** Failed ones so far. */
  readonly attempts: number
}

export interface DeadRow extends PendingRow {
  readonly reason: string
  /** Milliseconds since 1970. */
  readonly at: number
}

export interface PartitionLease {
  readonly partition: number
  readonly epoch: bigint
  /** On the clock of the caller. */
  readonly until: number
  /** Beyond its share: nothing is to be begun with it any more, and it is to be released as soon as all that was sent of it is settled. */
  readonly surplus?: true | undefined
}

export type RowVerdict =
  | { readonly sequence: bigint; readonly verdict: 'published' }
  /**
   * Failed: counts as an attempt, and blocks its key until it is tried again. `counts: false` (default true): the failure says nothing of the message, because its channel is
   * away; no attempt, and its key waits all the same.
   */
  | {
      readonly sequence: bigint
      readonly verdict: 'retry'
      readonly delayMs: number
      readonly reason: string
      readonly counts?: boolean | undefined
    }
  /** Not due yet (`notBefore` on a transport without delay): no attempt, and its key goes on. */
  | { readonly sequence: bigint; readonly verdict: 'hold'; readonly delayMs: number }
  /** Never to be published as it is. `blocksKey`: later ones of the key wait until it is skipped or redriven. */
  | { readonly sequence: bigint; readonly verdict: 'dead'; readonly reason: string; readonly blocksKey: boolean }

export interface OutboxStats {
  /** Rows not yet published, blocked and held ones among them. */
  readonly backlog: number
  readonly dead: number
  /** Keys that wait for a failed or dead row. */
  readonly blockedKeys: number
  /** Age of the oldest row that is not published, milliseconds; 0 with none. */
  readonly oldestMs: number
}

// ---- inbox -----------------------------------------------------------------------------------------------------------

/** What names a message for good (CloudEvents: source and id). */
export interface MessageIdentity {
  readonly source: string
  readonly id: string
  /** The delivery that it came by: for an inbox whose entry is the broker's own. */
  readonly delivery?: Delivery | undefined
}

export interface InboxStore<Tx> {
  /** How long an entry is kept at least, milliseconds: a redelivery after that would be applied again. Default of every store: 14 days. */
  readonly retentionMs: number
  /**
   * In the handler's transaction, before its effects. `busy`: another delivery of the same message is being handled now; it answers so at once or after a bounded wait, and the
   * transaction stays usable. An answer for each, in order; a message named twice is `first` once.
   */
  claim(
    tx: Tx,
    consumer: string,
    messages: readonly MessageIdentity[],
  ): Promise<readonly ('first' | 'duplicate' | 'busy')[]>
  /** The same claim as an opening of the transaction (see `Transactional.transaction`). Absent where there is no such way. */
  claiming?(consumer: string, messages: readonly MessageIdentity[]): InboxOpening
  /** Attempts that outlive a rolled-back transaction, in their own commits, for brokers that do not count: poison = started - finished. Returns those started without an end, this one included. */
  started(consumer: string, message: MessageIdentity): Promise<number>
  finished(consumer: string, message: MessageIdentity): Promise<void>
  /** A key set aside by `onFailure: 'park-key'`: later messages of it wait behind, in every process of the consumer, for at most `forMs`. */
  park(consumer: string, key: string, forMs: number): Promise<void>
  unpark(consumer: string, key: string): Promise<void>
  /** Which of these keys are parked now. */
  parked(consumer: string, keys: readonly string[]): Promise<readonly string[]>
  /** Deletes entries older than `olderThanMs`, at most `limit`. Returns how many there were. */
  purge(olderThanMs: number, limit: number): Promise<number>
}

/** A claim that goes out with the beginning of its transaction. */
export interface InboxOpening {
  readonly statement: string
  /** What `claim` would have answered. */
  answers(opened: SqlResult): readonly ('first' | 'duplicate' | 'busy')[]
}

/** `Idempotency-Key` of the server adapter. */
export interface IdempotencyStore<Tx> {
  /** How long a response is kept at least, milliseconds. */
  readonly retentionMs: number
  /**
   * In the transaction of the operation. `running`: another request of the same key is under way; `mismatch`: the key was used with another body.
   * The transaction stays usable.
   */
  reserve(
    tx: Tx,
    scope: string,
    key: string,
    bodyHash: string,
  ): Promise<
    { readonly state: 'first' | 'running' | 'mismatch' } | { readonly state: 'stored'; readonly response: Uint8Array }
  >
  /** In the same transaction. */
  complete(tx: Tx, scope: string, key: string, response: Uint8Array): Promise<void>
  purge(olderThanMs: number, limit: number): Promise<number>
}

/** What a state is looked for by. */
export type StateKey =
  | { readonly id: string; readonly correlation?: undefined }
  | { readonly correlation: string; readonly id?: undefined }

/** A claim and a state that are read with the beginning of their transaction. */
export interface StateOpening extends InboxOpening {
  /** What `find` and `load` would have answered; of a message that is not the first, nothing. */
  found(opened: SqlResult): { readonly id: string; readonly version: number; readonly state: unknown } | undefined
}

/** Processes, stored requests. State is JSON. */
export interface StateStore<Tx> {
  load(tx: Tx, kind: string, id: string): Promise<{ readonly version: number; readonly state: unknown } | undefined>
  /** The id of the state that has this correlation and is not done. */
  find(tx: Tx, kind: string, correlation: string): Promise<string | undefined>
  /**
   * The claim of a message (see `InboxStore.claiming`) and the state that it is about, as one opening of the transaction. Absent where there is no such way.
   */
  claiming?(consumer: string, message: MessageIdentity, kind: string, key: StateKey): StateOpening
  /**
   * Compare and set; false when somebody else was first. `expected` 0 creates. Correlations replace those of before, `'kept'` leaves them as they are; `done` takes them away,
   * and `wakeAt` too.
   */
  save(
    tx: Tx,
    kind: string,
    id: string,
    expected: number,
    state: unknown,
    options?: {
      /** Milliseconds since 1970. Absent: never. */
      readonly wakeAt?: number | undefined
      readonly correlations?: readonly string[] | 'kept' | undefined
      readonly done?: boolean | undefined
    },
  ): Promise<boolean>
  /** Ids whose `wakeAt` has come, earliest first. */
  due(kind: string, now: number, limit: number): Promise<readonly string[]>
  /** By id. */
  list(
    kind: string,
    limit: number,
    after?: string,
  ): AsyncIterable<{
    readonly id: string
    readonly version: number
    readonly state: unknown
    readonly done: boolean
  }>
  /**
   * Deletes states that have been `done` for longer than `olderThanMs` by the time of the store, those that were done first at first, at most `limit`. What is saved as done once more
   * counts from the first time. Their ids are free again. What is not done is never touched. Several may purge at once. Returns how many there were.
   * @throws FairleadError `INVALID_OPTIONS`
   */
  purge(kind: string, olderThanMs: number, limit: number): Promise<number>
}

/** Positions kept by the consumer (Kinesis, feed, files, replay), and who may move them. */
export interface CheckpointStore {
  lease(consumer: string, member: string, lanes: readonly string[], forMs: number): Promise<readonly LaneLease[]>
  release(consumer: string, leases: readonly LaneLease[]): Promise<void>
  load(consumer: string, lane: string): Promise<string | undefined>
  /** False when a newer owner has written: fencing. */
  save(consumer: string, lease: LaneLease, position: string): Promise<boolean>
}

export interface LaneLease {
  readonly lane: string
  readonly epoch: bigint
  readonly until: number
}
