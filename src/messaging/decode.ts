// From what a transport carried to what a handler gets: decompress, decode, upcast, validate. Whatever goes wrong has one of three names.
import { parseInstant } from '../core/instant.ts'
import type { ChannelAddress, Envelope, Message } from '../core/message.ts'
import { issueLine, type Validated, validate } from '../core/schema.ts'
import { isFairleadError } from '../errors/base.ts'
import { createError, stamp, withFields } from '../errors/classes.ts'
import type { Code } from '../errors/codes.ts'
import { isAddressName } from './channel.ts'
import { versionFault } from './cloudevents/attributes.ts'
import { mediaTypeOf } from './codec.ts'
import { decompress } from './compress.ts'
import { headersWithTrace } from './trace.ts'
import type { AnyMessageOf, Channel, MessageType, MessageTypes } from './types.ts'
import { upcast } from './upcast.ts'

/** What may be said of the decoding. */
export interface DecodeOptions {
  /** Time of a message that has none (foreign events may have none), milliseconds since 1970: when it was received, say. Default 0. */
  readonly timeIfNone?: number | undefined
  /** What a compressed body may unpack to. Default 64 MiB. */
  readonly mostBytes?: number | undefined
}

/**
 * Decodes a message. A promise only where the schema is asynchronous or the body is compressed.
 *
 * An older version is upcast to ours. A newer one, and fields that we do not know, are read if the schema takes them.
 * @throws FairleadError thrown or as a rejection, and nothing else: `MESSAGE_UNDECODABLE` (no CloudEvent, or bytes that the codec cannot read),
 * `MESSAGE_UNHANDLED` (a type that the channel has not), `MESSAGE_INVALID` (with `details.issues`; or naming the upcaster that failed).
 * `details` has `id`, `source`, `type` and `version` as far as they are known.
 */
export function decodeMessage<Types extends MessageTypes>(
  channel: Channel<Types>,
  envelope: Envelope,
  options: DecodeOptions = {},
): AnyMessageOf<Types> | Promise<AnyMessageOf<Types>> {
  const { attributes } = envelope
  const name = attributes['type']
  const { source, specversion, contentencoding } = attributes
  const fault = versionFault(specversion)
  if (fault !== undefined) throw failed(channel, envelope, 'MESSAGE_UNDECODABLE', fault)
  if (name === undefined || name === '') throw failed(channel, envelope, 'MESSAGE_UNDECODABLE', 'it has no type')
  if (source === undefined || source === '')
    throw failed(channel, envelope, 'MESSAGE_UNDECODABLE', 'it has no source: with its id that names a message')
  const type = (channel.types as Readonly<Record<string, MessageType>>)[name]
  if (type === undefined)
    throw failed(
      channel,
      envelope,
      'MESSAGE_UNHANDLED',
      `${name} is no type of ${channel.kind} ${channel.name}; it has ${Object.keys(channel.types).join(', ')}`,
    )
  const version = versionOf(channel, envelope)
  const read = new Reading(channel, envelope, type, name, version, options)
  if (contentencoding === undefined || contentencoding.toLowerCase() === 'identity')
    return read.body(envelope.body) as AnyMessageOf<Types> | Promise<AnyMessageOf<Types>>
  return decompress(envelope.body, contentencoding, options.mostBytes).then(
    (body) => read.body(body),
    (error) => {
      throw read.known(error)
    },
  ) as Promise<AnyMessageOf<Types>>
}

function versionOf(channel: Channel, envelope: Envelope): number {
  const text = envelope.attributes['typeversion']
  if (text === undefined) return 1
  const version = /^\d+$/.test(text) ? Number(text) : Number.NaN
  if (!Number.isSafeInteger(version) || version < 1)
    throw failed(channel, envelope, 'MESSAGE_UNDECODABLE', `its typeversion is ${JSON.stringify(text)}`)
  return version
}

type Decoded = Message | Promise<Message>

class Reading {
  readonly #channel: Channel
  readonly #envelope: Envelope
  readonly #type: MessageType
  readonly #name: string
  readonly #version: number
  readonly #options: DecodeOptions

  constructor(
    channel: Channel,
    envelope: Envelope,
    type: MessageType,
    name: string,
    version: number,
    options: DecodeOptions,
  ) {
    this.#channel = channel
    this.#envelope = envelope
    this.#type = type
    this.#name = name
    this.#version = version
    this.#options = options
  }

