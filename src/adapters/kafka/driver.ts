// The seam between the transport and a Kafka client: what the transport asks of one, and nothing more. A client that is no preset is joined here.
//
// Errors: every method rejects with what `classifyKafka` of ./classify-kafka.ts makes of the client's error, so with a FairleadError.
// Offsets are numbers: a partition of 2^53 records is not to be had.
import type { FairleadError } from '../../errors/index.ts'

/** One partition of one topic. */
export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

/** A place in a partition: `offset` is that of the record that comes next. */
export interface PartitionOffset extends TopicPartition {
  readonly offset: number
}

/** A place of a group in a partition, as the broker keeps it. */
export interface Committed {
  readonly offset: number
  /** A short text beside the offset (in Kafka's words its metadata; at most 4,096 bytes): here, which of the records after it are done as well. */
  readonly note: string
}

/** What a member commits. */
export interface PartitionCommit extends PartitionOffset, Committed {}

/** A record as it was read. */
export interface KafkaRecord {
  readonly offset: number
  readonly key: Uint8Array | null
  /** Null: a tombstone. */
  readonly value: Uint8Array | null
  /** As UTF-8; of a name that is there twice the last. Without a prototype. */
  readonly headers: Readonly<Record<string, string>>
  /** Milliseconds since 1970. */
  readonly timestamp: number
}

/** A record to be written. */
export interface NewRecord extends TopicPartition {
  readonly key: Uint8Array | null
  /** Null: a tombstone. */
  readonly value: Uint8Array | null
  readonly headers: Readonly<Record<string, string>>
}

/** How a topic is made. */
export interface NewTopic {
  readonly topic: string
  readonly partitions: number
  /** -1: the broker's default. */
  readonly replicationFactor: number
  /** As `cleanup.policy`. */
  readonly config: Readonly<Record<string, string>>
}

/** Writes with acks=all and an idempotent producer, in the order of `records` within a partition. */
export interface KafkaProducer {
  /**
   * One answer per record, in order: undefined once it is written on all replicas in sync, or why not; the effect of the error (`none`, `unknown`) says whether
   * it may be there all the same. Where the client knows only that the call failed, all get that error. The transport calls it once at a time.
   * After an answer for which `isFatalForProducer` holds it is closed, and another is asked for.
   */
  produce(records: readonly NewRecord[]): Promise<readonly (FairleadError | undefined)[]>
  /** Ends within a few seconds, also while the broker is away. Never rejects. */
  close(): Promise<void>
}

/** Writes transactions, one after another, under a name that only one can have. */
export interface KafkaTransactor {
  /**
   * Writes the records (in their order within a partition) and the offsets of a group, all of it or nothing. The offsets are taken whatever the generation of the
   * group: who may commit is decided by the name. Called once at a time; where it rejects, nobody knows what became of it until another has taken the name, and
   * this one is closed.
   */
  transact(records: readonly NewRecord[], group: string, offsets: readonly PartitionCommit[]): Promise<void>
  /** Ends within a few seconds, also while the broker is away. Never rejects. */
  close(): Promise<void>
}

/**
 * What a member of a group is told. None of them throws. No call is made from within a method of the membership, but `onRebalancing` and `onAssigned` may
 * come before `join` has resolved, and the transport calls `commit` from within `onRebalancing`, `seek` and `resume` after `onAssigned`.
 */
export interface MemberEvents {
  /**
   * A rebalance has begun: called just before each JoinGroup. From here to the next `onAssigned` nothing is handed out, and commits are still taken. Answers the
   * partitions of which something is held: a driver that takes part in the assignment lets their member keep them for now (and gives up its surplus by
   * `onRevoking` and another rebalance); others are lost to whoever the client's assignor names.
   */
  onRebalancing(): readonly TopicPartition[]
  /**
   * All that is assigned from now on, not only what is new. Each that is not in `kept` is paused, and waits for `seek` and `resume`. `kept`: it was assigned before,
   * and nobody else can have had it in between, so that what is held of it stays held, and fetching goes on where it was (paused or not). Those assigned before
   * and not in `kept` were told to `onLost` before this call, also if they are assigned again.
   */
  onAssigned(assigned: readonly TopicPartition[], kept: readonly TopicPartition[]): void
  /** These are to be given up, and still ours: resolves once what is held of them is settled and committed, or the patience of the transport is over. */
  onRevoking(partitions: readonly TopicPartition[]): Promise<void>
  /** They are somebody else's, or will be. */
  onLost(partitions: readonly TopicPartition[]): void
  /** In the order of offsets, without gaps but those of the log. */
  onRecords(from: TopicPartition, records: readonly KafkaRecord[]): void
  /** The membership ended on its own and the client does not come back by itself. All partitions were told to `onLost`. Not after `close`. */
  onEnded(error: FairleadError): void
}

