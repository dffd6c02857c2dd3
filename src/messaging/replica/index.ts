// Replicas: a local copy of what another service owns, fed by its messages, in the user's own table.
export {
  type MemoryReplicaTable,
  type MemoryReplicaTableOptions,
  memoryReplicaTable,
  type NamedValues,
  type NamedValuesStore,
} from './memory-table.ts'
export { replica } from './replica.ts'
export {
  type PageRequest,
  type ServedKey,
  type ServedPage,
  type ServedSnapshot,
  type ServeSnapshotOptions,
  type SnapshotRead,
  serveSnapshot,
  snapshotFrom,
} from './serve-snapshot.ts'
export type { ColumnKind, ColumnSpec, ValueOfColumns } from './sql-columns.ts'
export { type SqlReplicaTableOptions, sqlReplicaTable } from './sql-table.ts'
export type { FoundEntry, ReplicaEntry, ReplicaKey, ReplicaPlace, ReplicaTable, ReplicaVersion } from './table.ts'
export type {
  Reading,
  ReadOptions,
  Replica,
  ReplicaChange,
  ReplicaChanges,
  ReplicaHandlers,
  ReplicaOptions,
  ReplicaStore,
  ReplicaWait,
  Snapshot,
  SnapshotEntry,
  SnapshotPage,
  SnapshotPosition,
  SnapshotRequest,
  Staleness,
} from './types.ts'
