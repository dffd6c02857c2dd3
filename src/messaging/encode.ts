// From what a publisher says to what a transport carries.
import { type Inherited, inherited } from '../core/async-context.ts'
import type { Clock } from '../core/clock.ts'
import { formatInstant } from '../core/instant.ts'
import type { Envelope } from '../core/message.ts'
import { type Issue, issueLine, type Validated, validate } from '../core/schema.ts'
import { uuidV7 } from '../core/uuid.ts'
import { isFairleadError } from '../errors/base.ts'
import { createError } from '../errors/classes.ts'
import { compress, GZIP } from './compress.ts'
import { fieldIssues, isCarriable, isId } from './fields.ts'
import { isTraceHeader, traceInto } from './trace.ts'
import type { Channel, MessageType, MessageTypes, Publishable, PublishFields } from './types.ts'

/** What a message is made of besides what is said of it. */
export interface EncodeOptions {
  /** Who publishes: a URI reference. With the id it names the message for good. */
  readonly source: string
  /** For the time of the message, and for its id. */
  readonly clock: Clock
  /** Default: a UUID, version 7. */
  readonly newId?: (() => string) | undefined
  /** The time of the message, RFC 3339. Default: that of the clock. */
  readonly time?: (() => string) | undefined
  /** Headers of the call, for the trace context. Default: those that the work which publishes has inherited. */
  readonly headers?: Readonly<Record<string, string>> | undefined
}

type Given = PublishFields & { readonly type: string; readonly data: unknown }

const NO_BODY: Uint8Array = new Uint8Array(0)
const NO_HEADERS: Readonly<Record<string, string>> = Object.freeze({})

/**
 * Validates a message and encodes it. A promise only where the schema is asynchronous or the body is compressed.
 * The schema judges and changes nothing: what was given travels, and the receiver's schema makes of it what it makes.
 * @throws FairleadError `INVALID_INPUT`, thrown or as a rejection, with `details.issues`: each place from the message on, as `data.lines.2.at`
 */
export function encodeMessage<Types extends MessageTypes>(
  channel: Channel<Types>,
  message: Publishable<NoInfer<Types>>,
  options: EncodeOptions,
): Envelope | Promise<Envelope> {
  const given = message as Given
  if (typeof given !== 'object' || given === null)
    throw refused(channel, given, [{ path: '', message: 'give an object' }])
  const type = (channel.types as Readonly<Record<string, MessageType>>)[given.type]
  if (type === undefined)
    throw refused(channel, given, [
      { path: 'type', message: `the channel has no such type; it has ${Object.keys(channel.types).join(', ')}` },
    ])
  const issues = fieldIssues(given)
  // Now, not after an asynchronous schema: what was inherited is that of the caller.
  const from = inherited()
  const headers = options.headers ?? from?.headers
  const cause = from?.cause
  const validated = judge(channel, type, given)
  const make = (outcome: Validated<unknown>): Envelope | Promise<Envelope> => {
    if (!outcome.ok) issues.push(...outcome.issues.map(inData))
    if (issues.length > 0) throw refused(channel, given, issues)
    return build(channel, type, given, options, headers, cause)
  }
  return validated instanceof Promise ? validated.then(make) : make(validated)
}

function judge(
  channel: Channel,
  { schema }: MessageType,
  given: Given,
): Validated<unknown> | Promise<Validated<unknown>> {
  const failed = (cause: unknown): never => {
    throw refused(channel, given, [{ path: 'data', message: 'its schema threw' }], cause)
  }
  try {
    const validated = validate(schema, given.data)
    return validated instanceof Promise ? validated.catch(failed) : validated
  } catch (cause) {
    return failed(cause)
  }
}

