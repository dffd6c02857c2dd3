// Puts the input of an operation together from path, query and body, and validates it.
import { isJsonType, isNdjsonType, lines, parseJson, readLine, readQuery } from '../../core/http-wire.ts'
import { issueLine, type Validated, validate } from '../../core/schema.ts'
import { createError } from '../../errors/classes.ts'
import type { AnySchema, Operation } from '../types.ts'
import { Answered } from './problem.ts'
import { decoded, type Found } from './router.ts'
import { validateText } from './text-input.ts'
import type { WireRequest } from './wire.ts'

/**
 * The validated input.
 * @throws FairleadError `INVALID_INPUT`, `BAD_REQUEST` or `PAYLOAD_TOO_LARGE`; an `Answered` with 415
 */
export async function readInput(
  { operation, route, params }: Found,
  request: WireRequest,
  limit: number,
): Promise<unknown> {
  const schema = operation.definition.input
  if (schema === undefined) return undefined
  if (operation.streaming === 'client' || operation.streaming === 'both')
    return streamIn(operation, schema, request, limit)
  const body = route.rest === 'body' ? await readBody(request, limit) : undefined
  if (route.rest === 'body' && route.params.length === 0 && route.query.length === 0)
    return checked(operation, await validate(schema, body))
  if (body !== undefined && (typeof body !== 'object' || body === null || Array.isArray(body)))
    throw invalid(operation, [{ path: '', message: 'the body must be a JSON object' }])
  const texts: Record<string, string | readonly string[]> = {}
  for (const [field, value] of Object.entries(readQuery(request.query)))
    if (route.rest === 'query' || route.query.includes(field)) texts[field] = value
  for (const [field, part] of Object.entries(params)) {
    const value = decoded(part)
    if (value === undefined) throw bad('the path is badly encoded')
    texts[field] = value
  }
  // What stands in path and query cannot be overridden by the body: others (gateways, logs) went by it.
  return checked(operation, await validateText(schema, { ...body, ...texts }, texts))
}

function checked(operation: Operation, result: Validated<unknown>): unknown {
  if (!result.ok) throw invalid(operation, result.issues)
  return result.value
}

function invalid(operation: Operation, issues: readonly { readonly path: string; readonly message: string }[]): Error {
  const { service, name } = operation
  return createError({
    code: 'INVALID_INPUT',
    message: `the input breaks the schema of the operation: ${issueLine(issues)}`,
    details: { issues },
    service,
    operation: name,
  })
}

function bad(message: string): Error {
  return createError({ code: 'BAD_REQUEST', message })
}

function tooLarge(limit: number): Error {
  return createError({
    code: 'PAYLOAD_TOO_LARGE',
    message: `the body is longer than ${limit} bytes`,
    details: { maxBodyBytes: limit },
  })
}

function unsupported(request: WireRequest, is: (type: string | undefined) => boolean, wanted: string): void {
  const encoding = request.header('content-encoding')
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity')
    throw new Answered(createError({ code: 'UNPROCESSABLE', message: 'the body must not be encoded' }), 415)
  if (!is(request.header('content-type')))
    throw new Answered(createError({ code: 'UNPROCESSABLE', message: `the body must be ${wanted}` }), 415)
}

function declared(request: WireRequest, limit: number): void {
  if (Number(request.header('content-length') ?? 0) > limit) throw tooLarge(limit)
}

async function readBody(request: WireRequest, limit: number): Promise<unknown> {
  if (request.body === undefined) return undefined
  declared(request, limit)
  // Without a content type it may still be an empty body, which is none.
  if (request.header('content-type') !== undefined) unsupported(request, isJsonType, 'application/json')
  const bytes = await request.body.collect(limit)
  if (bytes === undefined) throw tooLarge(limit)
  if (bytes.length === 0) return undefined
  unsupported(request, isJsonType, 'application/json')
  try {
    return parseJson(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    throw bad('the body is not well-formed JSON in UTF-8')
  }
}

function streamIn(
  operation: Operation,
  schema: AnySchema,
  request: WireRequest,
  limit: number,
): AsyncIterable<unknown> {
  if (request.body !== undefined) unsupported(request, isNdjsonType, 'application/x-ndjson')
  return items(operation, schema, request.body?.chunks(), limit)
}

async function* items(
  operation: Operation,
  schema: AnySchema,
  chunks: AsyncIterable<Uint8Array> | undefined,
  limit: number,
): AsyncGenerator<unknown> {
  if (chunks === undefined) return
  for await (const text of lines(chunks, limit, () => tooLarge(limit))) {
    let line: ReturnType<typeof readLine>
    try {
      line = readLine(text)
    } catch {
      throw bad('an item of the stream is not well-formed JSON')
    }
    if (line === undefined) continue
    if (line.type !== 'item') throw bad('the stream was broken off by the client')
    yield checked(operation, await validate(schema, line.value))
  }
}