  body(body: Uint8Array): Decoded {
    let data: unknown
    try {
      data = upcast(this.#type, this.#name, this.#version, this.#decode(body))
    } catch (error) {
      throw this.known(error)
    }
    let validated: Validated<unknown> | Promise<Validated<unknown>>
    try {
      validated = validate(this.#type.schema, data)
    } catch (cause) {
      throw this.#schemaThrew(cause)
    }
    if (!(validated instanceof Promise)) return this.#message(validated)
    return validated.then(
      (outcome) => this.#message(outcome),
      (cause) => {
        throw this.#schemaThrew(cause)
      },
    )
  }

  #decode(body: Uint8Array): unknown {
    if (body.byteLength === 0) return undefined
    const { codec } = this.#channel
    const contentType = this.#envelope.attributes['datacontenttype']
    if (contentType !== undefined && contentType !== codec.contentType && !accepted(codec, contentType))
      throw this.#failed('MESSAGE_UNDECODABLE', `its data is ${contentType}, and the codec reads ${codec.contentType}`)
    try {
      return codec.decode(body)
    } catch (cause) {
      if (isFairleadError(cause, 'MESSAGE_UNDECODABLE')) throw cause
      throw this.#failed('MESSAGE_UNDECODABLE', `its body is no ${codec.contentType}`, cause)
    }
  }

  #message(outcome: Validated<unknown>): Message {
    if (!outcome.ok) throw this.#invalid(outcome.issues)
    const { id, key, priority, notBefore, expiresAt, attributes, headers } = this.#envelope
    return {
      id,
      source: attributes['source'] as string,
      type: this.#name,
      version: Math.max(this.#version, this.#type.version),
      time: parseInstant(attributes['time'] ?? '') ?? this.#options.timeIfNone ?? 0,
      subject: attributes['subject'],
      key,
      priority,
      notBefore,
      expiresAt,
      correlationId: attributes['correlationid'],
      causationId: attributes['causationid'],
      replyTo: parseAddress(attributes['replyto']),
      headers: headersWithTrace(attributes, headers),
      data: outcome.value,
    }
  }

  #invalid(found: Extract<Validated<unknown>, { readonly ok: false }>['issues']): Error {
    const issues = found.map(({ path, message }) => ({ path: path === '' ? 'data' : `data.${path}`, message }))
    const newer =
      this.#version > this.#type.version
        ? ` (it is of version ${this.#version}, and ${this.#type.version} is the newest known here)`
        : ''
    return this.#failed('MESSAGE_INVALID', `${issueLine(issues)}${newer}`, undefined, { issues })
  }

  #schemaThrew(cause: unknown): Error {
    return this.#failed('MESSAGE_INVALID', 'its schema threw', cause)
  }

  #failed(code: Code, message: string, cause?: unknown, details?: object): Error {
    return failed(this.#channel, this.#envelope, code, `${this.#name}: ${message}`, cause, details)
  }

  /** The error of a step with what is known of the message. */
  known(error: unknown): Error {
    if (!isFairleadError(error)) return this.#failed('MESSAGE_UNDECODABLE', 'it cannot be read', error)
    const details = { ...facts(this.#envelope), ...(error.details as object | undefined) }
    return stamp(withFields(error, { details }), { channel: this.#channel.name })
  }
}

function accepted(codec: Channel['codec'], contentType: string): boolean {
  return codec.accepts?.(contentType) ?? mediaTypeOf(contentType) === mediaTypeOf(codec.contentType)
}

/** The address that an attribute names. One that is none means nothing to us; it stays among the attributes. */
export function parseAddress(text: string | undefined): ChannelAddress | undefined {
  if (text === undefined) return undefined
  const end = text.indexOf(':')
  const kind = text.slice(0, end)
  const name = text.slice(end + 1)
  return (kind === 'queue' || kind === 'topic') && isAddressName(name) ? { kind, name } : undefined
}

function facts({ id, attributes }: Envelope): Readonly<Record<string, string>> {
  const { source, type, typeversion } = attributes
  return {
    id,
    ...(source === undefined ? {} : { source }),
    ...(type === undefined ? {} : { type }),
    ...(typeversion === undefined ? {} : { version: typeversion }),
  }
}

function failed(
  channel: Channel,
  envelope: Envelope,
  code: Code,
  message: string,
  cause?: unknown,
  details?: object,
): Error {
  return createError({
    code,
    message,
    channel: channel.name,
    details: { ...facts(envelope), ...details },
    ...(cause === undefined ? {} : { cause }),
  })
}
