// A CloudEvent as one JSON object: the structured mode of every binding, and the items of a batch.
// https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
import { isUtf8 } from 'node:buffer'
import type { Envelope } from '../../core/message.ts'
import { isJson, mediaTypeOf } from '../codec.ts'
import { fromAttributes, toAttributes, undecodable } from './attributes.ts'

/** The extension that carries users' headers: a JSON object as a string. */
const HEADERS = 'messageheaders'
// What can be the name of a header at every broker.
const HEADER_NAME = /^[A-Za-z0-9._-]+$/
const NO_BODY: Uint8Array = new Uint8Array(0)

/** The event as JSON text. JSON data stand in it as they are, text as a string, anything else (compressed data too) as `data_base64`. */
export function toStructured(envelope: Envelope): string {
  const { priority, headers, body } = envelope
  const all: Record<string, unknown> = toAttributes(envelope)
  if (priority !== undefined) all['priority'] = priority
  if (Object.keys(headers).length > 0) all[HEADERS] = JSON.stringify(headers)
  const event = JSON.stringify(all)
  if (body.byteLength === 0) return event
  // Put in as text: a number of twenty digits stays what it is.
  return `${event.slice(0, -1)},${dataMember(envelope)}}`
}

function dataMember({ attributes, body }: Envelope): string {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  const type = attributes['datacontenttype']
  if (attributes['contentencoding'] === undefined && isUtf8(bytes)) {
    const text = bytes.toString('utf8')
    if (isJsonData(type)) {
      if (parses(text)) return `"data":${text}`
    } else if (mediaTypeOf(type as string).startsWith('text/')) return `"data":${JSON.stringify(text)}`
  }
  return `"data_base64":"${bytes.toString('base64')}"`
}

function parses(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** Whether data of that content type stand in the event as JSON. None is JSON. */
function isJsonData(contentType: string | undefined): boolean {
  return contentType === undefined || isJson(contentType)
}

/**
 * The envelope of an event: of its JSON text, or of what JSON.parse made of that.
 * @throws FairleadError `MESSAGE_UNDECODABLE`
 */
export function fromStructured(event: unknown): Envelope {
  const parsed = typeof event === 'string' ? parse(event) : event
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
    throw undecodable('the event is no JSON object')
  const { data, data_base64: base64, [HEADERS]: headers, ...rest } = parsed as Record<string, unknown>
  // Without a prototype, a member named __proto__ is seen as well, and refused by its name.
  const attributes: Record<string, string> = Object.create(null)
  for (const name of Object.keys(rest)) {
    const value = rest[name]
    // `null` is the same as absent (section 3.2 of the format).
    if (value === null) continue
    if (typeof value === 'object')
      throw undecodable(`the attribute ${JSON.stringify(name)} is neither text, number nor boolean`, rest)
    attributes[name] = String(value)
  }
  const own = headersOf(headers)
  // Somebody else's extension of that name is kept like any other.
  if (headers !== undefined && headers !== null && own === undefined) attributes[HEADERS] = String(headers)
  return fromAttributes(attributes, own ?? {}, bodyOf(data, base64, attributes, rest))
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw undecodable('the event is not JSON', {}, cause)
  }
}

function bodyOf(
  data: unknown,
  base64: unknown,
  attributes: Record<string, string>,
  about: Readonly<Record<string, unknown>>,
): Uint8Array {
  if (base64 !== undefined && base64 !== null) {
    if (data !== undefined && data !== null) throw undecodable('the event has both data and data_base64', about)
    const bytes = typeof base64 === 'string' ? fromBase64(base64) : undefined
    if (bytes === undefined) throw undecodable('data_base64 of the event is not Base64', about)
    return bytes
  }
  if (data === undefined) return NO_BODY
  if (!isJsonData(attributes['datacontenttype']) && typeof data === 'string') return Buffer.from(data)
  attributes['datacontenttype'] ??= 'application/json'
  try {
    return Buffer.from(JSON.stringify(data))
  } catch (cause) {
    // Nested deeper than the stack.
    throw undecodable('the data of the event cannot be read', about, cause)
  }
}

// Spaces and line breaks are nothing, and the padding may be missing. Each step takes time in proportion to the length: what comes from outside may be long.
function fromBase64(given: string): Uint8Array | undefined {
  const text = given.replace(/\s+/g, '')
  const digits = text.endsWith('==') ? text.length - 2 : text.endsWith('=') ? text.length - 1 : text.length
  const complete = digits === text.length ? digits % 4 !== 1 : text.length % 4 === 0
  // Buffer skips what is no digit.
  return complete && !/[^A-Za-z0-9+/]/.test(text.slice(0, digits)) ? Buffer.from(text, 'base64') : undefined
}

function headersOf(text: unknown): Record<string, string> | undefined {
  if (typeof text !== 'string') return undefined
  try {
    const parsed: unknown = JSON.parse(text)
    if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return undefined
    const headers: Record<string, string> = {}
    for (const [name, value] of Object.entries(parsed)) {
      if (typeof value !== 'string' || !HEADER_NAME.test(name)) return undefined
      headers[name.toLowerCase()] = value
    }
    return headers
  } catch {
    return undefined
  }
}
