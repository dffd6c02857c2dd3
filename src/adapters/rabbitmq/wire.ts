// CloudEvents on AMQP 0-9-1. There is no binding for it; the one for AMQP 1.0 (binary mode: attributes as properties `cloudEvents:...`) is kept as far as it goes.
// https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/amqp-protocol-binding.md
import { isUtf8 } from 'node:buffer'
import { randomUUID } from 'node:crypto'
import { mostBytesOf } from '../../core/envelope.ts'
import { formatInstant } from '../../core/instant.ts'
import type { Envelope } from '../../core/message.ts'
import { fromAttributes, fromStructured, toAttributes, USUAL_ATTRIBUTES } from '../../messaging/cloudevents/index.ts'
import type { AmqpMessage, AmqpProperties } from './driver.ts'

const PREFIX = 'cloudEvents:'
const OTHER_PREFIX = 'cloudEvents_'
const HEADER_PREFIX = 'x-message-'
// The usual attributes by their headers and back: a name that is looked up costs a tenth of one that is put together or cut.
const HEADER_OF: ReadonlyMap<string, string> = new Map(USUAL_ATTRIBUTES.map((name) => [name, PREFIX + name]))
const ATTRIBUTE_OF: ReadonlyMap<string, string> = new Map(USUAL_ATTRIBUTES.map((name) => [PREFIX + name, name]))
const STRUCTURED = 'application/cloudevents+json'

/** How often the message was handed out before it was put where it is: added to what the broker counts there. */
export const COUNT_HEADER = 'x-fairlead-redeliveries'
/** Not before this instant (milliseconds since 1970): a receiver that gets it sooner lets it wait for the rest. */
export const DUE_HEADER = 'x-fairlead-due'
/** Why it was given up. */
export const REASON_HEADER = 'x-fairlead-dead-reason'
/** When it was given up (milliseconds since 1970). */
export const DEAD_AT_HEADER = 'x-fairlead-dead-at'

const OWN: ReadonlySet<string> = new Set([COUNT_HEADER, DUE_HEADER, REASON_HEADER, DEAD_AT_HEADER])
// What the broker notes on its way: of the place where it was, and nobody's business elsewhere.
const OF_BROKER = /^x-(delivery-count|death|(first|last)-death-(reason|queue|exchange)|acquired-count|opt-.*)$/

// Properties are short strings: at most so many bytes.
const SHORT_BYTES = 255
// All headers of a message go in one frame, and brokers let a frame have 131,072 bytes; some are left for what stands around them.
const MOST_HEADER_BYTES = 126_000

/** A message as it is published. */
export interface AmqpContent {
  readonly properties: AmqpProperties
  readonly body: Uint8Array
}

/** An envelope as a message; `priority` is that of the queue, and `due` says that it comes before its time. */
export function toAmqp(envelope: Envelope, priority?: number | undefined, due?: number | undefined): AmqpContent {
  const attributes = toAttributes(envelope)
  const { type, datacontenttype } = attributes
  const shortType = datacontenttype === undefined || isShort(datacontenttype)
  const headers: Record<string, string | number> = {}
  // One that is added at a time, by names that are there already: spreads and names put together cost ten times as much.
  for (const name of Object.keys(attributes)) {
    if (name === 'contentencoding' || (name === 'datacontenttype' && shortType)) continue
    headers[HEADER_OF.get(name) ?? PREFIX + name] = attributes[name] as string
  }
  for (const name of Object.keys(envelope.headers)) headers[HEADER_PREFIX + name] = envelope.headers[name] as string
  if (due !== undefined) headers[DUE_HEADER] = String(due)
  const properties: { -readonly [Name in keyof AmqpProperties]: AmqpProperties[Name] } = { headers, persistent: true }
  if (datacontenttype !== undefined && shortType) properties.contentType = datacontenttype
  const encoding = encodingOf(datacontenttype, attributes['contentencoding'], envelope.body)
  if (encoding !== undefined) properties.contentEncoding = encoding
  // What comes back as unroutable is known by it.
  properties.messageId = isShort(envelope.id) ? envelope.id : randomUUID()
  if (type !== undefined && isShort(type)) properties.type = type
  if (priority !== undefined) properties.priority = priority
  return { properties, body: envelope.body }
}

