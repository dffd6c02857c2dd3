// How a request of HTTP, and the answer to it, look as messages: the words of the HTTP wire (core/http-wire.ts) in CloudEvents. No I/O.
import type { Envelope, Message } from '../../core/message.ts'
import { createError } from '../../errors/classes.ts'
import type { Codec } from '../../messaging/codec.ts'
import { isCarriable } from '../../messaging/fields.ts'
import { isTraceHeader, traceInto } from '../../messaging/trace.ts'

/** Type of the message that carries a request. */
export const REQUEST_TYPE = 'fairlead.rpi.request'
/** Type of the message that carries the answer. */
export const REPLY_TYPE = 'fairlead.rpi.reply'
/** Headers of the message that are no headers of the request or the answer. */
export const METHOD_HEADER = 'fairlead-method'
export const TARGET_HEADER = 'fairlead-target'
/** `true` where the contract calls the operation idempotent: it may be handed to a server twice. */
export const IDEMPOTENT_HEADER = 'fairlead-idempotent'
export const STATUS_HEADER = 'fairlead-status'

const OWN: ReadonlySet<string> = new Set([METHOD_HEADER, TARGET_HEADER, IDEMPOTENT_HEADER, STATUS_HEADER])
// What every broker carries as the name of a header.
const NAME = /^[a-z0-9-]{1,200}$/
const NO_BODY = new Uint8Array(0)

/** The queue that a service is asked by, unless somebody says otherwise. */
export function rpiQueue(service: string): string {
  return `rpi.${service}`
}

/** Headers, and a body if there is one. */
export interface Carried {
  readonly id: string
  readonly type: string
  readonly source: string
  readonly time: string
  /** Of HTTP; names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  /** Headers of ours. */
  readonly own: Readonly<Record<string, string>>
  readonly body: string | undefined
  readonly more?: Readonly<Record<string, string>> | undefined
  readonly expiresAt?: number | undefined
}

/**
 * Makes the message.
 * @throws FairleadError `INVALID_REQUEST` for a header that a broker does not carry
 */
export function envelopeOf({ id, type, source, time, headers, own, body, more, expiresAt }: Carried): Envelope {
  const attributes: Record<string, string> = { specversion: '1.0', source, type, time, ...more }
  const carried: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers)) {
    if (isTraceHeader(name) || OWN.has(name)) continue
    if (!NAME.test(name) || !isCarriable(value))
      throw createError({
        code: 'INVALID_REQUEST',
        message: `header ${name} cannot travel with a message: name headers with letters, digits and dashes, and leave control characters out`,
        stack: false,
      })
    carried[name] = value
  }
  traceInto(attributes, headers, undefined)
  // Every body of this wire is JSON; a problem says so more exactly in its own header.
  if (body !== undefined) attributes['datacontenttype'] = 'application/json'
  return {
    id,
    expiresAt,
    attributes,
    headers: Object.assign(carried, own),
    body: body === undefined ? NO_BODY : Buffer.from(body),
  }
}

/** Headers of HTTP among those of a message. */
export function httpHeaders(headers: Message['headers']): Record<string, string> {
  const own: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers)) if (!OWN.has(name)) own[name] = value
  return own
}

/** The body as it came: the server adapter is who reads it. */
export const bytes: Codec = Object.freeze({
  contentType: 'application/json',
  accepts: () => true,
  encode: (data: unknown) => data as Uint8Array,
  decode: (body: Uint8Array) => body,
})
