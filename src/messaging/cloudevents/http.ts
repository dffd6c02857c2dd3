// CloudEvents on HTTP: binary mode by default, structured mode and batches as well.
// https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md
import { isUtf8 } from 'node:buffer'
import type { Envelope } from '../../core/message.ts'
import { mediaTypeOf, parameterOf } from '../codec.ts'
import { fromAttributes, toAttributes, undecodable } from './attributes.ts'
import { fromStructured, toStructured } from './structured.ts'

/** Content type of one event in structured mode. */
export const STRUCTURED_TYPE = 'application/cloudevents+json; charset=utf-8'
/** Content type of a batch of events. */
export const BATCH_TYPE = 'application/cloudevents-batch+json; charset=utf-8'

const PREFIX = 'ce-'
const HEADER_PREFIX = 'x-message-'

/** An HTTP message as it is sent: names in lower case. */
export interface HttpMessage {
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
}

/** Headers as they come: of Node, of undici, or a `Headers`. */
export type HttpHeaders =
  | Readonly<Record<string, string | readonly string[] | undefined>>
  | Iterable<readonly [string, string]>

/**
 * An envelope as an HTTP message.
 *
 * `binary`: attributes are `ce-` headers, percent-encoded as the binding says (section 3.1.3.2); users' headers are `x-message-` headers; the data are the body as it is,
 * with `content-type`, and `content-encoding` where it is compressed. `structured`: all in one JSON body; so goes, whatever the mode, an event whose content type
 * cannot stand in an HTTP header, or would itself be read as that of an event.
 */
export function toHttp(envelope: Envelope, mode: 'binary' | 'structured' = 'binary'): HttpMessage {
  const { datacontenttype, contentencoding, ...attributes } = toAttributes(envelope)
  if (mode === 'structured' || isEventType(datacontenttype) || !fitsHeader(datacontenttype, contentencoding))
    return { headers: { 'content-type': STRUCTURED_TYPE }, body: Buffer.from(toStructured(envelope)) }
  const headers: Record<string, string> = {}
  for (const name of Object.keys(attributes)) headers[PREFIX + name] = encodeValue(attributes[name] as string)
  for (const name of Object.keys(envelope.headers))
    headers[HEADER_PREFIX + name] = encodeValue(envelope.headers[name] as string)
  if (datacontenttype !== undefined) headers['content-type'] = datacontenttype
  if (contentencoding !== undefined) headers['content-encoding'] = contentencoding
  return { headers, body: envelope.body }
}

function isEventType(contentType: string | undefined): boolean {
  return contentType !== undefined && mediaTypeOf(contentType).startsWith('application/cloudevents')
}

// Neither is percent-encoded: both are read by others than readers of CloudEvents.
function fitsHeader(...values: readonly (string | undefined)[]): boolean {
  return values.every((value) => value === undefined || /^[\x20-\x7e]*$/.test(value))
}

/** Several envelopes as one HTTP message: `application/cloudevents-batch+json`. */
export function toHttpBatch(envelopes: readonly Envelope[]): HttpMessage {
  return { headers: { 'content-type': BATCH_TYPE }, body: Buffer.from(`[${envelopes.map(toStructured).join(',')}]`) }
}

/**
 * The envelopes of an HTTP message: one in binary and in structured mode, any number of a batch.
 * @throws FairleadError `MESSAGE_UNDECODABLE` for what is no CloudEvent, or lacks what one must have
 */
export function fromHttp(headers: HttpHeaders, body: Uint8Array): readonly Envelope[] {
  const all = collect(headers)
  const contentType = all.plain['content-type'] ?? ''
  const type = mediaTypeOf(contentType)
  if (!isEventType(type)) return [fromBinary(all, body)]
  if (type !== 'application/cloudevents+json' && type !== 'application/cloudevents-batch+json')
    throw undecodable(`events as ${type} are not known; JSON is`)
  const parsed = parseBody(contentType, body)
  if (type === 'application/cloudevents+json') return [fromStructured(parsed)]
  if (!Array.isArray(parsed)) throw undecodable('the batch is no JSON array')
  return parsed.map(fromStructured)
}

