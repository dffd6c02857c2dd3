// What a replica asks of the table that it keeps: entries by key, each with the version that it is of; and a second table beside it while it is built anew.
import { createError } from '../../errors/classes.ts'

/** The key of an entry. */
export type ReplicaKey = string | number | bigint

/** Which state of an entry is newer: a whole number that the owner raises with each change of it. Text: its decimal digits. */
export type ReplicaVersion = number | bigint | string

/** An entry as it is written. Without a value it is a tombstone: gone, or not kept. */
export interface ReplicaEntry<Value = unknown> {
  readonly key: ReplicaKey
  readonly version: bigint
  readonly value: Value | undefined
}

/** An entry as it is read. */
export interface FoundEntry<Value = unknown> {
  readonly version: bigint
  /** Absent for a tombstone. */
  readonly value?: Value | undefined
}

/** Which table is meant: the one that is read, or the one of a generation beside it. */
export interface ReplicaPlace {
  readonly generation: number
  readonly beside: boolean
}

/**
 * The table of a replica. `write` is guarded: of an entry and what is there the one with the higher version stays, and what is there where they are equal.
 * `sqlReplicaTable` and `memoryReplicaTable` make one.
 */
export interface ReplicaTable<Tx, Value = unknown> {
  readonly name: string
  /** So many entries may be written without a transaction, in one statement; 0: there has to be one. */
  readonly alone: number
  /** @throws FairleadError `INCOMPATIBLE` naming what is missing, and what about it would merge entries */
  check(): Promise<void>
  /** Whether nothing is in it. */
  isEmpty(): Promise<boolean>
  /** `at`: milliseconds since 1970, noted on tombstones. Returns how many of them were newer than what was there. No key comes twice. */
  write(tx: Tx | undefined, place: ReplicaPlace, entries: readonly ReplicaEntry<Value>[], at: number): Promise<number>
  /** From the table that is read. */
  read(tx: Tx | undefined, key: ReplicaKey): Promise<FoundEntry<Value> | undefined>
  /** Makes the table of a generation beside the one that is read, of the same shape, unless it is there. Whether nothing is in it. */
  beside(generation: number): Promise<boolean>
  /** Whether the table of a generation stands beside the one that is read: not made yet, in its place, or dropped it does not. */
  isBeside(generation: number): Promise<boolean>
  /** Drops the table of a generation that stands beside the one that is read, if it does. */
  discard(generation: number): Promise<void>
  /** Copies tombstones from the table that is read to the one of a generation, guarded: an older change may still be on its way. */
  carry(generation: number): Promise<void>
  /**
   * Puts the table of a generation in the place of the one that is read, at once: who reads sees the one or the other. Does nothing when it has been done, and is
   * safe to be called by several at once. What was read before is dropped.
   */
  swap(generation: number): Promise<void>
  /** Deletes tombstones that were noted before an instant (milliseconds since 1970), at most `limit`. Returns how many there were. */
  purge(before: number, limit: number): Promise<number>
}

/** @throws FairleadError `MESSAGE_INVALID` for what is no version: without one nobody can say which of two changes is the newer */
export function versionOf(version: unknown, key: unknown): bigint {
  if (typeof version === 'bigint' && version >= 0n && version <= MOST) return version
  if (typeof version === 'number' && Number.isSafeInteger(version) && version >= 0) return BigInt(version)
  if (typeof version === 'string' && /^\d{1,19}$/.test(version) && BigInt(version) <= MOST) return BigInt(version)
  throw createError({
    code: 'MESSAGE_INVALID',
    message: `the version of ${String(key)} is ${String(version)}: it has to be a whole number from 0 to 2^63 - 1 that grows with each change of the entry`,
    details: { issues: [{ path: ['version'], message: 'no version' }] },
  })
}

/** @throws FairleadError `MESSAGE_INVALID` for what is no key */
export function keyOf(key: unknown): ReplicaKey {
  if (typeof key === 'bigint' || (typeof key === 'number' && Number.isSafeInteger(key))) return key
  if (typeof key === 'string' && key !== '') return key
  throw createError({
    code: 'MESSAGE_INVALID',
    message: `a key is ${String(key)}: give a text or a whole number`,
    details: { issues: [{ path: ['key'], message: 'no key' }] },
  })
}

/** Of entries of one key only the newest, so that one statement may take them all. */
export function newestOf<Value>(entries: readonly ReplicaEntry<Value>[]): readonly ReplicaEntry<Value>[] {
  if (entries.length < 2) return entries
  const newest = new Map<string, ReplicaEntry<Value>>()
  for (const entry of entries) {
    const name = String(entry.key)
    const before = newest.get(name)
    if (before === undefined || entry.version > before.version) newest.set(name, entry)
  }
  return [...newest.values()]
}

// What a bigint column of every database holds.
const MOST = 2n ** 63n - 1n
