// What users give to a replica, and get from it.
import type { StateStore, Transactional } from '../../core/contracts/store.ts'
import type { MessageTransport } from '../../core/contracts/transport.ts'
import type { Describable } from '../../core/describe.ts'
import type { Closable } from '../../core/lifecycle.ts'
import type { FairleadError } from '../../errors/base.ts'
import type { ConsumerCommonOptions, HandlerContext } from '../consumer/types.ts'
import type { InnerConsumerOptions } from '../inner-consumer.ts'
import type { Channel, MessageOf, MessageTypes } from '../types.ts'
import type { ReplicaKey, ReplicaTable, ReplicaVersion } from './table.ts'

/** What a replica needs of a store: transactions, and the part that keeps states. It is of the database that the table is in. */
export interface ReplicaStore<Tx> extends Transactional<Tx> {
  readonly states: StateStore<Tx>
}

/** A change of one entry, as a message tells it. */
export type ReplicaChange<Value> =
  | {
      readonly key: ReplicaKey
      readonly version: ReplicaVersion
      readonly value: Value
      readonly gone?: false | undefined
    }
  | { readonly key: ReplicaKey; readonly version: ReplicaVersion; readonly gone: true }

/** What a message means: a change, several, or none (a heartbeat: it only shows that messages arrive). */
export type ReplicaChanges<Value> = ReplicaChange<Value> | readonly ReplicaChange<Value>[] | undefined

/** For each type of message that matters, what it changes. May be asynchronous: a message that carries only an id has the rest fetched. */
export type ReplicaHandlers<Types extends MessageTypes, Value> = {
  readonly [K in keyof Types & string]?: (
    message: MessageOf<Types, K>,
    context: HandlerContext,
  ) => ReplicaChanges<Value> | Promise<ReplicaChanges<Value>>
}

/** An entry of a snapshot. */
export interface SnapshotEntry<Value> {
  readonly key: ReplicaKey
  readonly version: ReplicaVersion
  readonly value: Value
}

/**
 * Where messages stood when a snapshot was begun: all that was changed later is told by messages behind it. Milliseconds since 1970 on the clock of the broker, or
 * positions by lane.
 */
export type SnapshotPosition = { readonly time: number } | { readonly positions: Readonly<Record<string, string>> }

/** Some entries of a snapshot. */
export interface SnapshotPage<Value> {
  readonly entries: readonly SnapshotEntry<Value>[]
  /**
   * On the first page: read BEFORE the first entry was. Absent: the snapshot is of now, each entry is read after `snapshot` was called. It is heeded on transports with replay;
   * elsewhere the snapshot has to be of now.
   */
  readonly position?: SnapshotPosition | undefined
  /** From where a snapshot goes on behind this page, if it is interrupted. Absent: it begins anew. */
  readonly cursor?: string | undefined
}

/** How a snapshot is asked for. */
export interface SnapshotRequest {
  /** Go on behind this cursor. Absent: from the beginning. */
  readonly after: string | undefined
  /** Aborted when the replica is closed, or a page took too long. */
  readonly signal: AbortSignal
}

/** Pages of all entries that there are. */
export type Snapshot<Value> = (request: SnapshotRequest) => AsyncIterable<SnapshotPage<Value>>

/** Options of a replica. Those of consumers hold for its consumer. */
export interface ReplicaOptions<Types extends MessageTypes, Tx, Value>
  extends Omit<InnerConsumerOptions<Tx>, 'redriveWithinMs' | 'purgeEveryMs'>,
    Pick<ConsumerCommonOptions<MessageTypes>, 'unknownType' | 'unhandledType' | 'expired'> {
  /** Names it in the store and in events. Every process of the service has the same, and it must never change. */
  readonly name: string
  readonly store: ReplicaStore<Tx>
  readonly table: ReplicaTable<Tx, Value>
  /** Where changes come in. It is not closed with the replica. */
  readonly transport: MessageTransport
  /** A topic. */
  readonly channel: Channel<Types>
  /** Under which it listens. Each rebuild has a new one: the same with `.g2`, `.g3`, ... Default `replica.` and the name. */
  readonly group?: string | undefined
  /**
   * Which way of filling the table this code has: raise it with each change of `changes`, `keep` or columns that gives entries other values. Of two the higher one is newer; runs of
   * digits in a text count as numbers, and none is older than any. Code with a newer one builds the copy anew beside that of the old code, which goes on with its own until they
   * change places; neither reads or writes what the other one has filled. Default none.
   */
  readonly revision?: string | number | undefined
  readonly changes: ReplicaHandlers<NoInfer<Types>, NoInfer<Value>>
  readonly snapshot: Snapshot<NoInfer<Value>>
  /** Which entries are kept. Reads of others are misses. Default: all. */
  readonly keep?: ((value: NoInfer<Value>, key: ReplicaKey) => boolean) | undefined
  /**
   * For how long tombstones stay, milliseconds: an older change that arrives later than that would bring an entry back. No less than the longest way of a message, with all its retries
   * and until it is redriven. Default 14 days.
   */
  readonly tombstonesMs?: number | undefined
  /** About how often old tombstones are deleted, milliseconds. `false`: not by this process. Default 10 minutes. */
  readonly purgeEveryMs?: number | false | undefined
  /** How often the store is asked how the replica stands (other processes may have loaded or rebuilt it), milliseconds. Default 5,000. */
  readonly lookEveryMs?: number | undefined
  /** How often the broker is asked what waits, milliseconds, so that the age is known; a read that wants it fresher has it asked at once. Default 5,000. */
  readonly probeEveryMs?: number | undefined
  /** Longest time for one page of the snapshot, milliseconds. A process that writes none for twice as long has its load taken over. Default 30,000. */
  readonly pageTimeoutMs?: number | undefined
  /**
   * Gives a group up at the broker that nobody listens under any more: fairlead cannot, brokers differ. Called until it resolves, each time for no longer than `pageTimeoutMs`, and not
   * before the other processes have had time to find out: three times `lookEveryMs`. Default: only the event `replica-group-over`.
   */
  readonly giveUp?: ((group: string) => Promise<void>) | undefined
}

