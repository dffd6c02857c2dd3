// Rows of the outbox as parameters, and back.
import type { Closing, DeadRow, OutboxRow, PendingRow } from '../../../core/contracts/store.ts'
import type { ChannelAddress } from '../../../core/message.ts'
import { packHead, unpackEnvelope } from '../../../core/packed-envelope.ts'
import { bigintOf, bytesLiteral, bytesOf, hexOf, numberOf, quoted, storable, textsLiteral } from './values.ts'

/** A batch as `outbox_append` takes it. */
export type AppendParams = readonly [
  channels: readonly string[],
  ids: readonly string[],
  keys: readonly string[],
  heads: readonly string[],
  ends: readonly string[],
  bodies: Uint8Array,
]

/** One row as `outbox_append_one` takes it. @throws FairleadError `INVALID_INPUT` for what PostgreSQL cannot hold */
export function appendOneParams({ channel, envelope }: OutboxRow): readonly unknown[] {
  const { id, key, body } = envelope
  return [
    storable('the channel', `${channel.kind}:${channel.name}`),
    storable('the id', id),
    key === undefined ? null : storable('the key', key),
    packHead(envelope),
    body,
  ]
}

// As text it is twice as long: beyond this, a round trip is cheaper.
const MOST_CLOSING_BYTES = 8_192
const MOST_CLOSING_ROWS = 16

/** The append as a statement without parameters; undefined where the rows are too large for it. @throws FairleadError `INVALID_INPUT` for what PostgreSQL cannot hold */
export function closingOf(at: string, rows: readonly OutboxRow[]): Closing | undefined {
  let bytes = 0
  for (const { envelope } of rows) bytes += envelope.body.byteLength
  if (rows.length > MOST_CLOSING_ROWS || bytes > MOST_CLOSING_BYTES) return undefined
  return { statement: rows.length === 1 ? callOfOne(at, rows[0] as OutboxRow) : callOf(at, rows), rows }
}

function callOfOne(at: string, row: OutboxRow): string {
  const [channel, id, key, head] = appendOneParams(row) as readonly [string, string, string | null, string]
  const body = bytesLiteral(hexOf(row.envelope.body))
  return `select ${at}.outbox_append_one(${quoted(channel)}, ${quoted(id)}, ${key === null ? 'null' : quoted(key)}, ${quoted(head)}, ${body})`
}

function callOf(at: string, rows: readonly OutboxRow[]): string {
  const [channels, ids, keys, heads, ends, bodies] = batchOf(rows, 0, rows.length)
  const texts = [channels, ids, keys, heads].map(textsLiteral).join(', ')
  return `select ${at}.outbox_append(${texts}, array[${ends.join(',')}]::int[], ${bytesLiteral(hexOf(bodies))})`
}

// A statement is held in memory several times over on its way.
const MOST_BYTES = 16 * 1_048_576
const MOST_ROWS = 10_000

/** The rows in batches that one statement can take, in order. @throws FairleadError `INVALID_INPUT` for what PostgreSQL cannot hold */
export function appendParams(rows: readonly OutboxRow[]): readonly AppendParams[] {
  const batches: AppendParams[] = []
  let from = 0
  while (from < rows.length) {
    let to = from
    let bytes = 0
    while (to < rows.length && to - from < MOST_ROWS) {
      bytes += (rows[to] as OutboxRow).envelope.body.byteLength
      if (to > from && bytes > MOST_BYTES) break
      to++
    }
    batches.push(batchOf(rows, from, to))
    from = to
  }
  return batches
}

function batchOf(rows: readonly OutboxRow[], from: number, to: number): AppendParams {
  const channels: string[] = []
  const ids: string[] = []
  const keys: string[] = []
  const heads: string[] = []
  const ends: string[] = []
  const bodies: Uint8Array[] = []
  let end = 0
  for (let at = from; at < to; at++) {
    const { channel, envelope } = rows[at] as OutboxRow
    const { id, key, body } = envelope
    channels.push(storable('the channel', `${channel.kind}:${channel.name}`))
    ids.push(storable('the id', id))
    // Not null: some drivers have no nulls in arrays.
    keys.push(key === undefined ? '' : `=${storable('the key', key)}`)
    heads.push(packHead(envelope))
    end += body.byteLength
    ends.push(String(end))
    bodies.push(body)
  }
  // One binary parameter: an array of bytea would travel as text, twice as long.
  return [channels, ids, keys, heads, ends, bodies.length === 1 ? (bodies[0] as Uint8Array) : Buffer.concat(bodies)]
}

/** What a relay is told of a row. */
export function pendingOf(row: Readonly<Record<string, unknown>>): PendingRow {
  const { id, key, head, body } = row
  return {
    sequence: bigintOf(row['seq']),
    partition: numberOf(row['part']),
    attempts: numberOf(row['attempts']),
    channel: channelOf(row['channel'] as string),
    envelope: unpackEnvelope(id as string, key as string | null, head as string, bytesOf(body)),
  }
}

/** A row that was given up. */
export function deadOf(row: Readonly<Record<string, unknown>>): DeadRow {
  return { ...pendingOf(row), reason: row['reason'] as string, at: Math.floor(numberOf(row['at'])) }
}

function channelOf(text: string): ChannelAddress {
  const colon = text.indexOf(':')
  return { kind: text.slice(0, colon) as ChannelAddress['kind'], name: text.slice(colon + 1) }
}
