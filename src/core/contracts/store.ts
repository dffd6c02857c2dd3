// What outbox, inbox, processes and checkpoints ask of a database.
import type { ChannelAddress, Envelope } from '../message.ts'

export interface Transactional<Tx> {
  transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T>
  /** Where types cannot tell a pool from a transaction, this does. */
  isTransaction(candidate: unknown): candidate is Tx
  /** In-process wake-up of relay and timers. */
  onCommitted(listener: () => void): () => void
}

export interface SqlResult {
  readonly rows: readonly Record<string, unknown>[]
  readonly affected: number
}

/** How a driver or ORM runs SQL in *its own* transaction type; a preset per driver. Statements are written per dialect, placeholders by the preset. */
export interface SqlDriver<Tx> {
  readonly dialect: 'postgres' | 'mysql' | 'sqlite'
  transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T>
  isTransaction(candidate: unknown): candidate is Tx
  query(tx: Tx, text: string, params: readonly unknown[]): Promise<SqlResult>
  /** One statement, its own commit. On a single connection (SQLite) it waits its turn. */
  execute(text: string, params: readonly unknown[]): Promise<SqlResult>
  listen?(channel: string, wake: () => void): Promise<() => Promise<void>>
}

export interface OutboxStore<Tx> extends Transactional<Tx> {
  append(tx: Tx, rows: readonly OutboxRow[]): Promise<void>
  lease(relay: string, partitions: number, forMs: number): Promise<readonly PartitionLease[]>
  release(leases: readonly PartitionLease[]): Promise<void>
  /** Unpublished rows of one partition in sequence order, those of blocked keys left out; `after` lets the next batch be read while one is out. */
  pending(lease: PartitionLease, limit: number, after?: bigint): Promise<readonly PendingRow[]>
  /** How many were settled; rows whose partition has a newer epoch are not. */
  settle(lease: PartitionLease, verdicts: readonly RowVerdict[]): Promise<number>
  stats(): Promise<OutboxStats>
  dead(limit: number): AsyncIterable<PendingRow & { readonly reason: string }>
  skip(ids: readonly string[]): Promise<number>
  redrive(ids: readonly string[] | 'dead'): Promise<number>
  purge(olderThanMs: number, limit: number): Promise<number>
}

export interface OutboxRow {
  readonly channel: ChannelAddress
  readonly envelope: Envelope
}
export interface PendingRow extends OutboxRow {
  readonly sequence: bigint
  readonly attempts: number
}
export interface PartitionLease {
  readonly partition: number
  readonly epoch: bigint
  readonly until: number
}
export type RowVerdict =
  | { readonly sequence: bigint; readonly verdict: 'published' }
  | { readonly sequence: bigint; readonly verdict: 'retry'; readonly notBefore: number; readonly reason: string }
  | { readonly sequence: bigint; readonly verdict: 'dead'; readonly reason: string }
export interface OutboxStats {
  readonly backlog: number
  readonly dead: number
  readonly oldestMs: number
}

export interface InboxStore<Tx> extends Transactional<Tx> {
  /** In the handler's transaction. `busy`: another delivery of the same message is being handled now. */
  claim(tx: Tx, consumer: string, source: string, id: string): Promise<'first' | 'duplicate' | 'busy'>
  /** Attempts that outlive a rolled-back transaction, in their own commits, for brokers that do not count: poison = started - finished. */
  started(consumer: string, source: string, id: string): Promise<number>
  finished(consumer: string, source: string, id: string): Promise<void>
  /** A key set aside by `onFailure: 'park-key'`: later messages of it wait behind. */
  park(consumer: string, key: string, until: number): Promise<void>
  unpark(consumer: string, key: string): Promise<void>
  parked(consumer: string, keys: readonly string[]): Promise<readonly string[]>
  purge(olderThanMs: number, limit: number): Promise<number>
}

/** `Idempotency-Key` of the server adapter. */
export interface IdempotencyStore<Tx> extends Transactional<Tx> {
  reserve(
    tx: Tx,
    scope: string,
    key: string,
    bodyHash: string,
  ): Promise<
    { readonly state: 'first' | 'running' | 'mismatch' } | { readonly state: 'stored'; readonly response: Uint8Array }
  >
  complete(tx: Tx, scope: string, key: string, response: Uint8Array): Promise<void>
}

/** Processes, stored requests. */
export interface StateStore<Tx> extends Transactional<Tx> {
  load(tx: Tx, kind: string, id: string): Promise<{ readonly version: number; readonly state: unknown } | undefined>
  find(tx: Tx, kind: string, correlation: string): Promise<string | undefined>
  /** Compare and set; false when somebody else was first. `expected` 0 creates. */
  save(
    tx: Tx,
    kind: string,
    id: string,
    expected: number,
    state: unknown,
    options?: { readonly wakeAt?: number; readonly correlations?: readonly string[]; readonly done?: boolean },
  ): Promise<boolean>
  due(kind: string, now: number, limit: number): Promise<readonly string[]>
  list(
    kind: string,
    limit: number,
    after?: string,
  ): AsyncIterable<{ readonly id: string; readonly version: number; readonly state: unknown }>
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