/** Flow control, the same for members and readers. */
export interface PartitionFlow {
  /** No more is fetched. Records that are on their way may still come. */
  pause(partitions: readonly TopicPartition[]): void
  resume(partitions: readonly TopicPartition[]): void
  /** What comes next. Records fetched from the old place must not come after it. */
  seek(to: PartitionOffset): void
}

/** One member of a group. */
export interface KafkaMember extends PartitionFlow {
  /**
   * Resolves once the broker has them, and only then. A client that cannot say a `note` leaves it out. Called once at a time.
   * @throws FairleadError `LEASE_LOST` where the partitions are not this member's (any more); others are worth another try
   */
  commit(offsets: readonly PartitionCommit[]): Promise<void>
  /** Leaves the group, so that others take over at once. Ends within a few seconds, also while the broker is away. Never rejects. */
  close(): Promise<void>
}

/** Reads partitions without a group. */
export interface KafkaReader extends PartitionFlow {
  close(): Promise<void>
}

/** What a reader is told. */
export interface ReaderEvents {
  onRecords(from: TopicPartition, records: readonly KafkaRecord[]): void
  /** It ended on its own. Not after `close`. */
  onEnded(error: FairleadError): void
}

/** One cluster by way of one client. Made for one transport, which closes it. */
export interface KafkaDriver {
  readonly name: string
  /** How long `join` may take; it has ended by then. More than a rebalance, which waits for members that are at work. Default 60,000. */
  readonly joinWithinMs?: number | undefined
  /** How many partitions a topic has; undefined when it is not there. Must not make it. */
  partitions(topic: string): Promise<number | undefined>
  /** Makes topics. One that is there already is left as it is. Resolves once they can be written to. */
  createTopics(topics: readonly NewTopic[]): Promise<void>
  /** Deletes them; one that is not there is no error. */
  deleteTopics(topics: readonly string[]): Promise<void>
  /** Offsets by partition: of the first record that is still there, of the next that will be written, of the first at or after a time (where there is none: latest). */
  offsets(topic: string, at: 'earliest' | 'latest' | { readonly time: number }): Promise<readonly number[]>
  /**
   * What the group has committed, by partition; undefined where nothing. `settled`: not while a transaction has written offsets and has not ended (`UNAVAILABLE`), where
   * the client can ask so.
   */
  committed(group: string, topic: string, settled?: boolean | undefined): Promise<readonly (Committed | undefined)[]>
  /** Commits for a group that has no members (all partitions of one topic). @throws FairleadError where it has some */
  setCommitted(group: string, offsets: readonly PartitionOffset[]): Promise<void>
  /** In which topics the group has a place. Absent: the client cannot say, and no group is deleted. */
  topicsOf?(group: string): Promise<readonly string[]>
  /**
   * Deletes a group with all its places; one that is not there is no error. Absent: the client cannot.
   * @throws FairleadError `CONFLICT` (in the broker's words `NON_EMPTY_GROUP`) where it has members
   */
  deleteGroup?(group: string): Promise<void>
  /** What holds for a topic, of these settings: what was said of it, or else of all. Absent: the client cannot say. */
  config?(topic: string, names: readonly string[]): Promise<Readonly<Record<string, string>>>
  /** Connects a producer. */
  producer(): Promise<KafkaProducer>
  /**
   * Takes a name for transactions: whoever had it before cannot commit any more, and what it had begun is over once this resolves. A transaction that takes longer
   * than `timeoutMs` is undone by the broker. Absent: the client has no transactions.
   */
  transactor?(name: string, timeoutMs: number): Promise<KafkaTransactor>
  /** Joins. Resolves once the first `onAssigned` was called (with no partitions, where others have them all). The topics are there. */
  join(group: string, topics: readonly string[], events: MemberEvents): Promise<KafkaMember>
  /** Reads from these places on, nothing paused. Resolves once that is so: where reading begins does not depend on what is written later. */
  read(from: readonly PartitionOffset[], events: ReaderEvents): Promise<KafkaReader>
  /** Closes the connections that it made itself (not producers, members and readers: they were closed before). Never rejects. */
  close(): Promise<void>
}
