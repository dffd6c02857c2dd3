// A channel says once what those who publish and those who consume have to agree on: its name, its types of messages, its codec.
import type { ChannelAddress } from '../core/message.ts'
import { countOption, invalidOption, knownOptions } from '../core/options.ts'
import type { AnySchema } from '../core/schema.ts'
import type { Codec } from './codec.ts'
import { jsonCodec } from './json-codec.ts'
import type { Channel, MessageType, MessageTypeDefinition, MessageTypes, VersionedType } from './types.ts'

/** Options of a channel. */
export interface ChannelOptions {
  /** Default: `jsonCodec()`. */
  readonly codec?: Codec | undefined
  /** Bodies of more bytes are compressed with gzip, where that makes them smaller. Infinity for none. Default 16,384. */
  readonly compressAboveBytes?: number | undefined
}

const NAME = /^[A-Za-z0-9._-]{1,200}$/
// It travels as an attribute and in headers.
const ADDRESS = /^[\x21-\x7e]{1,512}$/
// A CloudEvents attribute and a header value: visible ASCII.
const TYPE = /^[\x21-\x7e]{1,200}$/
// The value of an HTTP header.
const CONTENT_TYPE = /^[\x21-\x7e][\x20-\x7e]{0,199}$/
const COMPRESS_ABOVE_BYTES = 16_384

/**
 * A queue: each message goes to one consumer, is kept until one takes it, and is gone once it is acknowledged.
 * @param name letters, digits, dots, dashes and underscores, at most 200
 * @param types by name: a schema, or `{ schema, version, upcasters }`, and for a request `reply` and `failures`
 * @throws FairleadError `INVALID_OPTIONS`, naming the place and the fix
 * @example const Emails = queue('emails', { 'email.requested': z.object({ to: z.email(), template: z.string() }) })
 */
export function queue<const Types extends MessageTypes>(
  name: string,
  types: Types,
  options: ChannelOptions = {},
): Channel<Types> {
  return define('queue', name, types, options)
}

/**
 * A topic: every group of consumers gets each message, and the members of a group compete for it.
 * @param name letters, digits, dots, dashes and underscores, at most 200
 * @param types by name: a schema, or `{ schema, version, upcasters }`, and for a request `reply` and `failures`
 * @throws FairleadError `INVALID_OPTIONS`, naming the place and the fix
 * @example const Orders = topic('orders', { 'order.placed': z.object({ orderId: z.string() }) })
 */
export function topic<const Types extends MessageTypes>(
  name: string,
  types: Types,
  options: ChannelOptions = {},
): Channel<Types> {
  return define('topic', name, types, options)
}

function define<Types extends MessageTypes>(
  kind: ChannelAddress['kind'],
  name: string,
  types: Types,
  options: ChannelOptions,
): Channel<Types> {
  if (!isChannelName(name))
    throw invalidOption(`${kind} name`, name, 'give letters, digits, dots, dashes and underscores, at most 200')
  knownOptions(`${kind}(${name})`, options, ['codec', 'compressAboveBytes'])
  const { codec = jsonCodec(), compressAboveBytes } = options
  if (
    typeof codec?.encode !== 'function' ||
    typeof codec.decode !== 'function' ||
    typeof codec.contentType !== 'string'
  )
    throw invalidOption('codec', codec, 'give a codec: jsonCodec(), or an object with contentType, encode and decode')
  if (!CONTENT_TYPE.test(codec.contentType))
    throw invalidOption('codec.contentType', codec.contentType, 'give a media type, such as application/avro')
  return Object.freeze({
    kind,
    name,
    types: Object.freeze(defineTypes(types)),
    codec,
    compressAboveBytes:
      compressAboveBytes === Infinity
        ? Infinity
        : countOption('compressAboveBytes', compressAboveBytes, COMPRESS_ABOVE_BYTES, 0),
  }) as Channel<Types>
}

/** Whether it is what `queue` and `topic` make. */
export function isChannel(given: unknown): given is Channel {
  if (typeof given !== 'object' || given === null) return false
  const { kind, name, types, codec } = given as Partial<Channel>
  return (
    (kind === 'queue' || kind === 'topic') &&
    // Where replies go is one as well.
    isAddressName(name) &&
    typeof types === 'object' &&
    types !== null &&
    typeof codec?.encode === 'function'
  )
}

/** Whether brokers of all kinds take it as the name of a queue or a topic. */
export function isChannelName(name: unknown): name is string {
  return typeof name === 'string' && NAME.test(name)
}