function build(
  channel: Channel,
  type: MessageType,
  given: Given,
  { source, clock, newId, time }: EncodeOptions,
  ofCall: Readonly<Record<string, string>> | undefined,
  cause: Inherited['cause'],
): Envelope | Promise<Envelope> {
  const { codec } = channel
  const attributes: Record<string, string> = {
    specversion: '1.0',
    source,
    type: given.type,
    time: time === undefined ? formatInstant(clock.wallNow()) : time(),
  }
  if (channel.attributes !== undefined) Object.assign(attributes, channel.attributes)
  let body = NO_BODY
  if (given.data !== undefined) {
    attributes['datacontenttype'] = codec.contentType
    body = encodeData(channel, given)
  }
  if (type.version > 1) attributes['typeversion'] = String(type.version)
  if (given.subject !== undefined) attributes['subject'] = given.subject
  // What a handler publishes was caused by the message that it handles, and belongs where that belongs.
  const { correlationId = carried(cause?.correlationId ?? cause?.id), causationId = carried(cause?.id) } = given
  if (correlationId !== undefined) attributes['correlationid'] = correlationId
  if (causationId !== undefined) attributes['causationid'] = causationId
  if (given.replyTo !== undefined) attributes['replyto'] = `${given.replyTo.kind}:${given.replyTo.name}`
  const headers = headersOf(given)
  traceInto(attributes, given.headers === undefined ? undefined : lowered(given.headers, isTraceHeader), ofCall)
  const envelope: Envelope = {
    id: given.id ?? (newId === undefined ? uuidV7(clock) : idOf(newId, channel, given)),
    key: given.key,
    priority: given.priority,
    // Not before means not a part of a millisecond before either.
    notBefore: given.notBefore === undefined ? undefined : Math.ceil(given.notBefore),
    expiresAt: given.expiresAt === undefined ? undefined : Math.floor(given.expiresAt),
    attributes,
    headers,
    body,
  }
  if (body.byteLength <= channel.compressAboveBytes) return envelope
  return compress(body).then((smaller) =>
    smaller === undefined
      ? envelope
      : { ...envelope, attributes: { ...attributes, contentencoding: GZIP }, body: smaller },
  )
}

// Of a foreign message it could be anything.
function carried(text: string | undefined): string | undefined {
  return text !== undefined && text !== '' && isCarriable(text) ? text : undefined
}

function idOf(newId: () => string, channel: Channel, given: Given): string {
  let id: unknown
  try {
    id = newId()
  } catch (cause) {
    throw refused(channel, given, [{ path: 'id', message: 'newId threw' }], cause)
  }
  if (isId(id)) return id
  throw refused(channel, given, [
    { path: 'id', message: 'newId gave no id: it has to be a text of 1 to 256 characters without control characters' },
  ])
}

function encodeData(channel: Channel, given: Given): Uint8Array {
  try {
    return channel.codec.encode(given.data)
  } catch (cause) {
    const { issues } = (isFairleadError(cause, 'INVALID_INPUT') ? (cause.details ?? {}) : {}) as {
      readonly issues?: readonly Issue[]
    }
    throw refused(channel, given, issues ?? [{ path: 'data', message: 'the codec cannot encode it' }], cause)
  }
}

function headersOf({ headers }: Given): Readonly<Record<string, string>> {
  return headers === undefined ? NO_HEADERS : lowered(headers, (name) => !isTraceHeader(name))
}

function lowered(
  headers: Readonly<Record<string, string>>,
  wanted: (name: string) => boolean,
): Readonly<Record<string, string>> {
  const chosen: Record<string, string> = {}
  for (const name of Object.keys(headers)) {
    const lower = name.toLowerCase()
    if (wanted(lower)) chosen[lower] = headers[name] as string
  }
  return chosen
}

function inData({ path, message }: Issue): Issue {
  return { path: path === '' ? 'data' : `data.${path}`, message }
}

function refused(channel: Channel, given: Given, issues: readonly Issue[], cause?: unknown): Error {
  const type = typeof given?.type === 'string' ? given.type : 'a message'
  return createError({
    code: 'INVALID_INPUT',
    message: `${type} for ${channel.kind} ${channel.name}: ${issueLine(issues)}`,
    channel: channel.name,
    details: { issues, ...(typeof given?.id === 'string' ? { id: given.id } : {}) },
    ...(cause === undefined ? {} : { cause }),
  })
}
