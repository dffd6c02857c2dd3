// A call as a request of HTTP, for transports that carry one without a socket: what stands in it is the same for all of them.

import { createError } from '../errors/classes.ts'
import type { CallContext } from './context.ts'
import type { OperationDescriptor } from './contracts/rpi.ts'
import {
  checkHeader,
  type HttpMethod,
  IDEMPOTENCY_HEADER,
  JSON_TYPE,
  layOut,
  NDJSON_TYPE,
  routeOf,
  writeDeadline,
} from './http-wire.ts'

/** A request ready to be carried. */
export interface RequestParts {
  readonly method: HttpMethod
  /** Path and query, encoded. */
  readonly target: string
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  /** JSON; undefined for none, and where the input is a stream. */
  readonly body: string | undefined
}

/** What a transport says of its requests. */
export interface RequestOptions {
  /** What stands before the paths of the contract. */
  readonly basePath: string
  /** Which header carries the time left. */
  readonly deadlineHeader: string
}

/** Whether its input is a stream. */
export function sendsStream({ streaming }: OperationDescriptor): boolean {
  return streaming === 'client' || streaming === 'both'
}

/** Whether its output is a stream. */
export function getsStream({ streaming }: OperationDescriptor): boolean {
  return streaming === 'server' || streaming === 'both'
}

/**
 * Lays a call out.
 * @throws FairleadError `INVALID_REQUEST`, `INVALID_INPUT`: nothing can be sent then
 */
export function requestParts(
  operation: OperationDescriptor,
  input: unknown,
  context: CallContext,
  { basePath, deadlineHeader }: RequestOptions,
): RequestParts {
  const route = routeOf(operation)
  const streams = sendsStream(operation)
  const { method, target, body } = streams
    ? { method: route.method, target: route.path, body: undefined }
    : layOut(route, input)
  const headers: Record<string, string> = { accept: `${JSON_TYPE}, application/problem+json, ${NDJSON_TYPE}` }
  for (const [field, value] of Object.entries(context.headers)) headers[field.toLowerCase()] = checkHeader(field, value)
  if (context.idempotencyKey !== undefined)
    headers[IDEMPOTENCY_HEADER] = checkHeader(IDEMPOTENCY_HEADER, context.idempotencyKey)
  const left = writeDeadline(context.deadline.remainingMs())
  if (left !== undefined) headers[deadlineHeader] = left
  if (streams) headers['content-type'] = NDJSON_TYPE
  else if (body !== undefined) headers['content-type'] = JSON_TYPE
  return { method, target: basePath + target, headers, body: body === undefined ? undefined : jsonOf(body) }
}

function jsonOf(body: unknown): string | undefined {
  try {
    return JSON.stringify(body) as string | undefined
  } catch (cause) {
    throw createError({ code: 'INVALID_INPUT', message: 'the input cannot be written as JSON', effect: 'none', cause })
  }
}
