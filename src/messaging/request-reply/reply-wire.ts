// How answers look on the wire. A reply is a message of the type `<type>.reply`, in the codec of the channel; a declared failure is one with its name in the attribute `failure`;
// whatever else went wrong is one whose data are problem details (RFC 9457).
import type { ChannelAddress, Envelope, Message } from '../../core/message.ts'
import type { AnySchema, StandardSchema } from '../../core/schema.ts'
import { type FairleadError, isFairleadError, wordsOf } from '../../errors/base.ts'
import { createError } from '../../errors/classes.ts'
import { classify } from '../../errors/classify.ts'
import { fromProblem, isProblemType, PROBLEM_TYPE, type ProblemOptions, toProblem } from '../../errors/wire.ts'
import type { Codec } from '../codec.ts'
import { decodeMessage } from '../decode.ts'
import type { Channel, MessageType } from '../types.ts'

/** What a responder answers. */
export type Answer =
  | { readonly what: 'reply'; readonly data: unknown }
  | { readonly what: 'failure'; readonly failure: string; readonly data: unknown }
  | {
      readonly what: 'problem'
      readonly error: unknown
      readonly options: ProblemOptions & { readonly status?: number | undefined }
    }

/** What a requester reads. Declared failures are errors here: `DECLARED_FAILURE`, with name and data. */
export type ReadReply =
  | { readonly reply: Message; readonly error?: undefined }
  | { readonly error: FairleadError; readonly reply?: undefined }

/** What is known of a call, for the errors that come of it. */
export interface CallFacts {
  readonly transport: string
  readonly idempotent: boolean
}

/** Carries the name of a declared failure. */
export const FAILURE_ATTRIBUTE = 'failure'

const ANYTHING: StandardSchema = {
  '~standard': { version: 1, vendor: 'fairlead', validate: (value) => ({ value }) },
}

const PROBLEM_CODEC: Codec = {
  contentType: PROBLEM_TYPE,
  encode: (data) => Buffer.from(JSON.stringify(data)),
  decode: (body) => JSON.parse(Buffer.from(body).toString('utf8')),
}

/** The type of the replies to a type of request. */
export function replyTypeOf(type: string): string {
  return `${type}.reply`
}

/** The address as a channel that answers of one kind go to: what encoding, decoding and outboxes take. */
export function replyChannel(channel: Channel, type: string, answer: Answer, to: ChannelAddress = channel): Channel {
  const { reply, failures } = (channel.types[type] ?? {}) as Partial<MessageType>
  const schema = answer.what === 'reply' ? reply : answer.what === 'failure' ? failures?.[answer.failure] : undefined
  const common = { kind: to.kind, name: to.name, types: typesOf(type, schema ?? ANYTHING) }
  if (answer.what === 'problem') return { ...common, codec: PROBLEM_CODEC, compressAboveBytes: Infinity }
  const { codec, compressAboveBytes } = channel
  return {
    ...common,
    codec,
    compressAboveBytes,
    attributes: answer.what === 'failure' ? { [FAILURE_ATTRIBUTE]: answer.failure } : undefined,
  }
}

function typesOf(type: string, schema: AnySchema): Channel['types'] {
  return { [replyTypeOf(type)]: { schema, version: 1, upcasters: {} } }
}

/** The data of an answer as they are encoded. */
export function dataOf(answer: Answer): unknown {
  if (answer.what !== 'problem') return answer.data
  const { status, ...options } = answer.options
  const { body } = toProblem(answer.error, options)
  return status === undefined ? body : { ...body, status }
}

const MOST_PROBLEM_BYTES = 65_536

/**
 * What an answer says. Never throws and never rejects: what breaks its schema is an error like any other (`REPLY_INVALID`, `REPLY_UNDECODABLE`, with the effect `done`).
 * A promise only where decoding takes one.
 */
export function readReply(
  channel: Channel,
  type: string,
  envelope: Envelope,
  facts: CallFacts,
): ReadReply | Promise<ReadReply> {
  const { attributes } = envelope
  const at = { service: channel.name, operation: type, channel: channel.name, ...facts }
  if (isProblemType(attributes['datacontenttype'])) {
    const error = fromProblem(envelope.body, statusOf(envelope.body), at)
    // A failure without its name where names are found is none of those that the channel declares.
    return { error: error.code === 'DECLARED_FAILURE' ? createError({ ...at, code: 'REPLY_INVALID' }) : error }
  }
  const failure = attributes[FAILURE_ATTRIBUTE]
  const { failures } = (channel.types[type] ?? {}) as Partial<MessageType>
  if (failure !== undefined && !Object.hasOwn(failures ?? {}, failure))
    return { error: createError({ ...at, code: 'REPLY_INVALID', message: `no failure is called ${failure}` }) }
  const shape = replyChannel(
    channel,
    type,
    failure === undefined ? { what: 'reply', data: undefined } : { what: 'failure', failure, data: undefined },
  )
  const read = (reply: Message): ReadReply =>
    failure === undefined
      ? { reply }
      : { error: createError({ ...at, code: 'DECLARED_FAILURE', message: failure, failure, details: reply.data }) }
  const broken = (thrown: unknown): ReadReply => {
    const error = classify(thrown)
    const undecodable = isFairleadError(error, 'MESSAGE_UNDECODABLE')
    return {
      error: createError({
        ...at,
        code: undecodable ? 'REPLY_UNDECODABLE' : 'REPLY_INVALID',
        message: wordsOf(error),
        details: error.details,
        cause: error,
      }),
    }
  }
  try {
    const message = decodeMessage(shape, envelope) as Message | Promise<Message>
    return message instanceof Promise ? message.then(read, broken) : read(message)
  } catch (error) {
    return broken(error)
  }
}

function statusOf(body: Uint8Array): number {
  if (body.byteLength > MOST_PROBLEM_BYTES) return 500
  try {
    const { status } = JSON.parse(Buffer.from(body).toString('utf8')) as { readonly status?: unknown }
    return typeof status === 'number' && Number.isInteger(status) && status >= 400 && status <= 599 ? status : 500
  } catch {
    return 500
  }
}