interface Collected {
  readonly attributes: Record<string, string>
  readonly headers: Record<string, string>
  readonly plain: Record<string, string>
}

function collect(given: HttpHeaders): Collected {
  // Without a prototype, an attribute named __proto__ is seen as well, and refused by its name.
  const attributes: Record<string, string> = Object.create(null)
  const headers: Record<string, string> = {}
  const plain: Record<string, string> = {}
  const entries = isIterable(given) ? given : Object.entries(given)
  for (const [name, value] of entries) {
    if (value === undefined) continue
    const lower = name.toLowerCase()
    const text = typeof value === 'string' ? value : value.join(', ')
    if (lower.startsWith(PREFIX)) attributes[lower.slice(PREFIX.length)] = decodeValue(text)
    else if (lower.startsWith(HEADER_PREFIX)) headers[lower.slice(HEADER_PREFIX.length)] = decodeValue(text)
    // In a header a tab is as good as a space (RFC 9110 section 5.6.3); an attribute has none.
    else if (lower === 'content-type' || lower === 'content-encoding') plain[lower] = text.replaceAll('\t', ' ')
  }
  return { attributes, headers, plain }
}

function isIterable(headers: HttpHeaders): headers is Iterable<readonly [string, string]> {
  return typeof (headers as Partial<Iterable<unknown>>)[Symbol.iterator] === 'function'
}

function fromBinary({ attributes, headers, plain }: Collected, body: Uint8Array): Envelope {
  if (attributes['id'] === undefined && attributes['type'] === undefined && attributes['specversion'] === undefined)
    throw undecodable('the request is no CloudEvent: neither ce- headers nor an application/cloudevents body')
  // It is said by content-type alone (section 3.1.1).
  delete attributes['datacontenttype']
  delete attributes['contentencoding']
  if (plain['content-type'] !== undefined) attributes['datacontenttype'] = plain['content-type']
  const encoding = plain['content-encoding']?.trim().toLowerCase()
  // Servers that unpack a body leave the header: what does not begin like gzip has been unpacked.
  if (encoding !== undefined && encoding !== 'identity' && !(encoding === 'gzip' && !startsAsGzip(body)))
    attributes['contentencoding'] = encoding
  return fromAttributes(attributes, headers, body)
}

function startsAsGzip(body: Uint8Array): boolean {
  return body[0] === 0x1f && body[1] === 0x8b
}

function parseBody(contentType: string, body: Uint8Array): unknown {
  const charset = parameterOf(contentType, 'charset') ?? 'utf-8'
  if (charset !== 'utf-8' && charset !== 'utf8' && charset !== 'us-ascii')
    throw undecodable(`events in ${charset} are not known; UTF-8 is`)
  if (!isUtf8(body)) throw undecodable('the body is not UTF-8')
  try {
    return JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8'))
  } catch (cause) {
    throw undecodable('the body is not JSON', {}, cause)
  }
}

// Section 3.1.3.2: everything but visible ASCII, and of that the double quote and the percent sign.
const PLAIN = /^[!#$&-~]*$/
const ENCODED = /[^!#$&-~]+/gu

/** The value of a CloudEvents header: percent-encoded UTF-8. */
function encodeValue(value: string): string {
  return PLAIN.test(value) ? value : value.replace(ENCODED, percent)
}

function percent(text: string): string {
  let encoded = ''
  for (const byte of Buffer.from(text)) encoded += `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  return encoded
}

// A quoted value is unquoted first (section 3.1.3.2). What is no percent-encoding stays as it is: some senders do not encode.
function decodeValue(value: string): string {
  const text = /^"(?:[^"\\]|\\.)*"$/.test(value) ? value.slice(1, -1).replace(/\\(.)/g, '$1') : value
  if (!text.includes('%')) return text
  return text.replace(/(?:%[0-9A-Fa-f]{2})+/g, (encoded) =>
    Buffer.from(encoded.replaceAll('%', ''), 'hex').toString('utf8'),
  )
}
