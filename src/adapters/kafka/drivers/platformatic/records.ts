// From batches, as the package reads them, to records: without what stands before the place that was asked for, without control records, and without
// what a transaction wrote that was aborted.
import type { KafkaRecord } from '../../driver.ts'
import type { PlatformaticBatch, PlatformaticFetched, PlatformaticNewRecord } from './types.ts'

const TRANSACTIONAL = 1 << 4
const CONTROL = 1 << 5
const LOG_APPEND_TIME = 1 << 3

/** The records from an offset on, and the offset to go on at: also past what is no record to anybody. */
export function recordsOf(
  { records: batches = [], abortedTransactions }: PlatformaticFetched,
  from: number,
): { readonly records: readonly KafkaRecord[]; readonly next: number } {
  const records: KafkaRecord[] = []
  // The list is by offset; a producer is in an aborted transaction from there to its marker.
  const aborted = [...abortedTransactions].sort((a, b) => Number(a.firstOffset - b.firstOffset))
  const undone = new Set<bigint>()
  let next = from
  for (const batch of batches) {
    const last = Number(batch.firstOffset) + batch.lastOffsetDelta
    while (aborted[0] !== undefined && aborted[0].firstOffset <= BigInt(last))
      undone.add((aborted.shift() as { producerId: bigint }).producerId)
    next = Math.max(next, last + 1)
    if ((batch.attributes & CONTROL) !== 0) {
      // A marker ends the transaction of its producer, whichever it is.
      undone.delete(batch.producerId)
      continue
    }
    if ((batch.attributes & TRANSACTIONAL) !== 0 && undone.has(batch.producerId)) continue
    read(batch, from, records)
  }
  return { records, next }
}

function read(batch: PlatformaticBatch, from: number, into: KafkaRecord[]): void {
  const first = Number(batch.firstOffset)
  const appended = (batch.attributes & LOG_APPEND_TIME) !== 0
  for (const { offsetDelta, timestampDelta, key, value, headers } of batch.records) {
    const offset = first + offsetDelta
    if (offset < from) continue
    const timestamp = Number(appended ? batch.maxTimestamp : batch.firstTimestamp + timestampDelta)
    into.push({ offset, key, value, headers: headersOf(headers), timestamp })
  }
}

function headersOf(pairs: readonly (readonly [Buffer | null, Buffer | null])[]): Record<string, string> {
  const headers: Record<string, string> = Object.create(null)
  for (const [name, value] of pairs)
    if (name !== null) headers[name.toString()] = value === null ? '' : value.toString()
  return headers
}

/** A record as the package writes it. */
export function recordFor(
  topic: string,
  partition: number,
  key: Uint8Array | null,
  value: Uint8Array | null,
  headers: Readonly<Record<string, string>>,
): PlatformaticNewRecord {
  const pairs = new Map<Buffer, Buffer>()
  for (const [name, text] of Object.entries(headers)) pairs.set(Buffer.from(name), Buffer.from(text))
  // It writes null as null, though its types do not say so.
  return { topic, partition, key: bufferOf(key), value: bufferOf(value), headers: pairs }
}

const bufferOf = (bytes: Uint8Array | null): Buffer =>
  bytes === null ? (null as unknown as Buffer) : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
