// The rows of an outbox in memory: in the order of their sequence per partition, with the keys that wait for one of them.
import type { OutboxRow, PendingRow } from '../../../core/contracts/store.ts'

/** How many partitions an outbox has. */
export const PARTITIONS = 64

/** A row on its way. */
export interface Row extends OutboxRow {
  readonly sequence: bigint
  readonly partition: number
  /** Channel and key; undefined without a key. */
  readonly order: string | undefined
  /** When it was committed, on the clock of the store. */
  readonly at: number
  attempts: number
  /** Not before, on the clock of the store. */
  until: number
  /** No longer in the outbox: published, skipped or dead. */
  gone: boolean
}

/** A row that was given up. */
export interface Dead {
  readonly row: Row
  readonly reason: string
  /** On the clock of the store. */
  readonly since: number
  /** Milliseconds since 1970. */
  readonly at: number
  readonly blocksKey: boolean
}

/** Which partition a row belongs to: by its key, else by its id (FNV-1a). */
export function partitionOf({ envelope: { key, id } }: OutboxRow): number {
  const text = key ?? id
  let hash = 0x811c9dc5
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
  // The low bits alone are weak.
  return ((hash ^ (hash >>> 15)) >>> 0) % PARTITIONS
}

/** Two rows are of one order when channel and key are the same. */
export function orderOf({ channel, envelope: { key } }: OutboxRow): string | undefined {
  return key === undefined ? undefined : JSON.stringify([channel.kind, channel.name, key])
}

/** What relays see of a row. */
export function pendingRow({ channel, envelope, sequence, partition, attempts }: Row): PendingRow {
  return { channel, envelope, sequence, partition, attempts }
}

/** Rows of all partitions. */
export class Rows {
  /** Made with their first row: simulations make databases by the thousand. */
  private readonly partitions: (Partition | undefined)[] = new Array(PARTITIONS).fill(undefined)
  private readonly bySequence = new Map<bigint, Row>()

  get size(): number {
    return this.bySequence.size
  }

  find(sequence: bigint): Row | undefined {
    return this.bySequence.get(sequence)
  }

  /** Puts it at the place of its sequence. */
  add(row: Row): void {
    row.gone = false
    this.bySequence.set(row.sequence, row)
    const partition = (this.partitions[row.partition] ??= { rows: [], gone: 0 })
    const { rows } = partition
    const last = rows.at(-1)
    if (last === undefined || last.sequence < row.sequence) {
      rows.push(row)
      return
    }
    const at = firstAfter(rows, row.sequence - 1n)
    // It may be there still, as gone.
    if (rows[at] === row) partition.gone--
    else rows.splice(at, 0, row)
  }

  remove(row: Row): void {
    if (!this.bySequence.delete(row.sequence)) return
    row.gone = true
    const partition = this.partitions[row.partition] as Partition
    // Taken away when none is left, or many at a time: one by one each would move all that come after it.
    const { length } = partition.rows
    if (++partition.gone < length && (partition.gone < 64 || partition.gone * 2 < length)) return
    partition.rows = partition.rows.filter(({ gone }) => !gone)
    partition.gone = 0
  }

  /** Those of some partitions by sequence. */
  *of(partitions: Iterable<number>): IterableIterator<Row> {
    const ways: Way[] = []
    for (const partition of new Set(partitions)) {
      const rows = this.partitions[partition]?.rows
      if (rows !== undefined && rows.length > 0) ways.push({ rows, at: 0 })
    }
    while (ways.length > 0) {
      let first = 0
      for (let at = 1; at < ways.length; at++) if (headOf(ways[at]).sequence < headOf(ways[first]).sequence) first = at
      const way = ways[first] as Way
      const row = headOf(way)
      if (++way.at === way.rows.length) ways.splice(first, 1)
      if (!row.gone) yield row
    }
  }

  /** Every one, in no order. */
  all(): IterableIterator<Row> {
    return this.bySequence.values()
  }

  /** When the first of each partition was committed: rows of one are in the order of commit. */
  *oldest(): IterableIterator<number> {
    for (const partition of this.partitions) {
      const first = partition?.rows.find(({ gone }) => !gone)
      if (first !== undefined) yield first.at
    }
  }
}

interface Partition {
  rows: Row[]
  /** How many of them are. */
  gone: number
}

interface Way {
  readonly rows: readonly Row[]
  at: number
}

function headOf(way: Way | undefined): Row {
  return way?.rows[way.at] as Row
}

// Index of the first one of a higher sequence.
function firstAfter(rows: readonly Row[], sequence: bigint): number {
  let from = 0
  let to = rows.length
  while (from < to) {
    const middle = (from + to) >> 1
    if ((rows[middle] as Row).sequence > sequence) to = middle
    else from = middle + 1
  }
  return from
}

/** Keys that wait for one of their rows: behind a failed one until its time, behind a dead one until somebody decides. */
export class Blocks {
  private readonly failed = new Map<string, Set<Row>>()
  private readonly dead = new Map<string, Set<Row>>()

  /** Later ones of its key wait until `row.until`. */
  fail(row: Row): void {
    if (row.order !== undefined) put(this.failed, row.order, row)
  }

  /** Later ones of its key wait. */
  die(row: Row): void {
    if (row.order !== undefined) put(this.dead, row.order, row)
  }

  /** Nobody waits for it any more. */
  clear(row: Row): void {
    if (row.order === undefined) return
    take(this.failed, row.order, row)
    take(this.dead, row.order, row)
  }

  /** Whether an earlier one of its key keeps it from being published. */
  blocks(row: Row, now: number): boolean {
    if (row.order === undefined) return false
    for (const each of this.dead.get(row.order) ?? []) if (each.sequence < row.sequence) return true
    for (const each of this.failed.get(row.order) ?? [])
      if (each.until > now && each.sequence < row.sequence) return true
    return false
  }

  /** How many keys wait. */
  count(now: number): number {
    const keys = new Set(this.dead.keys())
    for (const [key, rows] of this.failed) for (const { until } of rows) if (until > now) keys.add(key)
    return keys.size
  }
}

function put(sets: Map<string, Set<Row>>, key: string, row: Row): void {
  const rows = sets.get(key)
  if (rows === undefined) sets.set(key, new Set([row]))
  else rows.add(row)
}

function take(sets: Map<string, Set<Row>>, key: string, row: Row): void {
  const rows = sets.get(key)
  if (rows?.delete(row) === true && rows.size === 0) sets.delete(key)
}
