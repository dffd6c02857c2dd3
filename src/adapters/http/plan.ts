// What is the same for all calls of one operation, worked out once: route, headers, shape of the reply.
import type { CallContext } from '../../core/context.ts'
import type { OperationDescriptor } from '../../core/contracts/rpi.ts'
import {
  checkHeader,
  failedLine,
  type HttpRequestParts,
  type HttpRoute,
  IDEMPOTENCY_HEADER,
  itemLine,
  JSON_TYPE,
  layOut,
  NDJSON_TYPE,
  PROBLEM_TYPE,
  routeOf,
} from '../../core/http-wire.ts'
import { createError } from '../../errors/classes.ts'
import type { HttpSettings } from './options.ts'

/** One operation on one transport. */
export interface Plan {
  readonly operation: OperationDescriptor
  readonly route: HttpRoute
  /** The request body is a stream. */
  readonly sendsStream: boolean
  /** The body of a good reply is a stream. */
  readonly getsStream: boolean
  /** Names and values in turn. */
  readonly bare: readonly string[]
  /** As `bare`, with the content type of a body. */
  readonly withBody: readonly string[]
  /** Lower-case names that a caller's header may not replace. */
  readonly own: ReadonlySet<string>
}

/** A request ready to be sent. */
export interface Outgoing {
  readonly target: string
  readonly headers: readonly string[]
  readonly body: string | AsyncIterable<Uint8Array> | null
  /** Of the body, where it is known. */
  readonly bytes: number
  /** Of a stream: whether anybody still wants it. */
  readonly upload: Upload | undefined
}

/** A request stream on its way. */
export interface Upload {
  /** Set once the exchange is over: no more is pulled, and the caller's source is ended. */
  over: boolean
}

// Of the framing, which is undici's, or about the connection, which is not the call's.
const FRAMING = [
  'connection',
  'content-length',
  'expect',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]

/** Works out the plan of an operation. */
export function planOf(operation: OperationDescriptor, settings: HttpSettings): Plan {
  const route = routeOf(operation)
  const sendsStream = operation.streaming === 'client' || operation.streaming === 'both'
  const getsStream = operation.streaming === 'server' || operation.streaming === 'both'
  const bare = ['accept', `${getsStream ? `${NDJSON_TYPE}, ` : ''}${JSON_TYPE}, ${PROBLEM_TYPE}`]
  if (settings.compression) bare.push('accept-encoding', 'br, gzip, deflate')
  if (settings.headers !== undefined && typeof settings.headers !== 'function')
    for (const [name, value] of Object.entries(settings.headers)) bare.push(name.toLowerCase(), value)
  const withBody = [...bare, 'content-type', sendsStream ? NDJSON_TYPE : JSON_TYPE]
  const own = new Set(['accept', 'accept-encoding', 'content-type', 'host'])
  if (settings.deadlineHeader !== undefined) own.add(settings.deadlineHeader)
  return { operation, route, sendsStream, getsStream, bare, withBody, own }
}

/**
 * Lays out one call.
 * @throws FairleadError `INVALID_REQUEST`, `INVALID_INPUT` or `PAYLOAD_TOO_LARGE`; nothing was sent then
 */
export function outgoing(
  plan: Plan,
  settings: HttpSettings,
  input: unknown,
  context: CallContext,
  host: string | undefined,
): Outgoing {
  if (plan.sendsStream) {
    const upload: Upload = { over: false }
    const body = streamBody(input as AsyncIterable<unknown>, settings.maxRequestBytes, upload)
    const headers = headersOf(plan, settings, plan.withBody, context, host)
    return { target: settings.basePath + plan.route.path, headers, body, bytes: 0, upload }
  }
  const parts: HttpRequestParts = layOut(plan.route, input)
  const body = parts.body === undefined ? null : toJson(parts.body)
  const bytes = body === null ? 0 : checkedSize(body, settings.maxRequestBytes)
  const headers = headersOf(plan, settings, body === null ? plan.bare : plan.withBody, context, host)
  return { target: settings.basePath + parts.target, headers, body, bytes, upload: undefined }
}

