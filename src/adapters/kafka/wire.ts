// A message as a Kafka record: the CloudEvents binding for Kafka, binary mode. Structured mode is read as well.
// https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md
import { mostBytesOf } from '../../core/envelope.ts'
import type { Envelope } from '../../core/message.ts'
import {
  fromAttributes,
  fromStructured,
  toAttributes,
  toStructured,
  USUAL_ATTRIBUTES,
} from '../../messaging/cloudevents/index.ts'
import type { KafkaRecord, NewRecord } from './driver.ts'

const ATTRIBUTE = 'ce_'
const HEADER = 'x-message-'
const CONTENT_TYPE = 'content-type'
const STRUCTURED_TYPE = 'application/cloudevents+json; charset=UTF-8'
// Headers of our own, which are neither attributes nor of the user.
const OWN = 'fairlead-'
// The usual attributes by their headers and back: a name that is looked up costs a tenth of one that is put together or cut.
const HEADER_OF: ReadonlyMap<string, string> = new Map(USUAL_ATTRIBUTES.map((name) => [name, ATTRIBUTE + name]))
const ATTRIBUTE_OF: ReadonlyMap<string, string> = new Map(USUAL_ATTRIBUTES.map((name) => [ATTRIBUTE + name, name]))

/** Why a message was given up. */
export const REASON_HEADER = 'fairlead-dead-reason'
/** When it was, milliseconds since 1970. */
export const AT_HEADER = 'fairlead-dead-at'
/** Of a dead letter without bytes: `null` where the message had no value (where the topic is compacted, the end of its key), `empty` where it had an empty one. */
export const VALUE_HEADER = 'fairlead-dead-value'
/** It was put back from the dead letters: `notbefore` does not count again. */
export const REDRIVEN_HEADER = 'fairlead-redriven'

/**
 * The content of a record, all but where it goes. The key of the record is the key of the message, and stands in `ce_partitionkey` as well.
 * A message without data is a record without a value: where the topic is compacted, a tombstone of its key.
 */
export function recordOf(envelope: Envelope): Pick<NewRecord, 'key' | 'value' | 'headers'> {
  const { key, body } = envelope
  const attributes = toAttributes(envelope)
  const { datacontenttype } = attributes
  const bytes = key === undefined ? null : Buffer.from(key)
  // What would be read as an event in structured mode is sent as one.
  if (datacontenttype?.startsWith('application/cloudevents'))
    return { key: bytes, value: Buffer.from(toStructured(envelope)), headers: { [CONTENT_TYPE]: STRUCTURED_TYPE } }
  const headers: Record<string, string> = {}
  for (const name of Object.keys(attributes))
    if (name !== 'datacontenttype') headers[HEADER_OF.get(name) ?? ATTRIBUTE + name] = attributes[name] as string
  for (const name of Object.keys(envelope.headers)) headers[HEADER + name] = envelope.headers[name] as string
  if (datacontenttype !== undefined) headers[CONTENT_TYPE] = datacontenttype
  return { key: bytes, value: valueFor(body, datacontenttype), headers }
}

/** What there is of a body: no data is no value, which is not the same as empty data of some type. */
export function valueFor(body: Uint8Array | null, contentType: string | undefined): Uint8Array | null {
  return body?.byteLength === 0 && contentType === undefined ? null : body
}

/**
 * The message of a record. An event without an id gets one of its place. A record that is no CloudEvent becomes an envelope without attributes: it must not
 * stop the partition, so it takes the way of all messages that cannot be decoded. A tombstone with the headers of an event is a message without data.
 */
export function envelopeOf(record: KafkaRecord, topic: string, partition: number): Envelope {
  const { headers: given, offset } = record
  const position = (): string => `${topic}/${partition}/${offset}`
  const body = record.value ?? new Uint8Array(0)
  const attributes: Record<string, string> = {}
  const headers: Record<string, string> = {}
  for (const name of Object.keys(given)) {
    const value = given[name] as string
    const known = ATTRIBUTE_OF.get(name)
    if (known !== undefined) {
      attributes[known] = value
      continue
    }
    const lower = name.toLowerCase()
    if (lower.startsWith(ATTRIBUTE)) attach(attributes, lower.slice(ATTRIBUTE.length), value)
    else if (lower.startsWith(HEADER)) headers[lower.slice(HEADER.length)] = value
    else if (lower !== CONTENT_TYPE && !lower.startsWith(OWN)) headers[lower] = value
  }
  const key = keyOf(record)
  const type = contentTypeOf(given)
  try {
    if (type?.toLowerCase().startsWith('application/cloudevents')) {
      const event = JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8')) as unknown
      const { id: own } = event as { readonly id?: unknown }
      const envelope = fromStructured(
        typeof own === 'string' && own !== '' ? event : { ...(event as object), id: position() },
      )
      return envelope.key === undefined && key !== undefined ? { ...envelope, key } : envelope
    }
    // It is said by content-type alone (section 3.2.1).
    if (type !== undefined) attributes['datacontenttype'] = type
    else if (attributes['datacontenttype'] !== undefined) delete attributes['datacontenttype']
    if (key !== undefined) attributes['partitionkey'] ??= key
    return fromAttributes(attributes, headers, body, attributes['id'] ? undefined : position())
  } catch {
    return { id: position(), key, attributes: {}, headers: {}, body }
  }
}

// Also where the name is one of the prototype: such a name is refused later.
function attach(attributes: Record<string, string>, name: string, value: string): void {
  Object.defineProperty(attributes, name, { value, enumerable: true, writable: true, configurable: true })
}

/** Bytes that a record takes, about: what a batch of the broker is held against. */
export function recordBytes({ key, value, headers }: Pick<NewRecord, 'key' | 'value' | 'headers'>): number {
  let bytes = 32 + (key?.byteLength ?? 0) + (value?.byteLength ?? 0)
  for (const name of Object.keys(headers)) bytes += 8 + name.length + byteLength(headers[name] as string)
  return bytes
}

function byteLength(value: string): number {
  return value.length < 200 ? mostBytesOf(value) : Buffer.byteLength(value)
}

/** What a record says that its value is. */
export function contentTypeOf(headers: Readonly<Record<string, string>>): string | undefined {
  const exact = headers[CONTENT_TYPE]
  if (exact !== undefined) return exact
  for (const name of Object.keys(headers)) if (name.toLowerCase() === CONTENT_TYPE) return headers[name]
  return undefined
}

function keyOf({ key }: KafkaRecord): string | undefined {
  if (key === null || key.byteLength === 0) return undefined
  // A view of bytes costs more than reading them.
  const bytes = Buffer.isBuffer(key) ? key : Buffer.from(key.buffer, key.byteOffset, key.byteLength)
  return bytes.toString('utf8')
}