/** Whether it can be the name of an address that replies are sent to: brokers name private places as they like. */
export function isAddressName(name: unknown): name is string {
  return typeof name === 'string' && ADDRESS.test(name)
}

function defineTypes(types: MessageTypes): Record<string, MessageType> {
  if (typeof types !== 'object' || types === null || Array.isArray(types))
    throw invalidOption('types', types, 'give an object: name of the type to its schema')
  const proto: unknown = Object.getPrototypeOf(types)
  // `{ __proto__: ... }` in a literal sets the prototype instead of naming a type.
  if (proto !== Object.prototype && proto !== null)
    throw invalidOption('types', types, 'a type cannot be named __proto__; give a plain object')
  const made: Record<string, MessageType> = Object.create(null)
  for (const type of Object.keys(types)) {
    const at = `types.${type}`
    if (!TYPE.test(type) || type === '__proto__')
      throw invalidOption(at, type, 'name a type with visible ASCII letters and signs, at most 200, without spaces')
    made[type] = defineType(at, types[type] as MessageTypeDefinition)
  }
  if (Object.keys(made).length === 0) throw invalidOption('types', types, 'name at least one type of message')
  return made
}

function defineType(at: string, definition: MessageTypeDefinition): MessageType {
  if (isSchema(definition)) return Object.freeze({ schema: definition, version: 1, upcasters: Object.freeze({}) })
  const versioned = definition as VersionedType
  knownOptions(at, versioned, ['schema', 'version', 'upcasters', 'reply', 'failures'])
  const { schema } = versioned
  const upcasters: NonNullable<VersionedType['upcasters']> = versioned.upcasters ?? {}
  if (!isSchema(schema))
    throw invalidOption(at, schema, 'give a schema (zod, valibot, arktype ...), or { schema, version, upcasters }')
  const version = countOption(`${at}.version`, versioned.version, 1)
  if (typeof upcasters !== 'object' || upcasters === null)
    throw invalidOption(`${at}.upcasters`, upcasters, 'give an object: version to a function of its data')
  for (const from of Object.keys(upcasters))
    if (!(String(Number(from)) === from && Number(from) >= 1 && Number(from) < version))
      throw invalidOption(
        `${at}.upcasters.${from}`,
        upcasters[from as never],
        `versions go from 1 to ${version}: an upcaster leads from one below ${version} to the next`,
      )
  for (let from = 1; from < version; from++)
    if (typeof upcasters[from] !== 'function')
      throw invalidOption(
        `${at}.upcasters.${from}`,
        upcasters[from],
        `give a function that makes data of version ${from + 1} out of version ${from}; old messages may still be on their way`,
      )
  return Object.freeze({ schema, version, upcasters: Object.freeze({ ...upcasters }), ...answersOf(at, versioned) })
}

// It travels as an attribute.
const FAILURE = /^[\x21-\x7e]{1,200}$/

function answersOf(at: string, { reply, failures }: VersionedType): Pick<MessageType, 'reply' | 'failures'> {
  if (reply === undefined) {
    if (failures === undefined) return {}
    throw invalidOption(`${at}.failures`, failures, 'they answer a request: give the schema of its reply as well')
  }
  if (!isSchema(reply)) throw invalidOption(`${at}.reply`, reply, 'give a schema (zod, valibot, arktype ...)')
  if (failures === undefined) return { reply }
  if (typeof failures !== 'object' || failures === null || Array.isArray(failures))
    throw invalidOption(`${at}.failures`, failures, 'give an object: name of the failure to the schema of its data')
  const made: Record<string, AnySchema> = Object.create(null)
  for (const [name, schema] of Object.entries(failures)) {
    if (!FAILURE.test(name) || name === '__proto__')
      throw invalidOption(
        `${at}.failures.${name}`,
        name,
        'name a failure with visible ASCII, at most 200, without spaces',
      )
    if (!isSchema(schema))
      throw invalidOption(`${at}.failures.${name}`, schema, 'give a schema (zod, valibot, arktype ...)')
    made[name] = schema
  }
  return { reply, failures: Object.freeze(made) }
}

// arktype's schemas are functions.
function isSchema(candidate: unknown): candidate is AnySchema {
  if ((typeof candidate !== 'object' && typeof candidate !== 'function') || candidate === null) return false
  const standard = (candidate as Partial<AnySchema>)['~standard']
  return typeof standard?.validate === 'function'
}