// Some clients parse JSON and text unless an encoding is set; most take it for the character set.
function encodingOf(
  contentType: string | undefined,
  contentEncoding: string | undefined,
  body: Uint8Array,
): string | undefined {
  if (contentEncoding !== undefined) return contentEncoding
  if (contentType !== 'application/json' && contentType !== 'text/plain') return undefined
  return isUtf8(body) ? 'utf-8' : 'binary'
}

/** Why headers cannot be written; undefined: they can. */
export function unwritable(envelope: Envelope): string | undefined {
  // Counting exactly is a call into native code for each text, and nearly always they are far from it.
  return objection(envelope, mostBytesOf) && objection(envelope, Buffer.byteLength)
}

function objection({ attributes, headers, id, key }: Envelope, bytesIn: (text: string) => number): string | undefined {
  let bytes = bytesIn(id) + bytesIn(key ?? '')
  for (const part of [attributes, headers])
    for (const name of Object.keys(part)) {
      if (bytesIn(name) > SHORT_BYTES - PREFIX.length) return `the name ${name.slice(0, 40)}... is too long`
      bytes += name.length + PREFIX.length + 8 + bytesIn(part[name] as string)
    }
  return bytes > MOST_HEADER_BYTES
    ? `attributes and headers have ${bytes} bytes; AMQP carries ${MOST_HEADER_BYTES} in one frame`
    : undefined
}

/**
 * The envelope of a message: binary or structured mode. Of a message that is no CloudEvent but says its type (property `type`), one is made of its properties. Any
 * other becomes an envelope without attributes: it takes the way of all messages that cannot be decoded.
 */
export function fromAmqp(message: AmqpMessage, queue: string): Envelope {
  const { properties, body } = message
  const attributes: Record<string, string> = {}
  const headers: Record<string, string> = {}
  const others: Record<string, string> = {}
  const all = properties.headers ?? {}
  for (const name of Object.keys(all)) {
    const value = textOf(all[name])
    if (value === undefined) continue
    const known = ATTRIBUTE_OF.get(name)
    if (known !== undefined) attributes[known] = value
    else if (name.startsWith(PREFIX) || name.startsWith(OTHER_PREFIX))
      attach(attributes, name.slice(PREFIX.length), value)
    else if (name.startsWith(HEADER_PREFIX)) headers[name.slice(HEADER_PREFIX.length).toLowerCase()] = value
    else if (!OWN.has(name) && !OF_BROKER.test(name)) others[name.toLowerCase()] = value
  }
  const { contentType, messageId } = properties
  try {
    if (contentType?.toLowerCase().startsWith(STRUCTURED) === true)
      return fromStructured(Buffer.from(body).toString('utf8'))
    if (contentType !== undefined) attributes['datacontenttype'] = contentType
    const encoding = properties.contentEncoding?.trim().toLowerCase()
    if (encoding !== undefined && !CHARSETS.has(encoding)) attributes['contentencoding'] = encoding
    if (isEvent(attributes)) return fromAttributes(attributes, headers, body, messageId)
    if (properties.type !== undefined) return fromAttributes(foreign(properties, attributes, queue), others, body)
  } catch {
    // Below.
  }
  return { id: messageId ?? randomUUID(), attributes: {}, headers: others, body }
}

// Also where the name is one of the prototype: such a name is refused later.
function attach(attributes: Record<string, string>, name: string, value: string): void {
  Object.defineProperty(attributes, name, { value, enumerable: true, writable: true, configurable: true })
}

// Values of content-encoding that say nothing of compression.
const CHARSETS: ReadonlySet<string> = new Set(['', 'utf-8', 'utf8', 'us-ascii', 'ascii', 'identity', 'binary', '8bit'])

function isEvent(attributes: Readonly<Record<string, string>>): boolean {
  return attributes['id'] !== undefined || attributes['type'] !== undefined || attributes['specversion'] !== undefined
}