function headersOf(
  plan: Plan,
  settings: HttpSettings,
  base: readonly string[],
  context: CallContext,
  host: string | undefined,
): readonly string[] {
  const headers = base.slice()
  if (host !== undefined) headers.push('host', host)
  if (settings.deadlineHeader !== undefined && context.deadline.at !== Infinity) {
    const left = context.deadline.remainingMs()
    headers.push(settings.deadlineHeader, left < 1 ? '1' : String(Math.floor(left)))
  }
  if (context.idempotencyKey !== undefined)
    headers.push(IDEMPOTENCY_HEADER, checkHeader(IDEMPOTENCY_HEADER, context.idempotencyKey))
  if (typeof settings.headers === 'function')
    addHeaders(headers, settings.headers(plan.operation, context), undefined, false)
  addHeaders(headers, context.headers, plan.own, context.idempotencyKey !== undefined)
  return headers
}

// Headers of a call come from outside: an inherited one, or one of the caller. A line break in it would be a header of somebody else's choice.
function addHeaders(
  headers: string[],
  more: Readonly<Record<string, string>>,
  own: ReadonlySet<string> | undefined,
  hasKey: boolean,
): void {
  for (const name in more) {
    if (!Object.hasOwn(more, name) || more[name] === undefined) continue
    const value = checkHeader(name, more[name])
    const lower = name.toLowerCase()
    if (FRAMING.includes(lower))
      throw createError({
        code: 'INVALID_REQUEST',
        message: `header ${lower} belongs to the connection and cannot be set for a call`,
        stack: false,
      })
    // What the transport says itself (type, time left, key of the call) stands.
    if (own?.has(lower) || (hasKey && lower === IDEMPOTENCY_HEADER)) continue
    const at = indexOfName(headers, lower)
    if (at < 0) headers.push(lower, value)
    else headers[at + 1] = value
  }
}

function indexOfName(headers: readonly string[], name: string): number {
  for (let at = 0; at < headers.length; at += 2) if (headers[at] === name) return at
  return -1
}

function toJson(value: unknown): string {
  let json: string | undefined
  try {
    json = JSON.stringify(value)
  } catch (cause) {
    throw createError({ code: 'INVALID_INPUT', message: 'the input cannot be written as JSON', effect: 'none', cause })
  }
  if (json === undefined)
    throw createError({ code: 'INVALID_INPUT', message: 'the input cannot be written as JSON', effect: 'none' })
  return json
}

function checkedSize(text: string, most: number): number {
  const bytes = Buffer.byteLength(text)
  if (bytes > most)
    throw createError({
      code: 'PAYLOAD_TOO_LARGE',
      message: `the request body has ${bytes} bytes, the limit is ${most}`,
      stack: false,
    })
  return bytes
}

async function* streamBody(
  items: AsyncIterable<unknown>,
  most: number,
  upload: Upload,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    for await (const item of items) {
      // Over HTTP/2 undici goes on pulling after its stream was closed.
      if (upload.over) return
      const line = Buffer.from(itemLine(item))
      if (line.length > most)
        throw createError({
          code: 'PAYLOAD_TOO_LARGE',
          message: `an item of the request has ${line.length} bytes, the limit is ${most}`,
          effect: 'unknown',
        })
      yield line
    }
  } catch (thrown) {
    // undici closes a stream of HTTP/2 that it gives up as if it had come to its end; this line says that it has not.
    yield Buffer.from(failedLine({ title: 'the stream was broken off' }))
    // undici takes a source that throws null or undefined for one that has ended well, and leaves the body without its end:
    // the call would hang, and the next one on that connection would be read as the rest of this one.
    throw thrown instanceof Error
      ? thrown
      : new Error(`the source of the stream threw ${String(thrown)}`, { cause: thrown })
  }
}