/** What a read was answered with. */
export interface Reading<Value> {
  /** Undefined: there is no such entry. */
  readonly value: Value | undefined
  readonly from: 'copy' | 'call'
  /** Of an entry of the copy. */
  readonly version?: bigint | undefined
  /** How old the copy was at most, as far as can be known, milliseconds; 0 for a call. */
  readonly ageMs: number
}

/** How to read. */
export interface ReadOptions<Tx, Value> {
  /** How old the copy may be, milliseconds. Default: as old as it is. */
  readonly maxAgeMs?: number | undefined
  /** Asked where the copy cannot answer: it is not loaded, too old, or keeps only a part and not this one. A call through a proxy. */
  readonly otherwise?: ((key: ReplicaKey) => Promise<Value | undefined>) | undefined
  /** Reads in this transaction. Inside of one of the same store it has to be given: a single connection (SQLite) would wait for itself. */
  readonly tx?: Tx | undefined
}

/** How old a copy is. Instants are milliseconds since 1970. */
export interface Staleness {
  /**
   * `empty`: nothing is known yet. `loading`: not complete yet, or that of older code still. `rebuilding`: the old one answers. `superseded`: code with a newer `revision` has
   * put its own in the place of this one. `stopped`: no messages come in here.
   */
  readonly state: 'empty' | 'loading' | 'live' | 'rebuilding' | 'superseded' | 'stopped'
  readonly generation: number
  /** Messages that wait at the broker; undefined where it cannot say, or did not in time. */
  readonly waiting: number | undefined
  /** When the youngest message that was handled here was published. */
  readonly lastEventAt: number | undefined
  readonly lastAppliedAt: number | undefined
  /**
   * All that the broker took for this replica longer ago than this is in the copy, but for dead letters and what another process holds just now. As of the last answer of the broker,
   * or on a transport that cannot say of the youngest message handled, and growing since; Infinity where nothing is known.
   */
  readonly behindMs: number
  /** Changes that were written here. */
  readonly applied: number
  /** Changes that were no newer than what was there. */
  readonly skipped: number
  /** Of the load or rebuild under way: entries so far. */
  readonly loaded: number | undefined
  /** What went wrong last and has not gone well since. */
  readonly lastError: FairleadError | undefined
}

/** How long to wait. */
export interface ReplicaWait {
  /** Milliseconds. Default: as long as it takes. */
  readonly withinMs?: number | undefined
}

/** A local copy that follows the messages of its owner. */
export interface Replica<Tx, Value> extends Closable, Describable {
  readonly name: string
  /**
   * Begins to follow; where there is no copy yet, one process of all loads it, which takes as long as it takes (`ready`). Resolves once this process takes part.
   * @throws FairleadError `INCOMPATIBLE` for a table that lacks something; what store and transport say; `SHUTDOWN` after `close`
   */
  start(): Promise<void>
  /**
   * Starts it where nobody has, and resolves once the copy is complete.
   * @throws FairleadError `DEADLINE_EXCEEDED` with what went wrong last; `INCOMPATIBLE` where code with a newer `revision` has put its own in the place of this one; as `start`; `SHUTDOWN`
   */
  ready(wait?: ReplicaWait): Promise<void>
  /**
   * Reads an entry by its key.
   * @throws FairleadError `UNAVAILABLE` (effect none) where the copy is not loaded, too old, or that of code with a newer `revision`, `NOT_FOUND` where it keeps a part and not this entry, each with `details.why`, and there
   * is no `otherwise`; what `otherwise` rejects with; what the database says
   */
  read(key: ReplicaKey, options?: ReadOptions<Tx, Value>): Promise<Reading<Value>>
  staleness(): Promise<Staleness>
  /**
   * Builds it anew from a new snapshot, in a table beside the old one that answers meanwhile, and puts that in its place. Resolves when it is there. One that is under way
   * is joined.
   * @throws FairleadError `DEADLINE_EXCEEDED` (it goes on); `INCOMPATIBLE` where code with a newer `revision` builds its own; `SHUTDOWN`
   */
  rebuild(wait?: ReplicaWait): Promise<void>
  /** Takes nothing more. The copy stays as it is. Resolves within `withinMs` (default 30,000) and a moment, whatever store, broker and snapshot do. */
  close(options?: { readonly withinMs?: number | undefined }): Promise<void>
}