function foreign(
  { messageId, type, appId, timestamp, correlationId }: AmqpProperties,
  known: Readonly<Record<string, string>>,
  queue: string,
): Record<string, string> {
  return {
    ...known,
    specversion: '1.0',
    // Without one it has another each time it is handed out: nothing about it stays the same for certain.
    id: messageId ?? randomUUID(),
    type: type ?? '',
    source: appId ?? `/queues/${encodeURIComponent(queue)}`,
    ...(timestamp === undefined ? {} : { time: isoOf(timestamp) }),
    ...(correlationId === undefined ? {} : { correlationid: correlationId }),
  }
}

// Some clients write milliseconds.
function isoOf(timestamp: number): string {
  return formatInstant(timestamp > 100_000_000_000 ? timestamp : timestamp * 1_000)
}

function textOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint') return String(value)
  if (value instanceof Date) return value.toISOString()
  return value instanceof Uint8Array ? Buffer.from(value).toString('utf8') : undefined
}

/** How often it was handed out before, counted by the broker in this queue and by us before that. `undefined` of the first: it counts nothing. */
export function countOf({ properties, redelivered }: AmqpMessage, byBroker: boolean): number {
  const headers = properties.headers ?? {}
  const here = byBroker ? numberOf(headers['x-delivery-count']) : redelivered ? 1 : 0
  return (numberOf(headers[COUNT_HEADER]) ?? 0) + (here ?? 0)
}

/** The instant before which it must not be handed out, if it is in the future. */
export function dueOf({ properties }: AmqpMessage): number | undefined {
  return numberOf(properties.headers?.[DUE_HEADER])
}

/** Why and when it was given up: by a verdict, or by the queue itself. */
export function deathOf({ properties }: AmqpMessage): { readonly reason: string; readonly at: number | undefined } {
  const headers = properties.headers ?? {}
  const reason = textOf(headers[REASON_HEADER])
  if (reason !== undefined) return { reason, at: numberOf(headers[DEAD_AT_HEADER]) }
  const deaths = headers['x-death']
  const last = (Array.isArray(deaths) ? deaths[0] : undefined) as Record<string, unknown> | undefined
  const why = textOf(last?.['reason']) ?? 'unknown'
  const time = last?.['time']
  const seconds = numberOf(time instanceof Date ? time.getTime() / 1_000 : plain(time))
  return {
    reason:
      why === 'delivery_limit' ? 'DELIVERY_LIMIT: it came back too often' : `${why.toUpperCase()}: moved by the broker`,
    at: seconds === undefined ? undefined : seconds > 100_000_000_000 ? seconds : seconds * 1_000,
  }
}

// A client may wrap a timestamp: amqplib says `{ '!': 'timestamp', value }`.
function plain(value: unknown): unknown {
  return typeof value === 'object' && value !== null && 'value' in value ? value.value : value
}

function numberOf(value: unknown): number | undefined {
  if (typeof value === 'bigint') return Number(value)
  const number = typeof value === 'string' && value !== '' ? Number(value) : value
  return typeof number === 'number' && Number.isFinite(number) ? number : undefined
}

/** The message as it came, for another place: with headers of ours, and without those that say where it was. */
export function again(message: AmqpMessage, own: Readonly<Record<string, string>>): AmqpContent {
  const headers: Record<string, unknown> = {}
  const before = message.properties.headers ?? {}
  for (const name of Object.keys(before)) if (!OWN.has(name) && !OF_BROKER.test(name)) headers[name] = before[name]
  Object.assign(headers, own)
  const { contentType, contentEncoding, messageId, ...rest } = message.properties
  const parsed = contentEncoding === undefined && (contentType === 'application/json' || contentType === 'text/plain')
  return {
    properties: {
      ...rest,
      contentType,
      contentEncoding: parsed ? (isUtf8(message.body) ? 'utf-8' : 'binary') : contentEncoding,
      // It must be known by something when it comes back as unroutable.
      messageId: messageId ?? randomUUID(),
      headers,
      persistent: true,
    },
    body: message.body,
  }
}

function isShort(text: string): boolean {
  return mostBytesOf(text) <= SHORT_BYTES || Buffer.byteLength(text) <= SHORT_BYTES
}
